"""The search as a `ray.tune.search.Searcher` that suggests packs of points, and retries those that failed."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from ray.tune.search import Searcher

from probes.point import Point
from sweep.execution.capacity import Capacity
from sweep.execution.deadline import Deadline
from sweep.execution.failures import Failures, Verdict
from sweep.execution.packing import Packer
from sweep.execution.pressure import MemoryPressure
from sweep.execution.ray_patches import Hosts, memory_shortage
from sweep.execution.recorder import Recorder
from sweep.processes import interrupt_again
from sweep.search.planner import Planner
from sweep.storage.heartbeat import WAITING_FOR_STORAGE, Running

_MAX_WAIT_S = 1.0  # for a pack, if a device is free; without one, Tune would wait as long, and stop the worker
_MAX_IDLE_WAIT_S = 60.0  # for a pack, if no trial is running
_PAUSE_S = 0.2  # between looks at whether a trial may start
_MAX_UNSTORED_PACKS = 4  # per device; if more wait for the storage, no new packs are measured


class PicklesAsNothing:
    """Base class of what is given to Tune, which makes pickling it harmless.

    Tune pickles such objects to restore runs. This package never restores a run of Tune, since its part files and its
    study hold the whole state; the pickle is therefore that of a bare object.
    """

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return object, ()


@dataclass
class _Trial:
    points: list[Point]
    kind: str
    tune_trial: Any = None  # Tune's own object, once the trial has a worker


class PackSearcher(PicklesAsNothing, Searcher):
    """Searcher that gives Tune the configurations of trials, and takes in the rows that they measure.

    A configuration is ``{"points": [(sigma_w, sigma_b, depth, seed), ...], "kind": "cpu" or "gpu"}``. It may have an
    entry ``"doubtful"``: the indices of points that are trained whatever the probe says. `Failures` decides what is
    done with points that failed.

    Parameters
    ----------
    planner:
        The source of points, which learns from the rows.
    packer, capacity:
        They decide how many points a trial gets, which kind it is of, and when there is room for it.
    recorder:
        The writer of the rows.
    retries:
        How often a point that failed is measured again.
    deadline:
        The end of the sweep. Points of packs that would not be done in time are left to `resume`.
    show:
        Function that is called several times per second with a function that returns the running trials, and with the
        reason why work waits, if it does.
    """

    def __init__(
        self,
        planner: Planner,
        packer: Packer,
        capacity: Capacity,
        recorder: Recorder,
        retries: int,
        deadline: Deadline,
        show: Callable[[Callable[[], Sequence[Running]], str | None], None] = lambda running, trouble: None,
    ) -> None:
        super().__init__()
        self._planner, self._packer, self._capacity, self._recorder = planner, packer, capacity, recorder
        self._failures, self._hosts, self._show = Failures(retries), Hosts(), show
        self._deadline, self._pressure = deadline, MemoryPressure()
        self._running: dict[str, _Trial] = {}
        self._ended = False

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # FINISHED is a str
        """Return the configuration of the next trial, None if it cannot start yet, or ``FINISHED``."""
        if self._ended:
            return Searcher.FINISHED
        slots = self._capacity.slots
        kind = self._capacity.free_kind(Counter(trial.kind for trial in self._running.values()))
        if kind is None or not self._storage_keeps_up(slots) or not self._memory_suffices():
            return None
        if self._deadline.reached:
            self._ended = not self._running
            return Searcher.FINISHED if self._ended else None
        small = self._capacity.is_helper(kind)
        wait = _MAX_WAIT_S if self._running else _MAX_IDLE_WAIT_S
        points = self._planner.take(lambda groups: self._packer.pick(groups, slots, kind, small=small), wait=wait)
        if points is None:
            return None
        if not points or not self._deadline.allows(self._packer.seconds(points, kind)):
            self._ended = not self._running  # points of running trials may fail, and be measured again
            return Searcher.FINISHED if self._ended else None
        self._running[trial_id] = _Trial(points, kind)
        doubtful = [i for i, p in enumerate(points) if self._planner.doubtful(p)]
        config = {"points": [_words_of(p) for p in points], "kind": kind}
        return {**config, **({"doubtful": doubtful} if doubtful else {})}

    def _storage_keeps_up(self, slots: int) -> bool:
        """Return whether the storage keeps up with the measurements.

        Waits until it does if no trial is running, since Tune would then sleep without refreshing the live view.
        """
        while (is_late := self._recorder.backlog > _MAX_UNSTORED_PACKS * slots) and not self._running:
            self._recorder.flush(_MAX_WAIT_S)
            self.refresh()
        return not is_late

    def _memory_suffices(self) -> bool:
        """Return whether the nodes have memory for another trial; waits until they do if no trial is running."""
        while not (suffices := self._pressure.allows(len(self._running))) and not self._running:
            if self._deadline.reached:
                return True
            time.sleep(_PAUSE_S)
            self.refresh()
        return suffices

    def refresh(self) -> None:
        """Refresh the live view; Tune calls this several times per second."""
        interrupt_again()
        storage = self._recorder.trouble
        self._show(self.running, f"{WAITING_FOR_STORAGE}: {storage}" if storage else self._pressure.trouble)

    def started(self, trial: Any) -> None:
        """Take note of Tune's object for a trial that has been given its worker."""
        if trial.trial_id in self._running:
            self._running[trial.trial_id].tune_trial = trial

    def running(self) -> list[Running]:
        """Return the running trials and their points, counted by node and kind of trial."""
        trials, points = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        for trial in self._running.values():
            host_and_kind = self._hosts.of(trial.tune_trial), trial.kind
            trials[host_and_kind] += 1
            points[host_and_kind] += len(trial.points)
        return [Running(*key, trials[key], points[key]) for key in trials]

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Store the rows of a trial and pass them on to the planner; points that failed may be measured again.

        Does nothing without a result: a trial that failed is handled by `give_up`, which knows the error, and the
        points of one that was stopped are measured when the sweep is resumed.
        """
        if not result or not (rows := result.get("rows")):
            return
        trial = self._running.pop(trial_id)
        self._pressure.note_success()
        self._packer.update_speed(trial.points, trial.kind, result["seconds"])
        self._apply(self._failures.judge_rows(trial.points, rows))
        rows.clear()  # Tune keeps the results of all trials in memory

    def give_up(self, trial_id: str, error: str) -> None:
        """Take back the points of a trial that failed with an error, for example because its worker died."""
        if trial := self._running.pop(trial_id, None):
            if shortage := memory_shortage(error):
                self._pressure.note_kill(len(self._running), shortage)
            self._apply(self._failures.judge_trial(trial.points, error, others=len(self._running)))

    def _apply(self, verdict: Verdict) -> None:
        self._planner.measure_again(verdict.again)
        self._planner.measure_again(verdict.later, later=True)
        self._planner.measure_again(verdict.alone, alone=True)
        if verdict.rows:
            self._recorder.put([{**r, "finished": time.time()} for r in verdict.rows])
            self._planner.tell(verdict.rows)

    def save(self, checkpoint_path: str) -> None:
        """Save nothing."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing."""

    def get_state(self) -> dict[str, Any]:
        """Return an empty state."""
        return {}

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Save nothing."""


def _words_of(point: Point) -> tuple[Any, ...]:
    """Return a point as it stands in the config of a trial: its values, and those of further axes if it has any."""
    values = astuple(point)
    return values if point.extra else values[:-1]
