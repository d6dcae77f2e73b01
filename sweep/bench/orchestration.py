"""Benchmark of the orchestration (Ray Tune, Optuna and the store) with points that measure nothing, or sleep."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune import Callback
from ray.tune.search.optuna import OptunaSearch

from probes import Images
from sweep.bench.figure import Figure
from sweep.bench.plain_tune import seconds_of_trials
from sweep.execution.driver import measure
from sweep.execution.packing import CONTROL_RATE
from sweep.execution.searcher import PicklesAsNothing
from sweep.limits import cores
from sweep.measuring.rehearsal import Rehearsal
from sweep.measuring.settings import probe_settings
from sweep.spec.spec import SweepSpec
from sweep.storage.store import Store


def orchestration(images: Images) -> Iterator[Figure]:
    """Yield points per second, compared with a plain Tune loop, and how busy the devices are."""
    for seconds, points, name, has_target in ((0.0, 1000, "no-op", True), (0.05, 400, "50 ms", False)):
        plain = _plain_loop(images, seconds)
        yield Figure(f"{name} points: tune.Tuner, a function, OptunaSearch", plain, "points/s")
        for search in ("sobol", "boundary"):
            watch = watched(images, Rehearsal(seconds), points=points, pack=16, search=search)
            yield Figure(
                f"  a sweep, packs of 16, --search {search}", watch.rate, "points/s", 100.0 if has_target else None
            )
            yield Figure("    times faster than tune.Tuner", watch.rate / plain, "x", 20.0 if has_target else None)
    watch = watched(images, Rehearsal(1.0), points=120)
    yield Figure("points of 1 s, --pack auto: devices busy after the first trial", watch.busy(1), "", 0.95)
    watch = watched(images, Rehearsal(0.0), points=600, search="sobol", pack=1)
    yield Figure("trials that the control loop sustains", watch.rate, "trials/s")
    yield Figure("  assumed by --pack auto", CONTROL_RATE, "trials/s")


class Watch(PicklesAsNothing, Callback):
    """A callback of Tune that records the end of each trial, its duration, its points and the driver's memory.

    Parameters
    ----------
    slots:
        The number of trials that can run at once.

    Attributes
    ----------
    ends, seconds:
        When each trial ended, and how long it worked, in seconds.
    points:
        The number of points of each trial.
    memory:
        The driver's memory at the end of each trial, in bytes.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.ends: list[float] = []
        self.seconds: list[float] = []
        self.points: list[int] = []
        self.memory: list[int] = []

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Record the end of a trial."""
        self.ends.append(time.monotonic())
        self.seconds.append(result["seconds"])
        self.points.append(len(trial.config["points"]))
        self.memory.append(_resident_bytes())

    def _rate(self, first: int, last: int) -> float:
        return sum(self.points[first + 1 : last + 1]) / (self.ends[last] - self.ends[first])

    @property
    def rate(self) -> float:
        """The number of points measured per second after the first trial."""
        return self._rate(0, len(self.ends) - 1)

    @property
    def last_tenth(self) -> float:
        """The rate of the last tenth of the trials, relative to that of the first tenth."""
        last, tenth = len(self.ends) - 1, len(self.ends) // 10
        return self._rate(last - tenth, last) / self._rate(0, tenth)

    def busy(self, skipped: int) -> float:
        """Return the fraction of the slots' time in which trials worked, after the end of trial number ``skipped``."""
        start, end = self.ends[skipped - 1], self.ends[-1]
        worked = sum(max(0.0, e - max(start, e - s)) for e, s in zip(self.ends, self.seconds, strict=True))
        return worked / (self.slots * (end - start))

    @property
    def bytes_per_point(self) -> float:
        """The growth of the driver's memory per point after the first tenth of the trials, in bytes."""
        tenth = len(self.memory) // 10
        return (self.memory[-1] - self.memory[tenth]) / sum(self.points[tenth + 1 :])


def _resident_bytes() -> int:
    """Return the resident memory of this process in bytes; 0 except on Linux."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def watched(images: Images, make: Rehearsal, slots: int | None = None, **fields: Any) -> Watch:
    """Run a sweep into a temporary folder and return what was recorded of its trials.

    Parameters
    ----------
    images:
        The data set.
    make:
        Measures the points, in place of the probes.
    slots:
        The number of trials that can run at once; if None, that of the cores of this machine.
    **fields:
        Options of the sweep, as of `SweepSpec`.
    """
    spec = SweepSpec(**fields)
    watch = Watch(slots or cores())
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        store.create()
        measure(spec, Path(folder), probe_settings(spec), images, quiet=True, callbacks=[watch], make=make)
        assert store.read([]).rows.num_rows == spec.points
    return watch


def _plain_loop(images: Images, seconds: float, points: int = 24) -> float:
    """Return the points per second of a plain Tune loop with OptunaSearch and one point per trial."""

    def trial(config: dict[str, float]) -> None:
        time.sleep(seconds)
        tune.report({"margin": abs(config["sigma_w"] - 1.3)})

    space = {"sigma_w": tune.uniform(0.5, 2.5), "sigma_b": tune.uniform(0.05, 1.0), "depth": tune.randint(5, 61)}
    search = tune.TuneConfig(
        search_alg=OptunaSearch(), metric="margin", mode="min", num_samples=points, max_concurrent_trials=cores()
    )
    return points / seconds_of_trials(images, trial, space, search)
