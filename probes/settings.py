"""How points are measured: one frozen object, the same for all points of a sweep."""

import math
from dataclasses import dataclass, field

from probes.decoders import PRECISIONS
from probes.definition import TODAY, Definition
from probes.layers import ACTIVATIONS
from probes.networks import ARCHITECTURES
from probes.training.settings import TrainingSettings

PROBES = ("both", "cascade", "direct")
STATISTICS = ("direct_horizon", "direct_retained", "cascade_horizon", "cascade_retained")
TRAIN = ("none", "boundary", "all")


MIN_STEPS = 300
HELD_OUT_IMAGES = 1024  # that the direct probe is judged by
CERTAINTY = 0.02  # for convolutions, whose layers are so large that more images than are needed cost minutes
FEW_IMAGES = 512  # that the direct probe begins with where it may stop early
CASCADE_IMAGES = 100  # that the cascade reconstructs, as in the paper
# `train="boundary"`: margins that are worth checking, by the evidence in the README; of a retained information, too.
UNCERTAIN = (-0.3, 0.5)
UNCERTAIN_SCORE = (-0.05, 0.1)
ANCHORS = 32  # one in so many of the other points is trained too


@dataclass(frozen=True)
class ProbeSettings:
    """How points are measured; the same for all points of a sweep.

    Attributes
    ----------
    probe:
        ``cascade``, ``direct`` or ``both``.
    statistic:
        What the margin is made of, one of `STATISTICS`; empty: `direct_horizon`, or `cascade_horizon` if
        there is no direct probe.
    threshold:
        Retained information below which a signal counts as lost; None: by ``definition``.
    penalty:
        Of the direct probe, in absolute units of activation variance.
    architecture, width, widths, activation:
        See `Architecture`.
    images:
        Training images used by the probe, at most as many as there are.
    decoded_layers:
        How many layers the direct probe decodes up to the depth; see `follow`.
    certainty:
        The direct probe begins with few images and doubles them until its horizon changes by less than this
        share (and the retained information after the last layer by less than this); None: 0.02 for convolutions, all
        images at once for other networks.
    probe_steps:
        Adam steps of the cascade; None: one epoch of the images used, but at least 300.
    precision:
        Of the products in the training of the cascade's decoders: ``float32`` or ``bfloat16``.
    train:
        Which points are trained for ground truth: ``none``, ``all`` or ``boundary`` (those whose prediction is
        uncertain, and a few of the others).
    training:
        How.
    definition:
        What the margin means.

    Raises
    ------
    ValueError
        A value that is not allowed.
    """

    probe: str = "both"
    statistic: str = ""
    threshold: float | None = None
    penalty: float = 3e-2
    architecture: str = "mlp"
    width: int | None = None
    widths: tuple[int, ...] | None = None
    activation: str = "tanh"
    images: int = 4096
    decoded_layers: int = 16
    certainty: float | None = None
    probe_steps: int | None = None
    precision: str = "float32"
    train: str = "none"
    training: TrainingSettings = field(default_factory=TrainingSettings)
    definition: Definition = TODAY

    def __post_init__(self) -> None:
        for name, allowed in (
            ("probe", PROBES),
            ("architecture", ARCHITECTURES),
            ("activation", tuple(ACTIVATIONS)),
            ("precision", PRECISIONS),
            ("train", TRAIN),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"`{name}` must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")
        if not self.statistic:
            chosen = "cascade_horizon" if self.probe == "cascade" else "direct_horizon"
            object.__setattr__(self, "statistic", chosen)
        allowed = tuple(s for s in STATISTICS if self.probe in ("both", s.partition("_")[0]))
        if self.statistic not in allowed:
            raise ValueError(
                f"`statistic` must be one of {', '.join(allowed)} with probe {self.probe!r}, got {self.statistic!r}"
            )
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise ValueError(f"`threshold` must be between 0 and 1, got {self.threshold}")
        if not (math.isfinite(self.penalty) and self.penalty > 0):
            raise ValueError(f"`penalty` must be positive, got {self.penalty}")
        if self.certainty is not None and not 0 < self.certainty < 1:
            raise ValueError(f"`certainty` must be between 0 and 1, got {self.certainty}")

    def threshold_of(self, statistic: str) -> float:
        """The threshold that applies to one of `STATISTICS`."""
        return self.definition.threshold(statistic) if self.threshold is None else self.threshold

    @property
    def by_horizon(self) -> bool:
        """Whether the margin is that of a horizon, rather than a score minus its threshold."""
        return self.statistic.endswith("_horizon")
