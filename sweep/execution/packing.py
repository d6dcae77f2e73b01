"""The number of points per trial: as many as keep its device busy for a few seconds."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from probes.point import Point
from sweep.execution.capacity import MEMORY_FRACTION, Capacity
from sweep.limits import available_bytes
from sweep.measuring.memory import check_memory, largest
from sweep.spec.experiment import Workload

if TYPE_CHECKING:
    from probes import Images, ProbeSettings

MAX_PACK = 64  # points
_MAX_LEARNING_PACK = 16  # points, in a search that learns: of larger packs, the last points would be out of date
_MIN_PACK_TIME_S = 3.0  # the overhead of a trial is some tens of milliseconds
_MIN_LEARNING_ROUNDS = 8  # packs that every device gets, in a search that learns
CONTROL_RATE = 8.0  # trials per second that Tune's control loop sustains (`sweep bench --orchestration` measures it)
_MAX_HELPER_TIME = 10.0  # for a point on a node without a GPU, where others have some; in pack times
_WORKER_BYTES = 0.4 * 2**30  # of a worker that measures nothing, without the libraries that it shares with others
_PAST_WEIGHT = 0.7  # of earlier packs, in the average of a device's speed


class Packer:
    """Chooser of the points that make up a pack.

    Parameters
    ----------
    spec:
        The specification of the sweep. Its ``pack`` is used as it is, unless it is None.
    cost:
        Function that maps a point to its floating point operations.
    speed:
        A first guess of the floating point operations per second of a trial, for each kind of trial. Replaced by
        measurements, see `update_speed`.
    max_points:
        The number of points that a trial has the memory for.
    """

    def __init__(
        self, spec: Workload, cost: Callable[[Point], float], speed: dict[str, float], max_points: int = MAX_PACK
    ) -> None:
        self._spec, self._cost, self._speed = spec, cost, dict(speed)
        self._measured = dict.fromkeys(speed, False)
        learns = spec.search in ("boundary", "tpe")
        self._limit = min(max_points, _MAX_LEARNING_PACK if learns else MAX_PACK)
        self._rounds = _MIN_LEARNING_ROUNDS if learns else 1

    def seconds(self, points: Sequence[Point], kind: str) -> float:
        """Return the expected time in seconds that points take in a trial of a kind."""
        return sum(map(self._cost, points)) / self._speed[kind]

    def max_size(self, slots: int) -> int:
        """Return the maximum number of points per pack when ``slots`` trials run at once."""
        if self._spec.pack:
            return self._spec.pack
        rows = self._spec.points * self._spec.replicas
        return max(1, min(self._limit, rows // (self._rounds * max(1, slots))))

    def target_time(self, slots: int) -> float:
        """Return the time in seconds that a pack should take when ``slots`` trials run at once.

        It is so long that Tune's control loop stays below half of the rate that it sustains.
        """
        return max(_MIN_PACK_TIME_S, slots / (0.5 * CONTROL_RATE))

    def pick(self, groups: Sequence[Sequence[Point]], slots: int, kind: str, *, small: bool = False) -> list[int]:
        """Return the indices of the groups of points that form the next pack.

        These are the first groups, or with ``small`` the cheapest ones. There is at least one, unless ``small`` is set
        and no group is cheap enough for a node without a GPU.
        """
        order = sorted(range(len(groups)), key=lambda i: self.seconds(groups[i], kind) if small else i)
        target = self.target_time(slots)
        chosen: list[int] = []
        count, seconds = 0, 0.0
        for i in order:
            more = self.seconds(groups[i], kind)
            if small and not chosen and more > _MAX_HELPER_TIME * target:
                return []
            full = count + len(groups[i]) > self.max_size(slots) or (not self._spec.pack and seconds + more > target)
            if chosen and full:
                break
            chosen.append(i)
            count, seconds = count + len(groups[i]), seconds + more
        return chosen

    def update_speed(self, points: Sequence[Point], kind: str, seconds: float) -> None:
        """Update the speed of trials of a kind from the time that a pack took."""
        speed = sum(map(self._cost, points)) / max(seconds, 1e-6)
        if not math.isfinite(speed) or speed <= 0:
            return
        if self._measured[kind]:
            speed = self._speed[kind] ** _PAST_WEIGHT * speed ** (1 - _PAST_WEIGHT)
        self._speed[kind], self._measured[kind] = speed, True


def fitting_pack(spec: Workload, settings: "ProbeSettings", images: "Images", capacity: Capacity) -> int:
    """Return how many points of the largest depth a trial has the memory for, at least 1.

    On a GPU, a trial has its share of the device's memory; the GPUs of a cluster are taken to be like the one of this
    machine. On a CPU, it has its share of the memory of the node where that is smallest; and where the memory does not
    suffice for a trial on every core, the capacity is lowered.

    Raises
    ------
    SpecError
        No node has the memory for the pack that the spec asks for, or for a single point.
    """
    import torch

    from probes.memory import peak_bytes

    device, threads = "cuda" if capacity.gpus else "cpu", max(1, math.floor(capacity.cpus))
    depth, settings = spec.depth[1], largest(settings, images, spec)
    if device == "cpu":
        nodes = [n for n in capacity.nodes() if n.cores >= capacity.cpus]
        if nodes and not spec.is_here and not spec.concurrency:  # else larger nodes may be yet to come
            check_memory(settings, images, depth, spec.pack or 1, max(n.memory for n in nodes), "the largest node")
        capacity.set_trial_bytes(_WORKER_BYTES + peak_bytes(settings, images, depth, spec.pack or 1, device, threads))
        available = _bytes_per_trial(spec, capacity)
    elif torch.cuda.is_available():
        available = torch.cuda.get_device_properties(0).total_memory * min(1.0, capacity.gpus)
    else:  # this machine has no GPU to go by: packs that turn out too large are halved by the prober
        return MAX_PACK
    pack = 1
    while pack < MAX_PACK:
        if peak_bytes(settings, images, depth, pack + 1, device, threads) > MEMORY_FRACTION * available:
            break
        pack += 1
    return pack


def _bytes_per_trial(spec: Workload, capacity: Capacity) -> float:
    """Return the memory in bytes that a trial on the CPU can use on any node."""
    trials = ((n.memory, capacity.slots_on(n, "cpu")) for n in capacity.nodes())
    shares = [memory / min(count, capacity.slots) for memory, count in trials if math.isfinite(memory) and count]
    return min(shares, default=available_bytes() / capacity.slots)  # nodes are yet to come, or tell nothing
