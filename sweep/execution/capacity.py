"""How many trials the cluster can take now; nodes come and go."""

import math
import time
from collections.abc import Callable, Mapping, Sequence

from sweep.errors import SpecError
from sweep.spec.design import budget
from sweep.spec.experiment import Workload
from sweep.spec.parts import Resources

_LOOK = 2.0  # seconds between looks at the nodes


class Capacity:
    """What the cluster can take, now: nodes come and go.

    Trials are of a kind: ``gpu`` takes a share of a GPU and some cores, ``cpu`` cores alone. Where some nodes have GPUs
    and others have none, those help out with what is small.

    Parameters
    ----------
    spec:
        Cores and GPUs of a trial, trials at once.
    nodes:
        Gives (cores, GPUs) of every node that is alive.

    Raises
    ------
    SpecError
        There are nodes, but none has what a trial takes, and `concurrency` does not say that there will be.
    """

    def __init__(self, spec: Workload, nodes: Callable[[], Sequence[tuple[float, float]]]) -> None:
        self._spec, self._nodes, self._looked = spec, nodes, -math.inf
        self.cpus, self.gpus = spec.cpus_per_trial, _share_of_gpu(spec, nodes())
        gpu_kinds = ("gpu", "cpu") if spec.gpus_per_trial is None else ("gpu",)
        self.kinds: tuple[str, ...] = gpu_kinds if self.gpus else ("cpu",)
        self._slots: dict[str, int] = {}
        there = nodes()
        if not spec.concurrency and any(cores for cores, _ in there):  # else nodes are yet to come
            self._check_fits(there)

    def _check_fits(self, nodes: Sequence[tuple[float, float]]) -> None:
        for i, name, wanted in ((0, "cpus_per_trial", self.cpus), (1, "gpus_per_trial", self.gpus)):
            there = max((n[i] for n in nodes), default=0.0)
            if wanted > there:
                raise SpecError(f"`{name}` must be at most {there:g}, what the largest node has, got {wanted:g}")

    def slots_of(self, kind: str) -> int:
        """Trials of a kind that the nodes have room for."""
        now = time.monotonic()
        if now - self._looked > _LOOK:
            self._looked, nodes = now, self._nodes()
            self._slots = {k: sum(self.on(n, k) for n in nodes) for k in self.kinds}
        return self._slots[kind]

    def on(self, node: tuple[float, float], kind: str) -> int:
        """Trials of a kind that a node of so many cores and GPUs has room for."""
        cores, gpus = node
        if kind == "cpu" and "gpu" in self.kinds and gpus:
            return 0  # its cores feed its GPUs
        share = gpus / self.gpus if kind == "gpu" else math.inf
        return math.floor(min(cores / self.cpus, share) + 1e-9)

    @property
    def slots(self) -> int:
        """Trials at once, at least 1."""
        most = budget(self._spec) * self._spec.replicas
        return max(1, min(most, self._spec.concurrency or sum(self.slots_of(k) for k in self.kinds)))

    def free(self, running: Mapping[str, int]) -> str | None:
        """The kind of trial that there is room for, with so many running of each."""
        if sum(running.values()) >= self.slots:
            return None
        for kind in self.kinds:
            if running.get(kind, 0) < self.slots_of(kind):
                return kind
        # More than there is room for were asked for: they wait, and tell an autoscaler that nodes are wanted.
        return self.kinds[0] if self._spec.concurrency or not any(running.values()) else None

    def is_helper(self, kind: str) -> bool:
        """Whether trials of a kind should take small points, since others are faster."""
        return kind == "cpu" and "gpu" in self.kinds and self.slots_of("gpu") > 0

    @property
    def sharing(self) -> int:
        """Trials to a GPU."""
        return round(1 / self.gpus) if 0 < self.gpus < 1 else 1

    def share(self, trials: int) -> None:
        """Let so many trials share a GPU."""
        self.gpus, self._looked = 1 / trials, -math.inf

    def request(self, kind: str) -> dict[str, float]:
        """Ray's resources of a trial."""
        return {"CPU": self.cpus, "GPU": self.gpus if kind == "gpu" else 0.0}


def _share_of_gpu(spec: Resources, nodes: Sequence[tuple[float, float]]) -> float:
    """Return the GPUs of a trial: those asked for, or such a share that every core is used."""
    if spec.gpus_per_trial is not None:
        return spec.gpus_per_trial
    with_gpu = [n for n in nodes if n[1]]
    if not with_gpu:
        return 0.0
    cpus, gpus = (sum(n[i] for n in with_gpu) for i in (0, 1))
    return share_of_gpu(gpus, cpus / spec.cpus_per_trial)


def share_of_gpu(gpus: float, trials: float) -> float:
    """Return the share of a GPU that lets so many trials run at once, whole trials to a device; 0 without GPUs."""
    share = min(1.0, gpus / max(1.0, trials))
    return 1 / math.floor(1 / share) if share else 0.0
