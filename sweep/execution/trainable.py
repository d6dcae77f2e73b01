"""Tune's trainable, which is made once per worker process and measures pack after pack."""

import os
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from ray import tune

from probes.further import RATE
from probes.point import Measurement, Point
from sweep.execution.devices import check_gpu
from sweep.processes import called_after
from sweep.spec.rows import point_values, row
from sweep.storage.checkpoints import Checkpoints

if TYPE_CHECKING:
    from probes import Images, Prober, ProbeSettings
    from probes.training import Training


class ProberProtocol(Protocol):
    """The methods of `Prober` that a trial uses."""

    @property
    def device(self) -> Any:
        """The device that the points are measured on."""

    def probe(self, points: Sequence[Point]) -> list[Measurement]:
        """Measure a pack of points, without training."""

    def train(
        self, measured: list[Measurement], saved: Mapping[Point, Any] | None = None, doubtful: Collection[Point] = ()
    ) -> "Iterator[Training]":
        """Train the networks that the settings ask for, and yield after each epoch.

        ``saved`` holds the checkpoints of earlier trainings; ``doubtful`` points are trained whatever their margin.
        """


MakeProber = Callable[
    ["Images", "ProbeSettings", int, float], ProberProtocol
]  # images, settings, threads, share of a GPU
_MIN_CHECKPOINT_INTERVAL_S = 30.0
_INTERRUPTION_TIME_S = 30.0  # for which an operation goes on that is to be interrupted
_MIN_CHECKPOINT_INTERVAL_RATIO = 20  # times the time that the last checkpoint took to write


def make_prober(images: "Images", settings: "ProbeSettings", threads: int, gpus: float) -> "Prober":
    """Return a `Prober` for this process, and limit the process to its threads and its share of a GPU.

    ``gpus`` is the share (0 for the CPU). Where it is below 1, the process can use no more than that fraction of the
    GPU's memory.

    Raises
    ------
    UnusableGpuError
        The process has a share of a GPU, but torch cannot use it.
    """
    import torch

    from probes.prober import Prober

    torch.set_num_threads(threads)
    if not gpus:
        return Prober(images, settings, "cpu")
    check_gpu()
    if gpus < 1:  # other trials share the device
        torch.cuda.set_per_process_memory_fraction(gpus)
    return Prober(images, settings, "cuda")


class PackTrainable(tune.Trainable):
    """Trainable that probes the points in ``config["points"]``, then trains networks, one epoch per step.

    The last result of a trial holds the rows to be stored (``rows``) and the seconds that the pack took (``seconds``).
    The results before it hold the metrics of the training, for loggers.
    """

    def setup(
        self,
        config: dict[str, Any],
        images: "Images | None" = None,
        settings: "ProbeSettings | None" = None,
        make: MakeProber = make_prober,
        threads: int = 1,
        gpus: float = 0.0,
        storage: str = "",
    ) -> None:
        """Make the prober and take the first pack.

        Tune calls this once per worker. ``images`` lie in Ray's object store, one copy per node. ``gpus`` is the share
        of a GPU for trials of kind ``gpu``; ``storage`` is the directory or URI of the results, for the checkpoints.
        """
        assert images is not None and settings is not None
        self._train, self._timeout = settings.train != "none", settings.timeout
        self._networks_per_point = len(settings.training.lr)  # that are in training
        self._prober = make(images, settings, threads, gpus if config.get("kind") == "gpu" else 0.0)
        self._checkpoints = Checkpoints(storage)
        self._begin(config)

    def _begin(self, config: dict[str, Any]) -> None:
        self._points = [Point(*p) for p in config["points"]]
        self._doubtful = {self._points[i] for i in config.get("doubtful", ())}
        self._measured: list[Measurement] | None = None
        self._seconds = 0.0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next pack in the same process, and return True, as Tune requires."""
        if self._train:
            self._checkpoints.forget(
                self._points
            )  # the driver has their rows, but does not see the disks of other nodes
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Probe the pack in the first step, train for an epoch, and return the result for Tune."""
        started = time.perf_counter()
        result = self._advance()
        self._seconds += time.perf_counter() - started
        return {**result, "seconds": self._seconds}

    def _advance(self) -> dict[str, Any]:
        if self._measured is None:
            with self._bounded():
                self._measured = self._prober.probe(self._points)
            saved = self._checkpoints.load(self._points) if self._train else {}
            self._training: Iterator[Training] = self._prober.train(self._measured, saved, self._doubtful)
            self._next_checkpoint = time.monotonic() + _MIN_CHECKPOINT_INTERVAL_S
        with self._bounded():
            training = next(self._training, None)
        if training is not None:
            self._save_checkpoints(training)
            return _progress(training)
        extra = {"device": str(self._prober.device), "hostname": socket.gethostname()}
        return {"rows": [row(m, **extra) for m in self._measured], "done": True}

    @contextmanager
    def _bounded(self) -> Iterator[None]:
        """End this process if the ``with`` block is not interrupted in time: the pack then counts as one that failed.

        The prober limits the time itself, but cannot interrupt what does not run code of Python.
        """
        if self._timeout is None:
            yield
            return
        # A pack that takes too long is measured once more, point by point.
        limit = 2 * self._timeout * len(self._points) * self._networks_per_point + _INTERRUPTION_TIME_S
        with called_after(limit, lambda: os._exit(1)):
            yield

    def _save_checkpoints(self, training: "Training") -> None:
        """Write checkpoints of the training, if the last ones are old enough."""
        started = time.monotonic()
        if started >= self._next_checkpoint:
            self._checkpoints.save(training.state())
            now = time.monotonic()
            self._next_checkpoint = now + max(
                _MIN_CHECKPOINT_INTERVAL_S, _MIN_CHECKPOINT_INTERVAL_RATIO * (now - started)
            )

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Save nothing: trainings are saved by `Checkpoints`."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Load nothing."""


def network_name(point: Point, lr: float) -> str:
    """Return the name of a network in training, as it stands in the results of a trial."""
    values = " ".join(
        f"{name}={value:.4g}" for name, value in point_values(point).items() if name not in ("seed", RATE)
    )
    return f"{values} seed={point.seed} lr={lr:g}"


def _progress(training: "Training") -> dict[str, Any]:
    """Return the metrics of a pack in training, and of every network that is still being trained."""
    networks = {
        network_name(p, lr): {"epoch": epoch, "accuracy": accuracy, "loss": loss}
        for p, lr, epoch, accuracy, loss in training.latest()
    }
    curves = [c for c in training.curves() if len(c.epoch)]
    accuracies, losses = ([float(getattr(c, n)[-1]) for c in curves] for n in ("accuracy", "loss"))
    return {
        "epoch": max(int(c.epoch[-1]) for c in curves),
        "in_training": training.running,
        "mean_accuracy": sum(accuracies) / len(curves),
        "mean_loss": sum(losses) / len(curves),
        "best_accuracy": max(float(c.accuracy.max()) for c in curves),
        "networks": networks,
    }
