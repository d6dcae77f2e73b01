"""The Tune trainable: built once per actor, reused for pack after pack."""

import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ray import tune

from probes.point import Measurement, Point
from sweep.spec.rows import row
from sweep.storage.checkpoints import Checkpoints

if TYPE_CHECKING:
    from probes import Images, Prober, ProbeSettings
    from probes.training import Training


class Probing(Protocol):
    """What a trial asks of `Prober`."""

    @property
    def device(self) -> Any:
        """What it measures on."""

    def probe(self, points: Sequence[Point]) -> list[Measurement]:
        """Measure a pack."""

    def train(
        self, measured: list[Measurement], saved: Mapping[Point, Any] | None = None, doubtful: Collection[Point] = ()
    ) -> "Iterator[Training]":
        """Train what is to be trained, an epoch a step."""


MakeProber = Callable[["Images", "ProbeSettings", int, float], Probing]  # images, settings, threads, share of a GPU
_CHECKPOINT_SECONDS = 30.0  # of training between checkpoints, at least
_CHECKPOINT_SHARE = 20  # times what writing one takes, at least


def make_prober(images: "Images", settings: "ProbeSettings", threads: int, gpus: float) -> "Prober":
    """The prober of a process that has so many threads, and such a share of a GPU, to itself."""
    import torch

    from probes.prober import Prober

    torch.set_num_threads(threads)
    device = "cuda" if gpus and torch.cuda.is_available() else "cpu"
    if device == "cuda" and gpus < 1:  # what others share must not be taken from them
        torch.cuda.set_per_process_memory_fraction(gpus)
    return Prober(images, settings, device)


class PackTrainable(tune.Trainable):
    """Probes ``config["points"]``, then trains what is to be trained, an epoch a step.

    The last result's ``rows`` are those of the part file, its ``seconds`` what the pack took. The others say, for
    whoever logs them, how the training goes.
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
        """Make the prober; ``images`` come from the object store, once a node."""
        assert images is not None and settings is not None
        self._train = settings.train != "none"
        self._prober = make(images, settings, threads, gpus if config.get("kind") == "gpu" else 0.0)
        self._checkpoints = Checkpoints(storage)
        self._begin(config)

    def _begin(self, config: dict[str, Any]) -> None:
        self._points = [Point(*p) for p in config["points"]]
        self._doubtful = {self._points[i] for i in config.get("doubtful", ())}
        self._measured: list[Measurement] | None = None
        self._seconds = 0.0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next pack without a new process."""
        if self._train:
            self._checkpoints.forget(self._points)  # for a disk of the worker's own; the driver has their rows by now
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Probe the pack; then an epoch."""
        started = time.perf_counter()
        found = self._go_on()
        self._seconds += time.perf_counter() - started
        return {**found, "seconds": self._seconds}

    def _go_on(self) -> dict[str, Any]:
        if self._measured is None:
            self._measured = self._prober.probe(self._points)
            saved = self._checkpoints.load(self._points) if self._train else {}
            self._training: Iterator[Training] = self._prober.train(self._measured, saved, self._doubtful)
            self._next_checkpoint = time.monotonic() + _CHECKPOINT_SECONDS
        training = next(self._training, None)
        if training is not None:
            self._keep(training)
            return _progress(training)
        extra = {"device": str(self._prober.device), "hostname": socket.gethostname()}
        return {"rows": [row(m, **extra) for m in self._measured], "done": True}

    def _keep(self, training: "Training") -> None:
        """Write checkpoints now and then."""
        started = time.monotonic()
        if started >= self._next_checkpoint:
            self._checkpoints.save(training.state())
            now = time.monotonic()
            self._next_checkpoint = now + max(_CHECKPOINT_SECONDS, _CHECKPOINT_SHARE * (now - started))

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing for Tune to save: see `Checkpoints`."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to load."""


def network_name(point: Point, lr: float) -> str:
    """What a network in training is called in a trial's results."""
    p = point
    return f"sigma_w={p.sigma_w:.4g} sigma_b={p.sigma_b:.4g} depth={p.depth} seed={p.seed} lr={lr:g}"


def _progress(training: "Training") -> dict[str, Any]:
    """Metrics: of the pack, and of every network still in training."""
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
