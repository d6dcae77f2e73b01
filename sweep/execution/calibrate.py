"""Measurement of how many trials should share a GPU, at the beginning of a sweep.

Networks of the sweep's middle depth are probed on one GPU. The number of trials on it is doubled as long as that
raises the number of points measured per second.
"""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from probes.point import Point
from sweep.execution.capacity import Capacity
from sweep.execution.cost import cost_of_point, guessed_speeds, typical_extra
from sweep.spec.design import budget
from sweep.spec.experiment import Workload
from sweep.spec.space import Space

if TYPE_CHECKING:
    from probes import Images, ProbeSettings
    from sweep.execution.trainable import MakeProber

_MIN_SPEEDUP = 1.1  # the gain in points per second that a doubling of the trials must bring
_POINTS_PER_PACK, _REPETITIONS = 2, 2
_TIMEOUT_S = 300.0  # for the whole calibration
_MIN_SWEEP_S = 600.0  # shorter sweeps, by the estimate, are not worth a calibration


def share_gpus(
    spec: Workload,
    settings: "ProbeSettings",
    images: "Images",
    make: "MakeProber | None",
    capacity: Capacity,
    note: Callable[[str], None],
) -> None:
    """Measure how many trials should share a GPU, and set the capacity accordingly.

    Nothing is measured where the spec sets ``gpus_per_trial``, where only one trial fits on a GPU, or where the sweep
    is too short to be worth it. If the measurement fails, the capacity stays as it is. ``make`` makes the prober of a
    trial (None: the default one), ``note`` tells the user what is being waited for.
    """
    from ray.exceptions import RayError

    from sweep.execution.trainable import make_prober

    if (
        spec.gpus_per_trial is None
        and capacity.trials_per_gpu > 1
        and _is_long(spec, settings, cost_of_point(settings, images), capacity)
    ):
        note("measuring how many trials should share a GPU")
        with suppress(RayError):  # no reason to end a sweep: it goes on with one trial per core
            most = capacity.trials_per_gpu
            capacity.set_trials_per_gpu(best_trials_per_gpu(spec, settings, images, make or make_prober, most))


def _is_long(spec: Workload, settings: "ProbeSettings", cost: Callable[[Point], float], capacity: Capacity) -> bool:
    """Return whether a sweep takes so long that a minute of calibration is worth it."""
    points, mean = budget(spec) * spec.replicas, cost(_typical_point(spec, settings))
    return points * mean / guessed_speeds(capacity)["gpu"] / capacity.slots > _MIN_SWEEP_S


def best_trials_per_gpu(
    spec: Workload, settings: "ProbeSettings", images: "Images", make: "MakeProber", max_trials: int
) -> int:
    """Return how many trials on one GPU measure the most points per second.

    The answer is a power of two, at most ``max_trials``. Takes about a minute. Ray must have been started; ``make``
    makes the prober of a trial.

    Raises
    ------
    ray.exceptions.RayError
        A trial failed, or the calibration took more than five minutes, e.g. since no GPU was free.
    """
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    device = placement_group([{"GPU": 1.0, "CPU": max_trials * spec.cpus_per_trial}])
    shared_images, shared_settings = ray.put(images), ray.put(settings)
    strategy = PlacementGroupSchedulingStrategy(device, placement_group_bundle_index=0)
    actor: Any = ray.remote(_Trial).options(
        num_gpus=1 / max_trials, num_cpus=spec.cpus_per_trial, scheduling_strategy=strategy, max_restarts=0
    )
    threads = max(1, math.floor(spec.cpus_per_trial))
    points = [_typical_point(spec, settings, seed) for seed in range(_POINTS_PER_PACK)]
    end = time.monotonic() + _TIMEOUT_S
    trials: list[Any] = []
    best, rate = 1, 0.0
    try:
        while 2 * len(trials) <= max_trials:
            new = [actor.remote(shared_images, shared_settings, make, threads) for _ in range(max(1, len(trials)))]
            trials += new
            ray.get([t.measure.remote(points) for t in new], timeout=end - time.monotonic())  # warm up
            started = time.monotonic()
            for _ in range(_REPETITIONS):
                ray.get([t.measure.remote(points) for t in trials], timeout=end - time.monotonic())
            new_rate = _REPETITIONS * len(trials) * _POINTS_PER_PACK / (time.monotonic() - started)
            if new_rate < _MIN_SPEEDUP * rate:
                break
            best, rate = len(trials), new_rate
    finally:
        for trial in trials:
            ray.kill(trial)
        remove_placement_group(device)
    return best


def _typical_point(spec: Space, settings: "ProbeSettings", seed: int = 0) -> Point:
    """Return a point of middle depth near the critical line."""
    return Point(1.3, 0.2, sum(spec.depth) // 2, seed, typical_extra(spec, settings))


class _Trial:
    """A Ray actor that measures points as a trial does, without Tune."""

    def __init__(self, images: "Images", settings: object, make: "MakeProber", threads: int) -> None:
        self._prober = make(images, settings, threads, 1.0)  # type: ignore[arg-type]

    def measure(self, points: list[Point]) -> None:
        """Measure a pack of points."""
        self._prober.probe(points)
