"""measure(points, images, settings) -> list[Measurement]: the only place where the numerics meet."""

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from probes import entropy
from probes.cascade import Cascade
from probes.cost import cost
from probes.datasets import Images
from probes.decoders import BATCH, Decoder, train_decoders
from probes.direct import DirectDecoder, Profile, follow
from probes.meanfield import applies_to, mean_field
from probes.networks import Architecture, Network
from probes.point import MIN_HORIZON, Measurement, Point, horizon_margin
from probes.seeds import derive
from probes.settings import (
    ANCHORS,
    CASCADE_IMAGES,
    CERTAINTY,
    FEW_IMAGES,
    HELD_OUT_IMAGES,
    MIN_STEPS,
    UNCERTAIN,
    UNCERTAIN_SCORE,
    ProbeSettings,
)
from probes.training.run import Training
from probes.training.settings import TrainingCurve, chance

__all__ = ["Prober", "measure"]


@dataclass
class _Found:
    """What has been seen of one point so far."""

    network: Network
    profile: Profile | None = None
    seconds: float = 0.0  # that the direct probe took
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
        self._images, self._held_out = self._inputs[: self._count], self._inputs[self._count :]
        self._certainty = settings.certainty or (CERTAINTY if self.architecture.convolutional else None)
        self._decoders: dict[int, DirectDecoder] = {}
        self.shown = min(CASCADE_IMAGES, len(self._held_out))  # test images that cascades reconstruct, the first
        self._targets = self._held_out[: self.shown]
        mean = self._images.mean(0).expand_as(self._targets)
        # What always answering the mean training image scores, in nats: the zero of retained information.
        # Kept above 0: images that differ only in brightness have nothing in which to be ignorant.
        self._ignorance = max(1e-12, float(entropy.relative_entropy(self._targets, mean).mean()))
        epoch = -(-self._count // BATCH)
        self.steps = settings.probe_steps or max(epoch, MIN_STEPS)

    def measure(self, points: Sequence[Point]) -> list[Measurement]:
        """Probe a pack, and train the networks that the settings ask for."""
        measured = self.probe(points)
        for _ in self.train(measured):
            pass
        return measured

    def probe(self, points: Sequence[Point]) -> list[Measurement]:
        """Probe a pack; a point that raises becomes a ``failed`` measurement and spares the others.

        A pack that the device has no memory for is measured in halves.
        """
        try:
            return self._probe(points)
        except Exception as error:  # whatever it is, it belongs in the row of the point that caused it
            failure = _Failure(error)
        self._free()
        if len(points) == 1:
            return [failure.of(points[0])]
        size = len(points) // 2 if failure.out_of_memory else 1
        found = [m for i in range(0, len(points), size) for m in self.probe(points[i : i + size])]
        failure.note_halving(found)
        return found

    def train(
        self,
        measured: list[Measurement],
        saved: Mapping[Point, Any] | None = None,
        doubtful: Collection[Point] = (),
    ) -> Iterator[Training]:
        """Train the networks of those points that the settings ask for; yields after each epoch.

        In the end what became of them is put into ``measured``. ``saved`` is what an earlier training left of some
        (`Training.state`); ``doubtful`` points count as uncertain whatever their margin. Failures as in `probe`.
        """
        chosen = [i for i, m in enumerate(measured) if self._worth_training(m, m.point in doubtful)]
        yield from self._train(measured, chosen, saved)

    def _train(
        self, measured: list[Measurement], chosen: list[int], saved: Mapping[Point, Any] | None
    ) -> Iterator[Training]:
        if not chosen:
            return
        points = [measured[i].point for i in chosen]
        try:
            training = self.training(points, saved=saved)
            while training.running:
                training.epoch()
                yield training
            for i, curve in zip(chosen, training.curves(), strict=True):
                self.record_training(measured[i], curve)
            return
        except Exception as error:  # as in `probe`
            failure = _Failure(error)
        training = None  # type: ignore[assignment]  # lets go of its memory
        self._free()
        if len(chosen) == 1:
            measured[chosen[0]] = failure.of(points[0])
            return
        size = len(chosen) // 2 if failure.out_of_memory else 1
        for i in range(0, len(chosen), size):
            yield from self._train(measured, chosen[i : i + size], saved)
        failure.note_halving([measured[i] for i in chosen])

    def training(
        self, points: Sequence[Point], *, keep: bool = False, saved: Mapping[Point, Any] | None = None
    ) -> Training:
        """The networks of some points, to be trained."""
        return Training(
            points,
            self.images,
            self.settings.training,
            architecture=self.architecture,
            activation=self.settings.activation,
            device=self.device,
            keep=keep,
            saved=saved,
        )

    def record_training(self, m: Measurement, curve: TrainingCurve) -> None:
        """Put the ground truth into a measurement."""
        m.values["accuracy"] = float(curve.accuracy[curve.best])
        m.values["lr"] = float(curve.lr[curve.best])
        m.values["chance"] = chance(self.images)
        m.values["train_epochs"] = len(curve.epoch)
        m.values["train_images"] = min(self.settings.training.images, len(self.images.train))
        m.values["train_seconds"] = curve.seconds
        m.values["train_flops"] = len(curve.epoch) * cost(self.settings, self.images, m.point.depth).epoch
        for name in ("lr", "epoch", "accuracy", "loss"):
            m.curves[name] = getattr(curve, name)

    def _free(self) -> None:
        """Give back memory, once nothing refers to a failed attempt's tensors any more."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _probe(self, points: Sequence[Point]) -> list[Measurement]:
        started = time.perf_counter()
        found = [_Found(self.network(p)) for p in points]
        with torch.no_grad():
            if self.settings.probe != "cascade":
                for f in found:
                    began = time.perf_counter()
                    f.profile = self._follow(f.network)
                    f.seconds = time.perf_counter() - began
            if self._cascading:
                train_decoders(self._prepare(found), steps=self.steps, precision=self.settings.precision)
            measured = [self._evaluate(f) for f in found]
        seconds = time.perf_counter() - started - sum(f.seconds for f in found)
        layers = sum(p.depth for p in points)
        for m, f in zip(measured, found, strict=True):
            needed = cost(self.settings, self.images, m.point.depth)
            if f.profile is not None:
                m.values["direct_seconds"], m.values["direct_flops"] = f.seconds, needed.direct
            if f.cascade is not None:
                m.values["probe_steps"] = self.steps
                m.values["cascade_seconds"] = seconds * m.point.depth / layers
                m.values["cascade_flops"] = needed.cascade
            m.values["pack"], m.values["pack_halved"] = len(points), 0
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
            inputs = self._inputs if count == self._count else torch.cat([self._images[:count], self._held_out])
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
            values["margin"] = horizon_margin(settings.statistic, statistic, point.depth)
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

    def _worth_training(self, m: Measurement, doubtful: bool) -> bool:
        if self.settings.train != "boundary" or m.status == "failed":
            return self.settings.train == "all" and m.status != "failed"
        low, high = UNCERTAIN if self.settings.by_horizon else UNCERTAIN_SCORE
        anchor = derive(m.point.seed, f"anchor {m.point}") % ANCHORS == 0
        return doubtful or anchor or low < m.values["margin"] < high


class _Failure:
    """What went wrong, without the exception, which would keep every tensor of its frames alive."""

    def __init__(self, error: Exception) -> None:
        self.text = " ".join(f"{type(error).__name__}: {error}".split())
        self.out_of_memory = isinstance(error, torch.OutOfMemoryError)

    def of(self, point: Point) -> Measurement:
        """The failed measurement of a point."""
        return Measurement(point, "failed", self.text)

    def note_halving(self, found: Sequence[Measurement]) -> None:
        """Count it, if it was for want of memory."""
        if self.out_of_memory:
            for m in found:
                if m.values:
                    m.values["pack_halved"] += 1


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
