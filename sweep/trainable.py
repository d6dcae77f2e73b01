"""The Tune trainable: built once per actor, reused for pack after pack."""

import socket
from typing import Any

import torch
from ray import tune

from probes import Images, Point, ProbeSettings
from probes.measure import Prober

from .frame import row

__all__ = ["PackTrainable"]


class PackTrainable(tune.Trainable):
    """Measures ``config["points"]`` in one step; the result's ``rows`` are those of the part file."""

    def setup(
        self,
        config: dict[str, Any],
        images: Images | None = None,
        settings: ProbeSettings | None = None,
        threads: int = 1,
        device: str = "cpu",
    ) -> None:
        """Make the prober; ``images`` come from the object store, once a node."""
        assert images is not None and settings is not None
        torch.set_num_threads(threads)
        self._prober = Prober(images, settings, device)
        self._points = config["points"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next pack without a new process."""
        self._points = new_config["points"]
        return True

    def step(self) -> dict[str, Any]:
        """Measure the pack."""
        points = [Point(*p) for p in self._points]
        extra = {"device": str(self._prober.device), "hostname": socket.gethostname()}
        return {"rows": [row(m, **extra) for m in self._prober.measure(points)], "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to save: a pack is measured in one step."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to load."""
