"""The settings of the probes, which say how points are measured."""

import math
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from probes.custom.function import Custom
from probes.datasets import Images
from probes.decoders import BATCH, PRECISIONS
from probes.definition import (
    CURRENT_DEFINITION,
    DEFAULT_STATISTICS,
    DEPTHS,
    GRADIENTS,
    LOGARITHMS,
    Definition,
    is_threshold_of,
    statistics_of,
)
from probes.further import OWN_SETTINGS, RATE
from probes.initialisations import INITIALISATIONS, NORMAL
from probes.layers import ACTIVATIONS
from probes.networks import ARCHITECTURES, Architecture
from probes.point import Extra
from probes.training.settings import TrainingSettings

PROBES = ("both", "cascade", "direct")
TRAIN = ("none", "boundary", "all")

MIN_STEPS = 300  # Adam steps of the cascade, unless `probe_steps` is given
HELD_OUT_IMAGES = 1024  # test images that the direct probe is judged on
CONVOLUTION_CERTAINTY = 0.02  # default for convolutions: their layers are so large that unneeded images cost minutes
INITIAL_IMAGES = 512  # that the direct probe begins with where it may stop before it has used all
CASCADE_IMAGES = 100  # test images that the cascade reconstructs, as in the paper
# With `train="boundary"` the points with these margins are trained; the README of this package has the evidence.
UNCERTAIN_MARGINS = (-0.3, 0.5)  # of a horizon or a gradient
MAX_GRADIENT_THRESHOLD = 1000.0
UNCERTAIN_SCORES = (-0.05, 0.1)  # of a retained information, minus its threshold
POINTS_PER_ANCHOR = 32  # one in so many of the other points is trained as well


