"""A stand-in for Ray and Tune, which runs trials in this process on a virtual clock.

Callbacks and the searcher are called in the same order as by Tune. A test that takes the fixture `without_ray` may call
`sweep.run`, `sweep.resume` or the command line: everything but Ray is real. What is simulated can be changed before a
sweep, and read after it::

    def test_something(without_ray, tmp_path):
        without_ray.nodes = [(4, 2), (1, 0)]  # cores and GPUs; by default one node, with two cores or more
        without_ray.fail = lambda points, attempt: NODE_DIED if attempt == 1 else None
        without_ray.at(30.0, stop)  # may change the nodes, copy the sweep, raise KeyboardInterrupt
        sweep.run(SweepSpec(points=8), tmp_path / "sweep", make=Rehearsal(seconds=2.0))
        assert without_ray.clock.now < 100 and len(without_ray.trials) == 4
"""

import heapq
import itertools
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

__all__ = ["NODE_DIED", "WORKER_DIED", "Clock", "FakeTune", "Trial", "without_ray"]

NODE_DIED = "ActorDiedError: The actor died because its node has died. Node Id: 0123"
WORKER_DIED = "ActorDiedError: The actor died unexpectedly before finishing this task: its process has died."
_MODULES_WITH_CLOCK = (  # their module `time` is replaced by the virtual clock
    "sweep.execution.capacity",
    "sweep.execution.deadline",
    "sweep.execution.pressure",
    "sweep.execution.searcher",
    "sweep.execution.trainable",
    "sweep.measuring.rehearsal",
    "sweep.monitor.progress",
    "sweep.monitor.tally",
)


class Clock:
    """A virtual clock in place of the module `time`, which only `sleep` moves on."""

    def __init__(self) -> None:
        self.now, self._epoch = 0.0, time.time()

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def monotonic(self) -> float:
        return self.now

    perf_counter = monotonic

    def time(self) -> float:
        return self._epoch + self.now


@dataclass
class Trial:
    """A trial as Tune's callbacks see it; the fields from ``began`` on are for tests alone."""

    trial_id: str
    config: dict[str, Any]
    error_file: str | None = None
    worker: "_Worker | None" = None
    began: float = 0.0  # seconds of the virtual clock
    ended: float = 0.0
    results: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""

    @property
    def points(self) -> list[Any]:
        from probes import Point

        return [Point(*p) for p in self.config["points"]]

    @property
    def temporary_state(self) -> Any:
        return type("State", (), {"ray_actor": self.worker})

    @property
    def _default_result_or_future(self) -> dict[str, str]:
        return {"hostname": f"node-{self.worker.node}"}


class _Worker:
    """A simulated worker process, which runs trials one after another by a `PackTrainable` in this process."""

    def __init__(self, number: int, node: int) -> None:
        self._actor_id, self.node, self.trainable = number, node, None

    def begin(self, config: dict[str, Any], parameters: dict[str, Any]) -> None:
        from sweep.execution.trainable import PackTrainable

        if self.trainable is None:
            self.trainable = object.__new__(PackTrainable)
            self.trainable.setup(config, **parameters)
        else:
            assert self.trainable.reset_config(config)


class FakeTune:
    """A simulated cluster, and the loop that runs trials on it.

    Attributes
    ----------
    nodes:
        Cores and GPUs of each node; may change while a sweep runs.
    fail:
        Function of the points of a trial and of the number of attempts at the first of them, counted from 1. It returns
        the error that the trial fails with, or None. An exception raised by the measurement also fails the trial.
    clock:
        The virtual clock.
    trials:
        All trials so far.
    workers:
        The number of worker processes that would have been started.
    starts:
        How often Ray would have been started.
    """

    def __init__(self, folder: Any) -> None:
        self.nodes: Sequence[tuple[float, float]] | None = None
        self.fail: Callable[[list[Any], int], str | None] = lambda points, attempt: None
        self.clock = Clock()
        self.trials: list[Trial] = []
        self.workers = self.starts = 0
        self._folder = folder
        self._attempts: Counter[Any] = Counter()
        self._planned: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        """Call ``action`` when the clock has reached ``seconds``, while a sweep runs."""
        heapq.heappush(self._planned, (seconds, next(self._number), action))

    @contextmanager
    def __call__(self, sweep: Any) -> Any:
        """Stand in for `sweep.execution.tuner.tune_on_ray`."""
        from sweep.execution.capacity import Capacity

        sweep.progress.note("starting Ray")
        self.starts += 1
        if self.nodes is None:
            self.nodes = [(max(2.0, (sweep.spec.concurrency or 1) * sweep.spec.cpus_per_trial), 0.0)]
        capacity = Capacity(sweep.spec, lambda: list(self.nodes or ()))
        yield capacity, lambda searcher: self._fit(sweep, capacity, searcher)

    def _fit(self, sweep: Any, capacity: Any, searcher: Any) -> None:
        from sweep.execution.tuner import callbacks, trainable_parameters

        loop = _Loop(self, searcher, callbacks(sweep, searcher), capacity, trainable_parameters(sweep, capacity))
        while loop.step():
            pass

    def next_planned(self, before: float) -> Callable[[], None] | None:
        """Return the next action planned up to the time ``before``, if there is one, and set the clock to its time."""
        if not self._planned or self._planned[0][0] > before:
            return None
        seconds, _, action = heapq.heappop(self._planned)
        self.clock.now = max(self.clock.now, seconds)
        return action

    def error_of(self, trial: Trial) -> str | None:
        """Count an attempt, and return the error that a trial fails with, None if it does not."""
        self._attempts[trial.points[0]] += 1
        return self.fail(trial.points, self._attempts[trial.points[0]])

    def note_error(self, trial: Trial, error: str) -> None:
        """Write the error of a trial to a file, as Tune does."""
        trial.error, file = error, self._folder / f"error-{trial.trial_id}.txt"
        file.write_text(f"Failure # 1 (occurred at 2026-01-01_00-00-00)\n{error}")
        trial.error_file = str(file)


