"""The number of trials that the cluster can run at once, which changes as nodes come and go."""

import math
import time
from collections.abc import Callable, Mapping, Sequence

from sweep.errors import SpecError
from sweep.execution.nodes import Node
from sweep.spec.design import budget
from sweep.spec.experiment import Workload
from sweep.spec.parts import Resources

_REFRESH_INTERVAL_S = 2.0  # how often the nodes are counted
MEMORY_FRACTION = 0.8  # of a node's memory that trials may take by the estimate, which may be 20 % off


class Capacity:
    """The trials that the cluster has room for at present.

    There are two kinds of trial: ``gpu`` takes a share of a GPU and some cores, ``cpu`` takes cores alone. Where some
    nodes have GPUs and others have none, the latter help out by measuring points that take little time.

    Parameters
    ----------
    spec:
        The specification of the sweep, with the cores and GPUs of a trial and the number of trials at once.
    nodes:
        Function that returns the `Node` of every node that is alive, or its fields in a tuple.

    Attributes
    ----------
    cpus, gpus:
        Cores and GPUs of a trial; ``gpus`` is 0 where there are none.
    kinds:
        The kinds of trial that the sweep uses, the fastest first.

    Raises
    ------
    SpecError
        There are nodes, but none has the cores or GPUs that a trial needs, and ``concurrency`` is not set. (Where it
        is set, larger nodes may be yet to come.)
    """

    def __init__(self, spec: Workload, nodes: Callable[[], Sequence[tuple[float, ...]]]) -> None:
        self._spec, self._list_nodes, self._refreshed_at, self._trial_bytes = spec, nodes, -math.inf, 0.0
        current_nodes = self.nodes()
        self.cpus, self.gpus = spec.cpus_per_trial, _share_of_gpu(spec, current_nodes)
        gpu_kinds = ("gpu", "cpu") if spec.gpus_per_trial is None else ("gpu",)
        self.kinds: tuple[str, ...] = gpu_kinds if self.gpus else ("cpu",)
        self._slots: dict[str, int] = {}
        if not spec.concurrency and any(n.cores for n in current_nodes):  # else nodes are yet to come
            self._check_fits(current_nodes)

    def nodes(self) -> list[Node]:
        """Return the nodes that are alive at present."""
        return [Node(*node) for node in self._list_nodes()]

    def _check_fits(self, nodes: Sequence[Node]) -> None:
        for i, name, wanted in ((0, "cpus_per_trial", self.cpus), (1, "gpus_per_trial", self.gpus)):
            largest = max((n[i] for n in nodes), default=0.0)
            if wanted > largest:
                raise SpecError(f"`{name}` must be at most {largest:g}, what the largest node has, got {wanted:g}")

    def slots_of(self, kind: str) -> int:
        """Return how many trials of a kind the nodes have room for."""
        now = time.monotonic()
        if now - self._refreshed_at > _REFRESH_INTERVAL_S:
            self._refreshed_at, nodes = now, self.nodes()
            self._slots = {k: sum(self.slots_on(n, k) for n in nodes) for k in self.kinds}
        return self._slots[kind]

    def slots_on(self, node: Node, kind: str) -> int:
        """Return how many trials of a kind fit on a node."""
        if kind == "cpu" and "gpu" in self.kinds and node.gpus:
            return 0  # its cores feed its GPUs
        share = node.gpus / self.gpus if kind == "gpu" else self._slots_by_memory(node)
        return math.floor(min(node.cores / self.cpus, share) + 1e-9)

    def _slots_by_memory(self, node: Node) -> float:
        """Return how many trials on the CPU the memory of a node suffices for."""
        if not self._trial_bytes or math.isinf(node.memory):
            return math.inf
        return max(math.floor(MEMORY_FRACTION * node.memory / self._trial_bytes), int(self._trial_bytes <= node.memory))

    def set_trial_bytes(self, needed: float) -> None:
        """Let no more trials run on a node than it has memory for, if each takes this many bytes of it."""
        self._trial_bytes, self._refreshed_at = needed, -math.inf

    @property
    def slots(self) -> int:
        """The number of trials to run at once, at least 1."""
        max_trials = budget(self._spec) * self._spec.replicas
        return max(1, min(max_trials, self._spec.concurrency or sum(self.slots_of(k) for k in self.kinds)))

    def free_kind(self, running: Mapping[str, int]) -> str | None:
        """Return the kind of the next trial, None if there is no room; ``running`` counts the trials of each kind."""
        if sum(running.values()) >= self.slots:
            return None
        for kind in self.kinds:
            if running.get(kind, 0) < self.slots_of(kind):
                return kind
        # More trials were asked for than the nodes have room for: pending ones make an autoscaler add nodes.
        return self.kinds[0] if self._spec.concurrency or not any(running.values()) else None

    def is_helper(self, kind: str) -> bool:
        """Return whether trials of a kind should measure cheap points only, since GPUs are there for the others."""
        return kind == "cpu" and "gpu" in self.kinds and self.slots_of("gpu") > 0

    @property
    def trials_per_gpu(self) -> int:
        """The number of trials that share a GPU."""
        return round(1 / self.gpus) if 0 < self.gpus < 1 else 1

    def set_trials_per_gpu(self, trials: int) -> None:
        """Let this many trials share a GPU."""
        self.gpus, self._refreshed_at = 1 / trials, -math.inf

    def resources(self, kind: str) -> dict[str, float]:
        """Return the resources of a trial of a kind, as Ray names them."""
        return {"CPU": self.cpus, "GPU": self.gpus if kind == "gpu" else 0.0}


def _share_of_gpu(spec: Resources, nodes: Sequence[Node]) -> float:
    """Return the GPUs of a trial: as the spec says, or a share that lets all cores of the nodes with GPUs be used."""
    if spec.gpus_per_trial is not None:
        return spec.gpus_per_trial
    with_gpu = [n for n in nodes if n.gpus]
    if not with_gpu:
        return 0.0
    return share_of_gpu(sum(n.gpus for n in with_gpu), sum(n.cores for n in with_gpu) / spec.cpus_per_trial)


def share_of_gpu(gpus: float, trials: float) -> float:
    """Return the share of a GPU for each of ``trials`` that run at once.

    It is 1 over a whole number, so that whole trials fit on every GPU; at most 1, and 0 without GPUs.
    """
    share = min(1.0, gpus / max(1.0, trials))
    return 1 / math.floor(1 / share) if share else 0.0
