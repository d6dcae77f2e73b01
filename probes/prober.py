"""The prober, which measures packs of points: it runs the probes and trains networks."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch

from probes.cascade import Cascade
from probes.cost import Cost, cost
from probes.custom.function import Custom
from probes.custom.network import CustomNetwork
from probes.datasets import Images
from probes.decoders import Decoder, train_decoders
from probes.direct import DirectProbe
from probes.evaluation import Evaluator, Observation
from probes.failure import Failure
from probes.further import OWN_SETTINGS, RATE
from probes.gradients import KEPT_BYTES, gradients, image_count
from probes.networks import Decodable, Network
from probes.point import Extra, Measurement, Point
from probes.seeds import derive
from probes.settings import (
    CASCADE_IMAGES,
    HELD_OUT_IMAGES,
    POINTS_PER_ANCHOR,
    UNCERTAIN_MARGINS,
    UNCERTAIN_SCORES,
    ProbeSettings,
)
from probes.threads import plain_modes, safe_in_forks
from probes.time_limit import time_limit
from probes.training.pack import Training
from probes.training.settings import TrainingCurve, chance


class Prober:
    """A prober measures packs of points; build one per process and device, and reuse it.

    Parameters
    ----------
    images:
        The data set that is shown to the networks.
    settings:
        How points are measured.
    device:
        Device of all computations but the drawing of random numbers.
    progress:
        Called each time the training of decoders has taken on another layer of a cascade.

    Attributes
    ----------
    images, settings, device:
        As given.
    architecture:
        Architecture of the networks that the settings describe.
    reconstructed:
        Number of test images that cascades reconstruct: the first ones.
    steps:
        Adam steps of each decoder of a cascade.

    Raises
    ------
    ValueError
        The architecture is not one for these images.
    """

    @safe_in_forks
    @plain_modes()
    def __init__(
        self,
        images: Images,
        settings: ProbeSettings,
        device: torch.device | str = "cpu",
        progress: Callable[[], None] | None = None,
    ) -> None:
        self._progress = progress
        self.images, self.settings, self.device = images, settings, torch.device(device)
        self.architecture = settings.architecture_for(images)
        count = min(settings.images, len(images.train))
        held_out = images.test[:HELD_OUT_IMAGES]
        self._count, self._inputs = count, torch.cat([images.train[:count], held_out]).to(self.device)
        self.reconstructed = min(CASCADE_IMAGES, len(held_out))
        self._reconstructed = slice(count, count + self.reconstructed)
        self._direct = DirectProbe(settings, self._inputs, learn_from=count)
        self._evaluator = Evaluator(settings, self._inputs[:count], self._inputs[self._reconstructed])
        self.steps = settings.decoder_steps(count)

    def measure(self, points: Sequence[Point]) -> list[Measurement]:
        """Probe a pack of points and train the networks that the settings ask for; return the measurements in order."""
        measured = self.probe(points)
        for _ in self.train(measured):
            pass
        return measured

    def probe(self, points: Sequence[Point]) -> list[Measurement]:
        """Probe a pack of points and return their measurements in order.

        A point that raises an exception becomes a ``failed`` measurement: the pack is measured again, one point at a
        time. A pack that does not fit into the device's memory is measured in halves.
        """
        try:
            with self._time_limit(len(points)):
                return self._probe(points)
        except Exception as error:  # any error belongs in the measurement of the point that caused it
            failure = Failure(error)
        self._free()
        if len(points) == 1:
            return [failure.measurement_of(points[0])]
        measured = [m for some in failure.split(points) for m in self.probe(some)]
        failure.note_halving(measured)
        return measured

    def train(
        self,
        measured: list[Measurement],
        saved: Mapping[Point, Any] | None = None,
        doubtful: Collection[Point] = (),
    ) -> Iterator[Training]:
        """Train the networks that the settings ask for, and yield the training after each epoch.

        At the end the outcomes are written into ``measured``. Errors are treated as in `probe`.

        Parameters
        ----------
        measured:
            Measurements of a pack that was probed; changed in place.
        saved:
            State of an earlier training (`Training.state`) from which some of the points go on.
        doubtful:
            Points that are trained whatever their margin, if the settings say ``boundary``.

        Yields
        ------
        Training
            The training under way, for its progress and its state.
        """
        chosen = [i for i, m in enumerate(measured) if self._worth_training(m, m.point in doubtful)]
        if chosen:
            yield from self._train(measured, chosen, saved)

    def training(
        self, points: Sequence[Point], *, keep: bool = False, saved: Mapping[Point, Any] | None = None
    ) -> Training:
        """Return a training of the networks of some points; ``keep`` and ``saved`` as of `Training`."""
        return Training(
            points,
            self.images,
            self.settings.training,
            architecture=self.architecture,
            activation=self.settings.activation,
            network=self.settings.network,
            device=self.device,
            keep=keep,
            saved=saved,
        )

    def record_training(self, m: Measurement, curve: TrainingCurve) -> None:
        """Write the outcome of a training into a measurement."""
        m.values["accuracy"] = float(curve.accuracy[curve.best])
        m.values["lr"] = float(curve.lr[curve.best])
        m.values["chance"] = chance(self.images)
        m.values["train_epochs"] = len(curve.epoch)
        m.values["train_images"] = min(self.settings.training.images, len(self.images.train))
        m.values["train_seconds"] = curve.seconds
        if self.settings.network is None:  # as in `_probe`
            m.values["train_flops"] = len(curve.epoch) * self._cost(m.point).epoch
        for name in ("lr", "epoch", "accuracy", "loss"):
            m.curves[name] = getattr(curve, name)

    def network(self, point: Point, trained: dict[int, list[torch.Tensor]] | None = None) -> Network:
        """Return a point's network on this device; ``trained`` parameters, by layer number, replace random ones."""
        return Network(point, self.architecture.of(point), self.settings.activation, self.device, trained)

    def cascade(self, network: Decodable, *, readout: bool = False) -> Cascade:
        """Return the untrained cascade of a network on these images; with ``readout`` it decodes the read-out, too."""
        return Cascade(
            network, self._inputs, learn_from=self._count, reconstructed=self._reconstructed, readout=readout
        )

    @safe_in_forks
    @plain_modes()
    def _probe(self, points: Sequence[Point]) -> list[Measurement]:
        started = time.perf_counter()
        with torch.no_grad():
            observed = [self._observe(p) for p in points]
            if self.settings.probe != "direct":
                train_decoders(self._prepare(observed), steps=self.steps, precision=self.settings.precision)
            measured = [self._evaluator.measurement(o) for o in observed]
        seconds = time.perf_counter() - started - sum(o.seconds + o.gradient_seconds for o in observed)
        layers = sum(p.depth for p in points)
        for m, o in zip(measured, observed, strict=True):
            m.values["gradient_seconds"] = o.gradient_seconds
            if o.profile is not None:
                m.values["direct_seconds"] = o.seconds
            if o.cascade is not None:
                m.values["probe_steps"] = self.steps
                m.values["cascade_seconds"] = seconds * m.point.depth / layers
            if self.settings.network is None:  # of a user's network the operations are not known
                needed = self._cost(m.point)
                m.values["gradient_flops"] = needed.gradients
                if o.profile is not None:
                    m.values["direct_flops"] = needed.direct
                if o.cascade is not None:
                    m.values["cascade_flops"] = needed.cascade
            m.values["pack"], m.values["pack_halved"] = len(points), 0
        return measured

    def _observe(self, point: Point) -> Observation:
        """Measure the gradients of a network and, if it is asked for, its direct profile, with weights drawn once."""
        started = time.perf_counter()
        if (custom := self.settings.network) is not None:
            network = CustomNetwork(point, custom, self.images.shape, self.images.classes, self.device)
            found = network.gradients(self._inputs[: self._count])
            observed = Observation(network, found, time.perf_counter() - started)
        else:
            built_in = self.network(point)
            built_in.keep(KEPT_BYTES)
            count = min(self._count, image_count(built_in.architecture, self.settings.activation, point.depth))
            observed = Observation(built_in, gradients(built_in, self._inputs[:count]), time.perf_counter() - started)
        if self.settings.probe != "direct":
            observed.cascade = self.cascade(observed.network)
        if self.settings.probe != "cascade":
            self._add_profile(observed)
        observed.network.forget()
        return observed

    def _add_profile(self, observed: Observation) -> None:
        started = time.perf_counter()
        observed.profile = self._direct.profile(observed.network)
        observed.seconds = time.perf_counter() - started

    def _prepare(self, observed: Sequence[Observation]) -> Iterator[Decoder]:
        for cascade in (o.cascade for o in observed if o.cascade is not None):
            for decoder in cascade.prepare():
                yield decoder
                if self._progress:
                    self._progress()
            cascade.network.forget()

    def _worth_training(self, m: Measurement, doubtful: bool) -> bool:
        if self.settings.train != "boundary" or m.status == "failed":
            return self.settings.train == "all" and m.status != "failed"
        by_logarithm = self.settings.by_horizon or self.settings.by_gradient
        low, high = UNCERTAIN_MARGINS if by_logarithm else UNCERTAIN_SCORES
        anchor = derive(m.point.seed, f"anchor {m.point}") % POINTS_PER_ANCHOR == 0
        return doubtful or anchor or low < m.values["margin"] < high

    def _train(
        self, measured: list[Measurement], chosen: Sequence[int], saved: Mapping[Point, Any] | None
    ) -> Iterator[Training]:
        points = [measured[i].point for i in chosen]
        try:
            training = self.training(points, saved=saved)
            while training.running:
                with self._time_limit(training.running):
                    training.epoch()
                yield training
            for i, curve in zip(chosen, training.curves(), strict=True):
                self.record_training(measured[i], curve)
            return
        except Exception as error:  # as in `probe`
            failure = Failure(error)
        training = None  # type: ignore[assignment]  # frees its memory
        self._free()
        if len(chosen) == 1:
            measured[chosen[0]] = failure.measurement_of(points[0])
            return
        for some in failure.split(chosen):
            yield from self._train(measured, some, saved)
        failure.note_halving([measured[i] for i in chosen])

    def _cost(self, point: Point) -> Cost:
        return cost(self.settings.at(point.extra), self.images, point.depth)

    def _time_limit(self, count: int) -> AbstractContextManager[None]:
        """Return the limit of the time that the computations of some points may take."""
        timeout = self.settings.timeout
        return time_limit(None if timeout is None else timeout * count)

    def _free(self) -> None:
        """Return cached memory to the GPU after a failed attempt, whose tensors are no longer referenced."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def measure(
    points: Sequence[Point],
    images: Images,
    settings: ProbeSettings | None = None,
    *,
    device: torch.device | str = "cpu",
    network: Custom | Callable[..., Any] | None = None,
) -> list[Measurement]:
    """Measure random networks: probe them, and train those that the settings ask for.

    Parameters
    ----------
    points:
        The points to measure.
    images:
        The data set.
    settings:
        How points are measured; None means the defaults.
    device:
        Device of the computations.
    network:
        Function of yours that makes the networks, or a `Custom` that also says which modules are layers; see
        `probes.custom`. None: as the settings say.

    Returns
    -------
    list of Measurement
        One measurement per point, in the same order. A point that raises an exception has the status ``failed``.

    Raises
    ------
    ValueError
        The architecture is not one for these images, the ``network`` cannot be called, or the points have values of
        different further axes, or of axes that there are not.

    Notes
    -----
    The numbers of a point do not depend on the other points, apart from rounding in the cascade's training. For several
    calls build a `Prober` once.
    """
    points, settings = list(points), settings or ProbeSettings("both" if network is None else "direct")
    if network is not None:
        custom = network if isinstance(network, Custom) else Custom(network, extra=_further_arguments(points))
        settings = replace(settings, network=custom)
    elif unknown := {name for p in points for name, _ in p.extra} - {*OWN_SETTINGS}:
        if settings.network is None:
            raise ValueError(f"`points` must have values of {', '.join(OWN_SETTINGS)} only, got {min(unknown)!r}")
    return Prober(images, settings, device).measure(points)


def _further_arguments(points: Sequence[Point]) -> Extra:
    """Return the further arguments of a user's function, which all points have, with the values of the first one."""
    wanted = [tuple(pair for pair in p.extra if pair[0] != RATE) for p in points]
    names = [[name for name, _ in pairs] for pairs in wanted]
    if different := [p for p, own in zip(points, names, strict=True) if own != names[0]]:
        raise ValueError(f"`points` must have values of the same further axes, got {points[0]} and {different[0]}")
    return wanted[0] if wanted else ()
