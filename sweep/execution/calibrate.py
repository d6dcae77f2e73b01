"""How many trials should share a GPU: measured at the beginning of a sweep, with points of its middle depth.

One trial after another is added to a device, as long as that lets it do more points a second.
"""

import math
import time
from typing import TYPE_CHECKING, Any

from probes.point import Point
from sweep.measuring.settings import probe_settings
from sweep.spec.spec import SweepSpec

if TYPE_CHECKING:
    from probes import Images
    from sweep.execution.trainable import MakeProber

__all__ = ["trials_to_a_gpu"]

_GAIN = 1.1  # times as many points a second: what twice as many trials must give
_POINTS, _TURNS = 2, 2  # in a pack, and how often it is measured
_PATIENCE = 300.0  # seconds for everything


def trials_to_a_gpu(spec: SweepSpec, images: "Images", make: "MakeProber", most: int) -> int:
    """Trials that share a GPU best, up to ``most``: 1, 2, 4, ... A minute or so; Ray must have been started.

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
            found = _TURNS * len(trials) * _POINTS / (time.monotonic() - started)
            if found < _GAIN * rate:
                break
            best, rate = len(trials), found
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