class _Loop:
    """The control loop of Tune: `step` starts trials, takes one event and calls the callbacks and the searcher."""

    def __init__(self, tune: FakeTune, searcher: Any, callbacks: list[Any], capacity: Any, parameters: Any) -> None:
        self._tune, self._searcher, self._callbacks = tune, searcher, callbacks
        self._capacity, self._parameters = capacity, parameters
        self._idle: dict[str, list[_Worker]] = {"cpu": [], "gpu": []}
        self._events: list[tuple[float, int, Trial, dict[str, Any] | str]] = []  # time, number, trial, result or error
        self._number, self._iteration, self._is_finished = itertools.count(), 0, False

    def _call_back(self, name: str, **more: Any) -> None:
        for callback in self._callbacks:
            getattr(callback, name)(iteration=self._iteration, trials=self._tune.trials, **more)

    def step(self) -> bool:
        """Go on to the next event, and return whether the loop has to go on."""
        if self._is_finished and not self._events:
            return False
        self._call_back("on_step_begin")
        while not self._is_finished:
            trial_id = f"{len(self._tune.trials):05d}"
            config = self._searcher.suggest(trial_id)
            if config is None:
                break
            if config == self._searcher.FINISHED:
                self._is_finished = True
            else:
                self._start(Trial(trial_id, config))
        if self._events:
            self._take_event()
        self._iteration += 1
        self._call_back("on_step_end")
        return True

    def _start(self, trial: Trial) -> None:
        self._tune.trials.append(trial)
        trial.began = self._tune.clock.now
        idle = self._idle[trial.config["kind"]]
        if idle:
            trial.worker = idle.pop()
        else:
            self._tune.workers += 1
            trial.worker = _Worker(self._tune.workers, self._tune.workers % max(1, len(self._tune.nodes)))
        self._call_back("on_trial_start", trial=trial)
        error = self._tune.error_of(trial)
        self._run(trial, lambda: trial.worker.begin(trial.config, self._parameters), error)

    def _run(self, trial: Trial, before: Callable[[], None] = lambda: None, error: str | None = None) -> None:
        """Run a step of a trial at once, and queue its outcome as an event at the time when it would have ended."""
        clock = self._tune.clock
        started = clock.now
        outcome: dict[str, Any] | str
        try:
            before()
            outcome = trial.worker.trainable.step()
        except Exception:
            outcome = traceback.format_exc()
        heapq.heappush(self._events, (clock.now, next(self._number), trial, error or outcome))
        clock.now = started  # other trials run at the same time

    def _take_event(self) -> None:
        while (action := self._tune.next_planned(self._events[0][0])) is not None:
            action()
        when, _, trial, outcome = heapq.heappop(self._events)
        self._tune.clock.now = max(self._tune.clock.now, when)
        if isinstance(outcome, str):
            self._fail(trial, outcome)
        else:
            self._result(trial, {**outcome, "trial_id": trial.trial_id})

    def _result(self, trial: Trial, result: dict[str, Any]) -> None:
        trial.results.append({**result, "rows": list(result.get("rows", ()))})
        is_done = result.get("done", False)
        if not is_done:
            self._searcher.on_trial_result(trial.trial_id, result)
        self._call_back("on_trial_result", trial=trial, result=result)
        if is_done:
            trial.ended = self._tune.clock.now
            self._searcher.on_trial_complete(trial_id=trial.trial_id, result=result, error=False)
            self._call_back("on_trial_complete", trial=trial)
            self._idle[trial.config["kind"]].append(trial.worker)
        else:
            self._run(trial)

    def _fail(self, trial: Trial, error: str) -> None:
        trial.ended = self._tune.clock.now
        self._tune.note_error(trial, error)
        self._searcher.on_trial_complete(trial_id=trial.trial_id, result=None, error=True)
        self._call_back("on_trial_error", trial=trial)  # its worker is not used again


@pytest.fixture
def without_ray(monkeypatch, tmp_path_factory):
    """Return the `FakeTune` that sweeps run on in place of Ray."""
    from importlib import import_module

    from sweep.execution import driver

    fake = FakeTune(tmp_path_factory.mktemp("fake-tune"))
    monkeypatch.setattr(driver, "tune_on_ray", fake)
    for name in _MODULES_WITH_CLOCK:
        monkeypatch.setattr(import_module(name), "time", fake.clock)
    return fake
