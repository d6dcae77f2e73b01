"""measure(points, images, settings) -> list[Measurement]: the only place where the numerics meet."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from . import entropy
from .cascade import Cascade
from .datasets import Images
from .decoders import BATCH, PRECISIONS, Decoder, train_decoders
from .direct import DirectDecoder, Profile, follow
from .meanfield import applies_to, mean_field
from .networks import ACTIVATIONS, ARCHITECTURES, Architecture, Network
from .point import Measurement, Point
from .seeds import derive
from .training import TrainingCurve, train_pack, trainable_level

__all__ = ["PROBES", "STATISTICS", "Prober", "ProbeSettings", "measure", "record_training"]

PROBES = ("both", "cascade", "direct")
STATISTICS = ("direct_horizon", "direct_retained", "cascade_horizon", "cascade_retained")
TRAIN = ("none", "boundary", "all")

# The cascade's decoders compound their errors: what it retains is small even where networks train well.
THRESHOLDS = {"direct": 0.25, "cascade": 0.05}

MIN_STEPS = 300
HELD_OUT_IMAGES = 1024  # that the direct probe is judged by
CERTAINTY = 0.02  # for convolutions, whose layers are so large that more images than are needed cost minutes
FEW_IMAGES = 512  # that the direct probe begins with where it may stop early
CASCADE_IMAGES = 100  # that the cascade reconstructs, as in the paper
MIN_HORIZON = 0.5  # in layers
UNCERTAIN = math.log(2)  # `train="boundary"`: a horizon within a factor 2 of the depth is worth checking
UNCERTAIN_SCORE = 0.15  # the same for a retained information
ANCHORS = 8  # one in so many of the other points is trained too


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
        Retained information below which a signal counts as lost; None: `THRESHOLDS` of each probe.
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
    train, epochs, train_images:
        Which points are trained for ground truth, for how long, on how many images.

    Raises
    ------
    ValueError
        A value that is not allowed.
    """

    probe: str = "both"
    statistic: str = ""
    threshold: float | None = None
    penalty: float = 1e-2
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
    epochs: int = 20
    train_images: int = 6400

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
        return THRESHOLDS[statistic.partition("_")[0]] if self.threshold is None else self.threshold

    @property
    def by_horizon(self) -> bool:
        """Whether the margin is log(horizon / depth), rather than a score minus its threshold."""
        return self.statistic.endswith("_horizon")


@dataclass
class _Found:
    """What has been seen of one point so far."""

    network: Network
    profile: Profile | None = None
    cascade: Cascade | None = None

    @property
    def diverged(self) -> bool:
        """Whether the activations of a layer up to the depth left the finite range."""
        ended = [s.ended for s in (self.profile, self.cascade) if s is not None and s.ended is not None]
        return bool(ended) and min(ended) <= self.network.point.depth


