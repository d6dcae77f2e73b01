"""measure(points, images, settings) -> list[Measurement]: the only place where the numerics meet."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from . import cascade, direct, entropy
from .datasets import Images
from .meanfield import mean_field
from .networks import ACTIVATIONS, forward
from .point import REACH, Measurement, Point
from .seeds import derive
from .training import train_pack, trainable_level

__all__ = ["PROBES", "STATISTICS", "Prober", "ProbeSettings", "measure"]

PROBES = ("both", "cascade", "direct")
STATISTICS = ("direct_horizon", "direct_retained", "cascade_horizon", "cascade_retained")
TRAIN = ("none", "boundary", "all")

# The cascade's decoders compound their errors: what it retains is small even where networks train well.
THRESHOLDS = {"direct": 0.25, "cascade": 0.05}

BATCH = 64
MIN_STEPS = 300
HELD_OUT_IMAGES = 1024  # that the direct probe is judged by
CASCADE_IMAGES = 100  # that the cascade reconstructs, as in the paper
STRIDE = 1.1  # between the layers decoded beyond the depth; a horizon interpolated over them is 2 % off at most
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
    width:
        Of the hidden layers; None: the input dimension.
    images:
        Training images used by the probe, at most as many as there are.
    probe_steps:
        Adam steps of the cascade; None: one epoch of the images used, but at least 300.
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
    width: int | None = None
    activation: str = "tanh"
    images: int = 4096
    probe_steps: int | None = None
    train: str = "none"
    epochs: int = 20
    train_images: int = 6400

    def __post_init__(self) -> None:
        for name, allowed in (("probe", PROBES), ("activation", tuple(ACTIVATIONS)), ("train", TRAIN)):
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

    def threshold_of(self, statistic: str) -> float:
        """The threshold that applies to one of `STATISTICS`."""
        return THRESHOLDS[statistic.partition("_")[0]] if self.threshold is None else self.threshold

    @property
    def by_horizon(self) -> bool:
        """Whether the margin is log(horizon / depth), rather than a score minus its threshold."""
        return self.statistic.endswith("_horizon")


@dataclass
class _Walk:
    """One point on its way through the layers: what has been seen of it so far."""

    point: Point
    ended: int | None = None  # the layer where activations left the finite range, if one did
    layers: list[int] = field(default_factory=list)  # that the direct probe decoded
    retained: list[float] = field(default_factory=list)
    decoders: list[cascade.Decoder] = field(default_factory=list)
    activations: list[torch.Tensor] = field(default_factory=list)  # of the images to reconstruct


class Prober:
    """Measures packs of points; built once per process and device, then reused.

    Parameters
    ----------
    images, settings:
        What is shown to the networks, and how they are measured.
    device:
        Where everything but the drawing of random numbers happens.
    """

    def __init__(self, images: Images, settings: ProbeSettings, device: torch.device | str = "cpu") -> None:
        self.images, self.settings, self.device = images, settings, torch.device(device)
        self.width = settings.width or images.pixels
        train, held_out = images.train[: settings.images], images.test[:HELD_OUT_IMAGES]
        self._count = len(train)
        self._inputs = torch.cat([train, held_out]).to(self.device)
        self._direct = direct.DirectDecoder(self._inputs[: self._count], self._inputs[self._count :], settings.penalty)
        self._reconstructed = slice(self._count, self._count + min(CASCADE_IMAGES, len(held_out)))
        self._targets = self._inputs[self._reconstructed]
        mean = self._inputs[: self._count].mean(0).expand_as(self._targets)
        # What always answering the mean training image scores, in nats: the zero of retained information.
        # Kept above 0: images that differ only in brightness have nothing in which to be ignorant.
        self._ignorance = max(1e-12, float(entropy.relative_entropy(self._targets, mean).mean()))
        epoch = -(-self._count // BATCH)
        self.steps = settings.probe_steps or max(epoch, MIN_STEPS)

    def measure(self, points: Sequence[Point]) -> list[Measurement]:
        """Measure a pack; a point that raises becomes a ``failed`` measurement and spares the others."""
        try:
            return self._measure(points)
        except Exception as error:  # whatever it is, it belongs in the row of the point that caused it
            if len(points) == 1:
                text = " ".join(f"{type(error).__name__}: {error}".split())
                return [Measurement(points[0], "failed", text)]
        return [m for p in points for m in self.measure([p])]

    def _measure(self, points: Sequence[Point]) -> list[Measurement]:
        started = time.perf_counter()
        walks = [_Walk(p) for p in points]
        with torch.no_grad():
            # Consuming the walks is what runs them, also where they have no decoders to train.
            cascade.train_decoders(self._walk_all(walks), steps=self.steps, batch=BATCH)
            found = [self._evaluate(w) for w in walks]
        seconds = time.perf_counter() - started
        layers = sum(p.depth for p in points)
        for m in found:
            m.values["probe_steps"] = self.steps if self._cascading else 0
            m.values["probe_seconds"] = seconds * m.point.depth / layers
        self._train(found)
        return found

    @property
    def _cascading(self) -> bool:
        return self.settings.probe != "direct"

    def _walk_all(self, walks: Sequence[_Walk]) -> Iterator[cascade.Decoder]:
        for walk in walks:
            yield from self._walk(walk)

    def _walk(self, walk: _Walk) -> Iterator[cascade.Decoder]:
        """Take one point through its layers: decode directly on the way, yield the cascade's decoders."""
        directly, depth = self.settings.probe != "cascade", walk.point.depth
        reach = REACH * depth if directly else depth
        target, last, next_decoded = self._inputs, 0, 1
        for layer, x in forward(walk.point, self._inputs, self.width, self.settings.activation):
            if self._cascading and layer <= depth:
                weight, bias = cascade.initial_decoder(walk.point.seed, layer, x.shape[1], target.shape[1])
                decoder = cascade.Decoder(
                    weight.to(self.device), bias.to(self.device), x[: self._count], target[: self._count]
                )
                walk.decoders.append(decoder)
                walk.activations.append(x[self._reconstructed].clone())  # a view would keep all of x
                yield decoder
            if directly and layer == next_decoded:
                walk.layers.append(layer)
                walk.retained.append(self._direct.retained(x))
                next_decoded = layer + 1 if layer < depth else min(reach, math.ceil(layer * STRIDE))
            lost = directly and min(walk.retained) < self.settings.threshold_of("direct_retained")
            if layer >= reach or (layer >= depth and lost):
                return
            target, last = x, layer
        walk.ended = last + 1

    def _evaluate(self, walk: _Walk) -> Measurement:
        point, settings = walk.point, self.settings
        theory = mean_field(point.sigma_w, point.sigma_b, settings.activation)
        values: dict[str, float | int | bool] = {"chi_1": theory.chi_1, "xi_c": theory.xi_c}
        profiles: dict[str, np.ndarray] = {}
        if settings.probe != "cascade":
            self._evaluate_direct(walk, values, profiles)
        if self._cascading:
            self._evaluate_cascade(walk, values, profiles)
        statistic = float(values[settings.statistic])
        if settings.by_horizon:
            values["margin"] = math.log(max(statistic, MIN_HORIZON) / point.depth)
            values["margin_censored"] = values[settings.statistic + "_censored"]
        else:
            values["margin"] = statistic - settings.threshold_of(settings.statistic)
            values["margin_censored"] = False
        if not all(math.isfinite(v) for k, v in values.items() if k != "xi_c"):
            raise ArithmeticError(f"a statistic is not finite: {values}")
        diverged = walk.ended is not None and walk.ended <= point.depth
        return Measurement(point, "diverged" if diverged else "ok", "", values, profiles)

    def _evaluate_direct(
        self, walk: _Walk, values: dict[str, float | int | bool], profiles: dict[str, np.ndarray]
    ) -> None:
        depth = walk.point.depth
        layers, retained = walk.layers, walk.retained
        if walk.ended is not None:  # from there on, nothing is retained
            layers, retained = [*layers, walk.ended], [*retained, 0.0]
        profile = np.zeros(depth)
        seen = retained[:depth]
        profile[: len(seen)] = seen
        profiles["direct_retained"] = profile
        values["direct_retained"] = float(profile[-1])
        values["direct_horizon"], values["direct_horizon_censored"] = entropy.horizon(
            layers, retained, self.settings.threshold_of("direct_horizon")
        )

    def _evaluate_cascade(
        self, walk: _Walk, values: dict[str, float | int | bool], profiles: dict[str, np.ndarray]
    ) -> None:
        depth, known = walk.point.depth, len(walk.decoders)
        loss = np.full((depth, len(self._targets)), self._ignorance)
        spread = np.full(depth, -math.inf)
        if known:
            r = cascade.reconstruct([(d.weight, d.bias) for d in walk.decoders], walk.activations)
            loss[:known] = entropy.relative_entropy(self._targets, r).cpu().numpy()
            spread[:known] = entropy.differential_entropy(r).cpu().numpy()
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
        relative = loss / np.maximum(loss[-1], 1e-300)
        values["cascade_cutoff"] = entropy.cutoff(np.median(relative, axis=1))

    def _train(self, found: Sequence[Measurement]) -> None:
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
                width=self.width,
                activation=self.settings.activation,
                epochs=self.settings.epochs,
                train_images=self.settings.train_images,
                device=self.device,
            )
            seconds = (time.perf_counter() - started) / len(group)
            for m, curve in zip(group, curves, strict=True):
                best = float(curve.accuracy.max())
                m.values["accuracy"] = best
                m.values["trainable"] = best > trainable_level(self.images.classes)
                m.values["train_seconds"] = seconds
                m.curves["accuracy"], m.curves["loss"] = curve.accuracy, curve.loss

    def _worth_training(self, m: Measurement) -> bool:
        if self.settings.train != "boundary":
            return self.settings.train == "all"
        near = UNCERTAIN if self.settings.by_horizon else UNCERTAIN_SCORE
        anchor = derive(m.point.seed, f"anchor {m.point}") % ANCHORS == 0
        return abs(m.values["margin"]) < near or anchor


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


def peak_bytes(settings: ProbeSettings, images: Images, depth: int) -> int:
    """A rough estimate of the memory that one point of this depth takes, in bytes."""
    width, pixels = settings.width or images.pixels, images.pixels
    seen = min(settings.images, len(images.train)) + HELD_OUT_IMAGES
    floats = 4 * seen * (width + pixels) + 10 * width * width
    if settings.probe != "direct":
        floats += depth * width * (width + CASCADE_IMAGES) + 2 * depth * CASCADE_IMAGES * pixels
    if settings.train != "none":
        floats += 2 * depth * width * (width + BATCH)
    return 4 * floats
