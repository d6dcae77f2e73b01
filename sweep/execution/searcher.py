"""The search as a ray.tune Searcher that suggests packs of points, and tries again those that failed."""

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
from sweep.execution.ray_patches import Hosts
from sweep.execution.recorder import Recorder
from sweep.search.planner import Planner
from sweep.storage.heartbeat import Running

_PATIENCE = 1.0  # seconds that a free device waits for a pack; Tune would wait as long, and stop its worker
_NOTHING_ELSE_TO_DO = 60.0  # seconds
_MOST_UNSTORED = 4  # packs a device that wait for the storage, before no more are measured


class NeverSaved:
    """Tune pickles what it is given, to restore a run from. We never do: the parts and the study are the state."""

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return object, ()


@dataclass
class _Trial:
    points: list[Point]
    kind: str
    of_tune: Any = None  # Tune's own, once it has a worker


class PackSearcher(NeverSaved, Searcher):
    """Suggests ``{"points": [(sigma_w, sigma_b, depth, seed), ...], "kind": ...}``; takes the rows of a finished trial.

    ``"doubtful"``, if there, are the indices of those to be trained whatever the probe says.

    What becomes of points that failed, `Failures` says.

    Parameters
    ----------
    planner:
        Asked for points, told rows.
    packer, capacity:
        How many points to a trial, of which kind, and when.
    recorder:
        Stores rows for good.
    retries:
        How often a point that failed is measured again.
    deadline:
        When no pack may begin that would not be done in time; its points stay under way in the study.
    show:
        Called often, with what gives the trials under way and what is wrong with the storage.
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
        self._deadline = deadline
        self._running: dict[str, _Trial] = {}
        self._ended = False

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # FINISHED is a str
        """The next pack; None if no device is free for one; or the end."""
        if self._ended:
            return Searcher.FINISHED
        slots = self._capacity.slots
        kind = self._capacity.free_kind(Counter(trial.kind for trial in self._running.values()))
        if kind is None or not self._storage_keeps_up(slots):
            return None
        if self._deadline.reached:
            self._ended = not self._running
            return Searcher.FINISHED if self._ended else None
        small = self._capacity.is_helper(kind)
        wait = _PATIENCE if self._running else _NOTHING_ELSE_TO_DO
        points = self._planner.take(lambda groups: self._packer.pick(groups, slots, kind, small=small), wait=wait)
        if points is None:
            return None
        if not points or not self._deadline.allows(self._packer.seconds(points, kind)):
            self._ended = not self._running  # what is under way may fail, and be measured again
            return Searcher.FINISHED if self._ended else None
        self._running[trial_id] = _Trial(points, kind)
        doubtful = [i for i, p in enumerate(points) if self._planner.doubtful(p)]
        config = {"points": [astuple(p) for p in points], "kind": kind}
        return {**config, **({"doubtful": doubtful} if doubtful else {})}

    def _storage_keeps_up(self, slots: int) -> bool:
        """Waited for where nothing else is to be done: Tune would sleep, and say nothing."""
        while (late := self._recorder.backlog > _MOST_UNSTORED * slots) and not self._running:
            self._recorder.flush(_PATIENCE)
            self.refresh()
        return not late

    def refresh(self) -> None:
        """Say how far it is."""
        self._show(self.running, self._recorder.trouble)

    def started(self, trial: Any) -> None:
        """A trial of Tune's has got its worker."""
        if trial.trial_id in self._running:
            self._running[trial.trial_id].of_tune = trial

    def running(self) -> list[Running]:
        """What is under way, and where."""
        trials, points = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        for trial in self._running.values():
            where = self._hosts.of(trial.of_tune), trial.kind
            trials[where] += 1
            points[where] += len(trial.points)
        return [Running(*where, trials[where], points[where]) for where in trials]

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Store the rows, and tell the planner; points that failed are measured again, as often as they may.

        A trial that was stopped before it had a result is nobody's failure: its points stay under way in the
        study, for the next time. One that failed is left to `give_up`, which knows why.
        """
        if not result or not (rows := result.get("rows")):
            return
        trial = self._running.pop(trial_id)
        self._packer.update_speed(trial.points, trial.kind, result["seconds"])
        self._take(self._failures.judge_rows(rows))
        rows.clear()  # Tune keeps the results of all trials

    def give_up(self, trial_id: str, error: str) -> None:
        """A trial's worker died, or could not even start."""
        if trial := self._running.pop(trial_id, None):
            self._take(self._failures.judge_trial(trial.points, error))

    def _take(self, verdict: Verdict) -> None:
        self._planner.again(verdict.again)
        self._planner.again(verdict.alone, alone=True)
        if verdict.rows:
            self._recorder.put([{**r, "finished": time.time()} for r in verdict.rows])
            self._planner.tell(verdict.rows)

    def save(self, checkpoint_path: str) -> None:
        """Nothing."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing."""

    def get_state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing."""
