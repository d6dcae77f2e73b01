"""Callbacks that are given to Ray Tune."""

from typing import Any

from ray.tune import Callback

from probes.point import Point
from sweep.execution.ray_patches import last_error
from sweep.execution.searcher import PackSearcher, PicklesAsNothing
from sweep.execution.trainable import network_name
from sweep.trackers.trackers import Trackers


class SearcherCallback(PicklesAsNothing, Callback):
    """Callback that refreshes the live view and reports the start and the failure of trials to the searcher."""

    def __init__(self, searcher: PackSearcher) -> None:
        self._searcher = searcher

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Refresh the live view; Tune calls this several times per second."""
        self._searcher.refresh()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tell the searcher that a trial has been given its worker."""
        self._searcher.started(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tell the searcher why a trial has failed."""
        self._searcher.give_up(trial.trial_id, last_error(trial))


class LiveEpochs(PicklesAsNothing, Callback):
    """Callback that logs the epochs of networks in training to the trackers.

    The results of a point are logged elsewhere, once they are stored.
    """

    def __init__(self, trackers: Trackers) -> None:
        self._trackers = trackers

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Log the latest epoch of every network in a pack; Tune calls this after each epoch."""
        networks = result.get("networks") or {}
        for point in [Point(*p) for p in trial.config["points"]] if networks else ():
            latest = [(lr, networks.get(network_name(point, lr))) for lr in self._trackers.rates_of(point)]
            if epochs := [(lr, n["epoch"], n["accuracy"], n["loss"]) for lr, n in latest if n]:
                self._trackers.log_epochs(point, epochs)
