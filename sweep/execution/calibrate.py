"""How many trials should share a GPU: measured at the beginning of a sweep, with points of its middle depth.

One trial after another is added to a device, as long as that lets it do more points a second.
"""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from probes.point import Point
from sweep.execution.capacity import Capacity
from sweep.execution.cost import cost_of_point, guessed_speeds
from sweep.measuring.settings import probe_settings
from sweep.spec.design import budget
from sweep.spec.experiment import Workload

if TYPE_CHECKING:
    from probes import Images
    from sweep.execution.trainable import MakeProber

_GAIN = 1.1  # times as many points a second: what twice as many trials must give
_POINTS, _TURNS = 2, 2  # in a pack, and how often it is measured
_PATIENCE = 300.0  # seconds for everything
_LONG = 600.0  # seconds that a sweep takes, by a guess, to be worth it


def share_gpus(
    spec: Workload, images: "Images", make: "MakeProber | None", capacity: Capacity, note: Callable[[str], None]
) -> None:
    """Let as many trials share a GPU as are fastest together, where the spec leaves it open and a sweep is long."""
    from ray.exceptions import RayError

    from sweep.execution.trainable import make_prober

    if spec.gpus_per_trial is None and capacity.sharing > 1 and _is_long(spec, images, capacity):
        note("measuring how many trials should share a GPU")
        with suppress(RayError):  # no reason to end a sweep: as many as there are cores for, then
            capacity.share(trials_to_a_gpu(spec, images, make or make_prober, capacity.sharing))


def _is_long(spec: Workload, images: "Images", capacity: Capacity) -> bool:
    """Return whether a minute of calibration is worth it."""
    points, cost = budget(spec) * spec.replicas, cost_of_point(spec, images)(sum(spec.depth) // 2)
    return points * cost / guessed_speeds(capacity)["gpu"] / capacity.slots > _LONG


def trials_to_a_gpu(spec: Workload, images: "Images", make: "MakeProber", most: int) -> int:
    """Return how many trials share a GPU best, up to ``most``: 1, 2, 4, ... Takes a minute; Ray must have been started.

    Raises
    ------
    ray.exceptions.RayError
        A trial failed, or no GPU was free in time.
    """
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    device = placement_group([{"GPU": 1.0, "CPU": most * spec.cpus_per_trial}])
    shared, settings = ray.put(images), ray.put(probe_settings(spec))
    strategy = PlacementGroupSchedulingStrategy(device, placement_group_bundle_index=0)
    actor: Any = ray.remote(_Trial).options(
        num_gpus=1 / most, num_cpus=spec.cpus_per_trial, scheduling_strategy=strategy, max_restarts=0
    )
    threads = max(1, math.floor(spec.cpus_per_trial))
    depth = sum(spec.depth) // 2
    points = [Point(1.3, 0.2, depth, seed) for seed in range(_POINTS)]
    end = time.monotonic() + _PATIENCE
    trials: list[Any] = []
    best, rate = 1, 0.0
    try:
        while 2 * len(trials) <= most:
            new = [actor.remote(shared, settings, make, threads) for _ in range(max(1, len(trials)))]
            trials += new
            ray.get([t.measure.remote(points) for t in new], timeout=end - time.monotonic())  # begin
            started = time.monotonic()
            for _ in range(_TURNS):
                ray.get([t.measure.remote(points) for t in trials], timeout=end - time.monotonic())
            faster = _TURNS * len(trials) * _POINTS / (time.monotonic() - started)
            if faster < _GAIN * rate:
                break
            best, rate = len(trials), faster
    finally:
        for trial in trials:
            ray.kill(trial)
        remove_placement_group(device)
    return best


class _Trial:
    """What a trial does, without Tune."""

    def __init__(self, images: "Images", settings: object, make: "MakeProber", threads: int) -> None:
        self._prober = make(images, settings, threads, 1.0)  # type: ignore[arg-type]

    def measure(self, points: list[Point]) -> None:
        """Measure a pack."""
        self._prober.probe(points)