@dataclass(frozen=True)
class ProbeSettings:
    """The settings by which points are measured.

    Attributes
    ----------
    probe:
        ``cascade``, ``direct`` or ``both``.
    statistic:
        The statistic that the margin is computed from, one of `STATISTICS`; gradients are measured whatever ``probe``
        is. Empty means the probe's, see `DEFAULT_STATISTICS`.
    threshold:
        Retained information, or squared correlation, below which a signal counts as lost, between 0 and 1; for
        gradients, how far their logarithm may be from 0. None means the threshold of the ``definition``.
    penalty:
        Ridge penalty of the direct probe: a noise floor, in units of activation variance.
    architecture, width, widths:
        Layers of the networks, see `Architecture`.
    activation:
        One of `probes.activations.NAMES`.
    initialise:
        How the weights of hidden layers are drawn, one of `probes.initialisations.INITIALISATIONS`.
    network:
        Function of the user that makes the networks; None: networks that the five settings above describe.
    images:
        Number of training images that the probes learn from, at most; fewer if the data set has fewer.
    decoded_layers:
        Number of layers, up to the depth, that the direct probe decodes, evenly spaced on a log scale.
    certainty:
        The direct probe begins with 512 images and doubles them until its horizon changes by less than this fraction
        and the retained information after the last layer by less than this. None means 0.02 for convolutions and, for
        other networks, all images at once.
    probe_steps:
        Adam steps of the cascade. None means one epoch of ``images``, but at least 300 steps.
    precision:
        Precision of the products when the cascade's decoders are trained: ``float32`` or ``bfloat16``.
    train:
        Points whose networks are trained for ground truth: ``none``, ``all``, or ``boundary``, which means the points
        whose prediction is uncertain and one in 32 of the others.
    training:
        Settings of that training.
    timeout:
        Seconds that probing a point, or an epoch of its training, may take; a point that takes longer has failed. None:
        no limit. See `probes.time_limit`.
    definition:
        Definition of the margin: its formula and thresholds.
    residual_scale:
        Factor of what a block of the architecture ``resnet`` adds to its input.

    Raises
    ------
    ValueError
        A value is not allowed.
    """

    probe: str = "both"
    statistic: str = ""
    threshold: float | None = None
    penalty: float = 3e-2
    architecture: str = "mlp"
    width: int | None = None
    widths: tuple[int, ...] | None = None
    activation: str = "tanh"
    initialise: str = NORMAL
    network: Custom | None = None
    images: int = 4096
    decoded_layers: int = 16
    certainty: float | None = None
    probe_steps: int | None = None
    precision: str = "float32"
    train: str = "none"
    training: TrainingSettings = field(default_factory=TrainingSettings)
    timeout: float | None = None
    definition: Definition = CURRENT_DEFINITION
    residual_scale: float = 1.0

    def __post_init__(self) -> None:
        for name, allowed in (
            ("probe", PROBES),
            ("architecture", ARCHITECTURES),
            ("activation", tuple(ACTIVATIONS)),
            ("initialise", tuple(INITIALISATIONS)),
            ("precision", PRECISIONS),
            ("train", TRAIN),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"`{name}` must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")
        if not self.statistic:
            object.__setattr__(self, "statistic", DEFAULT_STATISTICS[self.probe])
        allowed = statistics_of(self.probe)
        if self.statistic not in allowed:
            raise ValueError(
                f"`statistic` must be one of {', '.join(allowed)} with probe {self.probe!r}, got {self.statistic!r}"
            )
        limit = MAX_GRADIENT_THRESHOLD if self.statistic in GRADIENTS else 1
        if self.threshold is not None and not 0 < self.threshold < limit:
            raise ValueError(f"`threshold` must be between 0 and {limit:g}, got {self.threshold}")
        if not (math.isfinite(self.penalty) and self.penalty > 0):
            raise ValueError(f"`penalty` must be positive, got {self.penalty}")
        if self.timeout is not None and not self.timeout > 0:
            raise ValueError(f"`timeout` must be positive, got {self.timeout}")
        if self.certainty is not None and not 0 < self.certainty < 1:
            raise ValueError(f"`certainty` must be between 0 and 1, got {self.certainty}")

    def architecture_for(self, images: Images) -> Architecture:
        """Return the architecture of the networks for a data set; raises ValueError if it is not one for its images."""
        return Architecture(
            self.architecture,
            images.shape,
            images.classes,
            self.width,
            self.widths,
            initialise=self.initialise,
            residual_scale=self.residual_scale,
        )

    def at(self, extra: Extra) -> "ProbeSettings":
        """Return the settings of points with these values of further axes, for estimates of their cost and memory.

        Only whole numbers are taken to change the size of networks: of others, a user's function keeps those that it is
        tried with, so that few of its networks need to be made.
        """
        own = [name for name, _ in self.network.extra] if self.network else OWN_SETTINGS
        sizes = tuple((n, value) for n, value in extra if isinstance(value, int) and n in own and n != RATE)
        return _at(self, sizes) if sizes else self

    def decoder_steps(self, count: int) -> int:
        """Return the number of Adam steps of each decoder of a cascade that learns from so many images."""
        return self.probe_steps or max(math.ceil(count / BATCH), MIN_STEPS)

    def threshold_of(self, statistic: str) -> float:
        """Return the threshold of one of `STATISTICS`; ``threshold`` is that of all of the same kind."""
        if self.threshold is None or not is_threshold_of(self.statistic, statistic):
            return self.definition.threshold(statistic)
        return self.threshold

    @property
    def by_horizon(self) -> bool:
        """Whether the margin is computed from a horizon, rather than from a score and its threshold."""
        return self.statistic in DEPTHS

    @property
    def by_gradient(self) -> bool:
        """Whether the margin is computed from the logarithm of a gradient."""
        return self.statistic in LOGARITHMS


@lru_cache(maxsize=256)  # the function of the user must stay the same object: what is known of it is kept by it
def _at(settings: ProbeSettings, sizes: Extra) -> ProbeSettings:
    own: dict[str, Any] = dict(sizes)
    if settings.network is None:
        return replace(settings, **own)
    return replace(settings, network=settings.network.with_extra(own))
