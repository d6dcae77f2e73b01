"""The orchestration alone: trials that measure nothing, or sleep, through Ray Tune, Optuna and the store.

The contender is what one would write oneself: a `tune.Tuner` with a function, a trial a point, and OptunaSearch.
"""

import os
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray.tune import Callback

from probes import Images
from sweep.bench.figure import Figure
from sweep.execution.cluster import start_ray
from sweep.execution.driver import measure
from sweep.execution.packing import CONTROL_RATE
from sweep.execution.searcher import NeverSaved
from sweep.execution.tuner import TUNE_ENVIRONMENT
from sweep.limits import cores
from sweep.measuring.rehearsal import Rehearsal
from sweep.spec.spec import SweepSpec
from sweep.storage.store import Store

__all__ = ["orchestration", "scale"]

_NODES, _GPUS = 8, 8


def orchestration(images: Images) -> Iterator[Figure]:
    """Points a second, and how busy the devices are."""
    for seconds, points, name, bar in ((0.0, 1000, "no-op", True), (0.05, 400, "50 ms", False)):
        plain = _plain_loop(images, seconds)
        yield Figure(f"{name} points: tune.Tuner, a function, OptunaSearch", plain, "points/s")
        for search in ("sobol", "boundary"):
            found = _watched(images, Rehearsal(seconds), points=points, pack=16, search=search)
            yield Figure(f"  a sweep, packs of 16, --search {search}", found.rate, "points/s", 100.0 if bar else None)
            yield Figure("    times as many", found.rate / plain, "x", 20.0 if bar else None)
    found = _watched(images, Rehearsal(1.0), points=120)
    yield Figure("points of 1 s, --pack auto: devices busy after the first trial", found.busy(1), "", 0.95)
    found = _watched(images, Rehearsal(0.0), points=600, search="sobol", pack=1)
    yield Figure("trials that the control loop sustains", found.rate, "trials/s")
    yield Figure("  taken to be, by --pack auto", CONTROL_RATE, "trials/s")


def scale(images: Images) -> Iterator[Figure]:
    """A simulated cluster of 64 GPUs, and 100,000 points (some ten minutes, 16 GiB)."""
    slots = _NODES * _GPUS
    with _cluster() as address:
        keys: dict[str, Any] = {"address": address, "gpus_per_trial": 1, "search": "sobol", "pack": 4}
        found = _watched(images, Rehearsal(7.5), points=slots * 4 * 6, **keys)
    busy = found.busy(slots)
    yield Figure(f"{slots} fake GPUs on {_NODES} nodes, packs of 30 s: busy after the first round", busy, "", 0.9)
    found = _watched(images, Rehearsal(0.0), points=100_000, search="sobol", pack=64)
    yield Figure("100,000 no-op points, packs of 64", found.rate, "points/s")
    yield Figure("  rate of the last tenth / of the first", found.last_tenth, "", 0.8)
    yield Figure("  memory of the driver after the first tenth, a point", found.bytes_a_point / 1024, "KiB", 8.0, False)


class _Watch(NeverSaved, Callback):
    """When each trial ended, how long it had worked, and the driver's memory then."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.ends: list[float] = []
        self.seconds: list[float] = []
        self.points: list[int] = []
        self.memory: list[int] = []

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        self.ends.append(time.monotonic())
        self.seconds.append(result["seconds"])
        self.points.append(len(trial.config["points"]))
        self.memory.append(_resident_bytes())

    def _rate(self, first: int, last: int) -> float:
        return sum(self.points[first + 1 : last + 1]) / (self.ends[last] - self.ends[first])

    @property
    def rate(self) -> float:
        """Points a second after the first trial."""
        return self._rate(0, len(self.ends) - 1)

    @property
    def last_tenth(self) -> float:
        """Rate of the last tenth, relative to that of the first."""
        last, tenth = len(self.ends) - 1, len(self.ends) // 10
        return self._rate(last - tenth, last) / self._rate(0, tenth)

    def busy(self, skipped: int) -> float:
        """Share of the devices' time that was worked in, from the end of so many trials to that of the last."""
        start, end = self.ends[skipped - 1], self.ends[-1]
        worked = sum(max(0.0, e - max(start, e - s)) for e, s in zip(self.ends, self.seconds, strict=True))
        return worked / (self.slots * (end - start))

    @property
    def bytes_a_point(self) -> float:
        """What the driver's memory grew by, after the first tenth."""
        tenth = len(self.memory) // 10
        return (self.memory[-1] - self.memory[tenth]) / sum(self.points[tenth + 1 :])


def _resident_bytes() -> int:
    """Memory of this process. Linux only; 0 elsewhere."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _watched(images: Images, make: Rehearsal, **fields: Any) -> _Watch:
    """A sweep into a folder of its own."""
    spec = SweepSpec(**fields)
    watch = _Watch(_NODES * _GPUS if spec.address else cores())
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        store.create()
        measure(spec, Path(folder), images, quiet=True, callbacks=[watch], make=make)
        assert store.read([]).rows.num_rows == spec.points
    return watch


@contextmanager
def _cluster() -> Iterator[str]:
    """The address of a cluster of nodes on this machine, which say that they have GPUs."""
    from ray.cluster_utils import Cluster

    os.environ.update(TUNE_ENVIRONMENT)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(_NODES):
            cluster.add_node(num_cpus=_GPUS, num_gpus=_GPUS, object_store_memory=100 * 2**20)
        cluster.wait_for_nodes()
        yield cluster.address
    finally:
        cluster.shutdown()


def _plain_loop(images: Images, seconds: float, points: int = 24) -> float:
    """Points a second of what one would write oneself; Ray itself is there already."""
    start_ray(SweepSpec(), images)
    import ray
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    def trial(config: dict[str, float]) -> None:
        time.sleep(seconds)
        tune.report({"margin": abs(config["sigma_w"] - 1.3)})

    space = {"sigma_w": tune.uniform(0.5, 2.5), "sigma_b": tune.uniform(0.05, 1.0), "depth": tune.randint(5, 61)}
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tuner = tune.Tuner(
                tune.with_resources(trial, {"cpu": 1}),
                param_space=space,
                tune_config=tune.TuneConfig(
                    search_alg=OptunaSearch(),
                    metric="margin",
                    mode="min",
                    num_samples=points,
                    max_concurrent_trials=cores(),
                ),
                run_config=tune.RunConfig(storage_path=folder, verbose=0),
            )
            started = time.perf_counter()
            tuner.fit()
            return points / (time.perf_counter() - started)
    finally:
        ray.shutdown()
