"""Tune's callbacks."""

from typing import Any

from ray.tune import Callback

from probes.point import Point
from sweep.execution.ray_patches import last_error
from sweep.execution.searcher import NeverSaved, PackSearcher
from sweep.execution.trainable import network_name
from sweep.trackers.trackers import Trackers


class Watch(NeverSaved, Callback):
    """Keeps the progress fresh, and gives up trials that failed."""

    def __init__(self, searcher: PackSearcher) -> None:
        self._searcher = searcher

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Called several times a second."""
        self._searcher.refresh()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Called when a trial has got its worker."""
        self._searcher.started(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Called when a trial has failed."""
        self._searcher.give_up(trial.trial_id, last_error(trial))


class LiveEpochs(NeverSaved, Callback):
    """Tells trackers of networks in training; what comes of points they hear when it is stored."""

    def __init__(self, trackers: Trackers) -> None:
        self._trackers = trackers

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Called after every epoch of a pack."""
        networks = result.get("networks") or {}
        for point in [Point(*p) for p in trial.config["points"]] if networks else ():
            found = [(lr, networks.get(network_name(point, lr))) for lr in self._trackers.rates]
            if epochs := [(lr, n["epoch"], n["accuracy"], n["loss"]) for lr, n in found if n]:
                self._trackers.trains(point, epochs)
