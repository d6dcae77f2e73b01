"""The Tune trainable: built once per actor, reused for pack after pack."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import torch
from ray import tune

from probes import Images, Measurement, Point, ProbeSettings
from probes.measure import Prober
from probes.training import Training

from .checkpoints import Checkpoints
from .frame import row

__all__ = ["PackTrainable"]

_CHECKPOINT_SECONDS = 30.0  # of training between checkpoints, at least
_CHECKPOINT_SHARE = 20  # times what writing one takes, at least


class PackTrainable(tune.Trainable):
    """Probes ``config["points"]``, then trains what is to be trained, an epoch a step.

    The last result's ``rows`` are those of the part file. The others say, for whoever logs them, how the training goes.
    """

    def setup(
        self,
        config: dict[str, Any],
        images: Images | None = None,
        settings: ProbeSettings | None = None,
        threads: int = 1,
        device: str = "cpu",
        storage: str = "",
    ) -> None:
        """Make the prober; ``images`` come from the object store, once a node."""
        assert images is not None and settings is not None
        torch.set_num_threads(threads)
        self._prober = Prober(images, settings, device)
        self._checkpoints = Checkpoints(storage)
        self._begin(config)

    def _begin(self, config: dict[str, Any]) -> None:
        self._points = [Point(*p) for p in config["points"]]
        self._doubtful = {self._points[i] for i in config.get("doubtful", ())}
        self._measured: list[Measurement] | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next pack without a new process."""
        self._checkpoints.forget(self._points)  # for a disk of the worker's own; the driver has their rows by now
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Probe the pack; then an epoch."""
        if self._measured is None:
            self._measured = self._prober.probe(self._points)
            saved = self._checkpoints.load(self._points) if self._prober.settings.train != "none" else {}
            self._training: Iterator[Training] = self._prober.train(self._measured, saved, self._doubtful)
            self._next_checkpoint = time.monotonic() + _CHECKPOINT_SECONDS
        training = next(self._training, None)
        if training is not None:
            self._keep(training)
            return _progress(training)
        extra = {"device": str(self._prober.device), "hostname": socket.gethostname()}
        return {"rows": [row(m, **extra) for m in self._measured], "done": True}

    def _keep(self, training: Training) -> None:
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


def _progress(training: Training) -> dict[str, Any]:
    """Metrics: of the pack, and of every network still in training."""
    networks = {
        f"sigma_w={p.sigma_w:.4g} sigma_b={p.sigma_b:.4g} depth={p.depth} seed={p.seed} lr={lr:g}": {
            "accuracy": accuracy,
            "loss": loss,
        }
        for p, lr, accuracy, loss in training.latest()
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