class Prober:
    """Measures packs of points; built once per process and device, then reused.

    Parameters
    ----------
    images, settings:
        What is shown to the networks, and how they are measured.
    device:
        Where everything but the drawing of random numbers happens.
    progress:
        Called for every layer of the cascade that is done.

    Raises
    ------
    ValueError
        An architecture that these images are not for.
    """

    def __init__(
        self,
        images: Images,
        settings: ProbeSettings,
        device: torch.device | str = "cpu",
        progress: Callable[[], None] | None = None,
    ) -> None:
        self._progress = progress
        self.images, self.settings, self.device = images, settings, torch.device(device)
        self.architecture = Architecture(
            settings.architecture, images.shape, images.classes, settings.width, settings.widths
        )
        self._count = min(settings.images, len(images.train))
        self._inputs = torch.cat([images.train[: self._count], images.test[:HELD_OUT_IMAGES]]).to(self.device)
        self._train, self._held_out = self._inputs[: self._count], self._inputs[self._count :]
        self._certainty = settings.certainty or (CERTAINTY if self.architecture.convolutional else None)
        self._decoders: dict[int, DirectDecoder] = {}
        self.shown = min(CASCADE_IMAGES, len(self._held_out))  # test images that cascades reconstruct, the first
        self._targets = self._held_out[: self.shown]
        mean = self._train.mean(0).expand_as(self._targets)
        # What always answering the mean training image scores, in nats: the zero of retained information.
        # Kept above 0: images that differ only in brightness have nothing in which to be ignorant.
        self._ignorance = max(1e-12, float(entropy.relative_entropy(self._targets, mean).mean()))
        epoch = -(-self._count // BATCH)
        self.steps = settings.probe_steps or max(epoch, MIN_STEPS)

    def measure(self, points: Sequence[Point]) -> list[Measurement]:
        """Measure a pack; a point that raises becomes a ``failed`` measurement and spares the others.

        A pack that the device has no memory for is measured in halves.
        """
        failure, out_of_memory = "", False
        try:
            return self._measure(points)
        except Exception as error:  # whatever it is, it belongs in the row of the point that caused it
            failure = " ".join(f"{type(error).__name__}: {error}".split())
            out_of_memory = isinstance(error, torch.OutOfMemoryError)
        # Only here, where nothing refers to the failed attempt's tensors any more, can its memory be had again.
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if len(points) == 1:
            return [Measurement(points[0], "failed", failure)]
        size = len(points) // 2 if out_of_memory else 1
        found = [m for i in range(0, len(points), size) for m in self.measure(points[i : i + size])]
        if out_of_memory:
            for m in found:
                if m.values:
                    m.values["pack_halved"] += 1
        return found

    def _measure(self, points: Sequence[Point]) -> list[Measurement]:
        started = time.perf_counter()
        found = [_Found(self.network(p)) for p in points]
        with torch.no_grad():
            if self.settings.probe != "cascade":
                for f in found:
                    f.profile = self._follow(f.network)
            if self._cascading:
                train_decoders(self._prepare(found), steps=self.steps, precision=self.settings.precision)
            measured = [self._evaluate(f) for f in found]
        seconds = time.perf_counter() - started
        layers = sum(p.depth for p in points)
        for m in measured:
            m.values["probe_steps"] = self.steps if self._cascading else 0
            m.values["probe_seconds"] = seconds * m.point.depth / layers
            m.values["pack"], m.values["pack_halved"] = len(points), 0
        self._train_networks(measured)
        return measured

    @property
    def _cascading(self) -> bool:
        return self.settings.probe != "direct"

    def network(self, point: Point, trained: dict[int, list[torch.Tensor]] | None = None) -> Network:
        """The network of a point, on this device; with other parameters than the drawn ones, if there are any."""
        return Network(point, self.architecture, self.settings.activation, self.device, trained)

    def _follow(self, network: Network) -> Profile:
        """The direct probe, with as many images as the settings ask for or its certainty takes."""
        settings = self.settings
        count = self._count if self._certainty is None else min(FEW_IMAGES, self._count)
        previous: Profile | None = None
        while True:
            inputs = self._inputs if count == self._count else torch.cat([self._train[:count], self._held_out])
            if count not in self._decoders:
                self._decoders[count] = DirectDecoder(inputs[:count], self._held_out, settings.penalty)
            profile = follow(
                network,
                self._decoders[count],
                inputs,
                layers=settings.decoded_layers,
                threshold=settings.threshold_of("direct_horizon"),
            )
            profile.images = count
            if count == self._count or self._settled(previous, profile, network.point.depth):
                return profile
            previous, count = profile, min(2 * count, self._count)

    def _settled(self, old: Profile | None, new: Profile, depth: int) -> bool:
        """Whether twice the images have made no difference."""
        if old is None or old.censored != new.censored:
            return False
        certainty = self._certainty or 0.0
        horizons, last = ([max(p.horizon, MIN_HORIZON) for p in (old, new)], [p.curve(depth)[-1] for p in (old, new)])
        return abs(math.log(horizons[1] / horizons[0])) < certainty and abs(last[1] - last[0]) < certainty

    def _prepare(self, found: Sequence[_Found]) -> Iterator[Decoder]:
        for f in found:
            f.cascade = self.cascade(f.network)
            for decoder in f.cascade.prepare():
                yield decoder
                if self._progress:
                    self._progress()

    def cascade(self, network: Network, *, readout: bool = False) -> Cascade:
        """The cascade of a network on these images, untrained."""
        shown = slice(self._count, self._count + self.shown)
        return Cascade(network, self._inputs, learn_from=self._count, shown=shown, readout=readout)

    def _evaluate(self, found: _Found) -> Measurement:
        point, settings = found.network.point, self.settings
        values: dict[str, float | int | bool] = {}
        profiles: dict[str, np.ndarray] = {}
        if applies_to(settings.architecture):
            theory = mean_field(point.sigma_w, point.sigma_b, settings.activation)
            values["chi_1"], values["xi_c"] = theory.chi_1, theory.xi_c
        if found.profile is not None:
            curve = found.profile.curve(point.depth)
            profiles["direct_retained"] = np.array(curve)
            values["direct_retained"] = curve[-1]
            values["direct_horizon"] = found.profile.horizon
            values["direct_horizon_censored"] = found.profile.censored
            values["direct_images"] = found.profile.images
        if found.cascade is not None:
            self._evaluate_cascade(found.cascade, values, profiles)
        statistic = float(values[settings.statistic])
        if settings.by_horizon:
            values["margin"] = math.log(max(statistic, MIN_HORIZON) / point.depth)
            values["margin_censored"] = values[settings.statistic + "_censored"]
        else:
            values["margin"] = statistic - settings.threshold_of(settings.statistic)
            values["margin_censored"] = False
        if not all(math.isfinite(v) for k, v in values.items() if k != "xi_c"):
            raise ArithmeticError(f"a statistic is not finite: {values}")
        return Measurement(point, "diverged" if found.diverged else "ok", "", values, profiles)

    def _evaluate_cascade(
        self, cascade: Cascade, values: dict[str, float | int | bool], profiles: dict[str, np.ndarray]
    ) -> None:
        depth, known = cascade.network.point.depth, len(cascade.decoders)
        loss = np.full((depth, len(self._targets)), self._ignorance)
        spread = np.full(depth, -math.inf)
        if known:
            r = cascade.reconstructions()
            for layer in range(known):  # one after another: in float64 they are large
                loss[layer] = entropy.relative_entropy(self._targets, r[layer]).cpu().numpy()
                spread[layer] = float(entropy.differential_entropy(r[layer]))
        else:
            same = torch.ones(2, 1, dtype=torch.float64)
            spread[0] = float(entropy.differential_entropy(same))
        spread[known:] = spread[max(known - 1, 0)]
        curve = loss.mean(1)
        retained = 1 - curve / self._ignorance
        profiles["cascade_relative_entropy"] = curve
        profiles["cascade_retained"] = retained
        profiles["differential_entropy"] = spread
        for name in ("cascade_relative_entropy", "cascade_retained", "differential_entropy"):
            values[name] = float(profiles[name][-1])
        values["cascade_horizon"], values["cascade_horizon_censored"] = entropy.horizon(
            range(1, depth + 1), retained.tolist(), self.settings.threshold_of("cascade_horizon")
        )
        # The published code leaves its narrower last layer out.
        alike = loss[: depth - 1] if self.architecture.name == "published" and depth > 1 else loss
        relative = alike / np.maximum(alike[-1], 1e-300)
        values["cascade_cutoff"] = entropy.cutoff(np.median(relative, axis=1))

    def _train_networks(self, found: Sequence[Measurement]) -> None:
        """Train the points that the settings ask for, those of one depth together."""
        by_depth: dict[int, list[Measurement]] = {}
        for m in found:
            if self._worth_training(m):
                by_depth.setdefault(m.point.depth, []).append(m)
        for group in by_depth.values():
            started = time.perf_counter()
            curves = train_pack(
                [m.point for m in group],
                self.images,
                architecture=self.architecture,
                activation=self.settings.activation,
                epochs=self.settings.epochs,
                train_images=self.settings.train_images,
                device=self.device,
            )
            seconds = (time.perf_counter() - started) / len(group)
            for m, curve in zip(group, curves, strict=True):
                record_training(m, curve, seconds, self.images.classes)

    def _worth_training(self, m: Measurement) -> bool:
        if self.settings.train != "boundary":
            return self.settings.train == "all"
        near = UNCERTAIN if self.settings.by_horizon else UNCERTAIN_SCORE
        anchor = derive(m.point.seed, f"anchor {m.point}") % ANCHORS == 0
        return abs(m.values["margin"]) < near or anchor


def record_training(m: Measurement, curve: TrainingCurve, seconds: float, classes: int) -> None:
    """Put the ground truth into a measurement."""
    best = float(curve.accuracy.max())
    m.values["accuracy"] = best
    m.values["trainable"] = best > trainable_level(classes)
    m.values["train_seconds"] = seconds
    m.curves["accuracy"], m.curves["loss"] = curve.accuracy, curve.loss


def measure(
    points: Sequence[Point],
    images: Images,
    settings: ProbeSettings | None = None,
    *,
    device: torch.device | str = "cpu",
) -> list[Measurement]:
    """Measure points, in order. A point's numbers do not depend on the others.

    A `Prober` does the same and can be reused; see there.
    """
    return Prober(images, settings or ProbeSettings(), device).measure(list(points))
