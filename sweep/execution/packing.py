"""How many points a trial gets: as many as keep its device busy for a few seconds, by what was measured so far."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from probes.point import Point
from sweep.execution.capacity import Capacity
from sweep.execution.nodes import cores_and_gpus, resources_of_nodes
from sweep.limits import available_bytes
from sweep.measuring.settings import probe_settings
from sweep.spec.experiment import Workload

if TYPE_CHECKING:
    from probes import Images

MOST_PACKED = 64
_MOST_LEARNT = 16  # points of a pack in a search that learns: more are soon out of date
_SECONDS = 3.0  # of work a trial, at least: its overhead is some tens of milliseconds
_ROUNDS = 8  # of all devices, at least, in a search that learns
CONTROL_RATE = 8.0  # trials a second that Tune's control loop sustains (`sweep bench --orchestration` measures it)
_SMALL = 10.0  # times the seconds of a pack: what a node without a GPU takes, where others have some
_MEMORY = 0.7  # weight of the past, in what is known of a device's speed


class Packer:
    """Sizes packs.

    Parameters
    ----------
    spec:
        Of the sweep; its ``pack``, if there is one, is obeyed.
    cost:
        Of a point of a depth, in floating point operations.
    speed:
        Those a second of a trial's share of a node, at first: a guess by kind of trial; see `measured`.
    most:
        Points that a trial has the memory for.
    """

    def __init__(
        self, spec: Workload, cost: Callable[[int], float], speed: dict[str, float], most: int = MOST_PACKED
    ) -> None:
        self._spec, self._cost, self._speed, self._most = spec, cost, dict(speed), most
        self._measured = dict.fromkeys(speed, False)
        learns = spec.search in ("boundary", "tpe")
        self._limit = min(most, _MOST_LEARNT if learns else MOST_PACKED)
        self._rounds = _ROUNDS if learns else 1

    def seconds(self, points: Sequence[Point], kind: str) -> float:
        """What they will take on a trial of that kind, by all that is known."""
        return sum(self._cost(p.depth) for p in points) / self._speed[kind]

    def size(self, slots: int) -> int:
        """Points of a pack, at most, with so many trials at once."""
        if self._spec.pack:
            return self._spec.pack
        rows = self._spec.points * self._spec.replicas
        return max(1, min(self._limit, rows // (self._rounds * max(1, slots))))

    def target(self, slots: int) -> float:
        """Seconds that a pack should take: long enough that the control loop stays under half of its rate."""
        return max(_SECONDS, slots / (0.5 * CONTROL_RATE))

    def pick(self, groups: Sequence[Sequence[Point]], slots: int, kind: str, *, small: bool = False) -> list[int]:
        """Indices of the groups of points that a pack takes: the first ones, or the smallest, if they are ``small``.

        At least one, but where small ones are wanted and there are none.
        """
        order = sorted(range(len(groups)), key=lambda i: self.seconds(groups[i], kind) if small else i)
        target = self.target(slots)
        chosen: list[int] = []
        count, seconds = 0, 0.0
        for i in order:
            more = self.seconds(groups[i], kind)
            if small and not chosen and more > _SMALL * target:
                return []
            full = count + len(groups[i]) > self.size(slots) or (not self._spec.pack and seconds + more > target)
            if chosen and full:
                break
            chosen.append(i)
            count, seconds = count + len(groups[i]), seconds + more
        return chosen

    def measured(self, points: Sequence[Point], kind: str, seconds: float) -> None:
        """Learn from a pack that took so long."""
        speed = sum(self._cost(p.depth) for p in points) / max(seconds, 1e-6)
        if not math.isfinite(speed) or speed <= 0:
            return
        if self._measured[kind]:
            speed = self._speed[kind] ** _MEMORY * speed ** (1 - _MEMORY)
        self._speed[kind], self._measured[kind] = speed, True


_SHARE = 0.8  # of the memory at hand: an estimate may be 20 % off


def fitting_pack(spec: Workload, images: "Images", capacity: Capacity) -> int:
    """The largest pack of the deepest points that a trial has the memory for, as far as this machine can tell.

    At least 1. On a GPU its share of the device's memory (those of a cluster are taken to be like the one here), on a
    CPU its share of what is available on the node that has least.
    """
    import torch

    from probes.memory import peak_bytes

    device = "cuda" if capacity.gpus else "cpu"
    if device == "cpu":
        there = _bytes_a_trial(spec, capacity)
    elif torch.cuda.is_available():
        there = torch.cuda.get_device_properties(0).total_memory * min(1.0, capacity.gpus)
    else:  # a driver without a GPU: a pack that is too large is halved where it is measured
        return MOST_PACKED
    settings, pack, threads = probe_settings(spec), 1, max(1, math.floor(capacity.cpus))
    while pack < MOST_PACKED:
        if peak_bytes(settings, images, spec.depth[1], pack + 1, device, threads) > _SHARE * there:
            break
        pack += 1
    return pack


def _bytes_a_trial(spec: Workload, capacity: Capacity) -> float:
    """Memory that every trial can have on the cores of a node."""
    if spec.is_here:
        return available_bytes() / capacity.slots
    trials = ((n.get("memory", 0.0), capacity.on(cores_and_gpus(n), "cpu")) for n in resources_of_nodes())
    shares = [memory / min(count, capacity.slots) for memory, count in trials if memory and count]
    return min(shares, default=available_bytes())  # nodes are yet to come
