"""What a machine or a cluster can give to a sweep; starting or joining Ray."""

import contextlib
import logging
import math
import os
import secrets
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .design import budget
from .packing import MOST_PACKED
from .settings import probe_settings
from .spec import SpecError, SweepSpec

if TYPE_CHECKING:
    from probes import Images

__all__ = [
    "Capacity",
    "alive",
    "authenticate",
    "available_bytes",
    "check_here",
    "check_memory",
    "check_reachable",
    "cores",
    "fitting_pack",
    "start_ray",
]

_TRIALS_PER_CORE = 8  # each is a process of half a gigabyte
_OBJECT_STORE_BYTES = 80 * 2**20  # the smallest that Ray allows; images beside it are added
_LOOK = 2.0  # seconds between looks at the nodes
_SHARE = 0.8  # of the memory at hand: an estimate may be 20 % off
_RAY_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


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

    def __init__(self, spec: SweepSpec, nodes: Callable[[], Sequence[tuple[float, float]]]) -> None:
        self._spec, self._nodes, self._looked = spec, nodes, -math.inf
        self.cpus, self.gpus = spec.cpus_per_trial, _share_of_gpu(spec, nodes())
        gpu_kinds = ("gpu", "cpu") if spec.gpus_per_trial is None else ("gpu",)
        self.kinds: tuple[str, ...] = gpu_kinds if self.gpus else ("cpu",)
        self._slots: dict[str, int] = {}
        found = nodes()
        if not spec.concurrency and any(cores for cores, _ in found):  # else nodes are yet to come
            self._check_fits(found)

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


def _share_of_gpu(spec: SweepSpec, nodes: Sequence[tuple[float, float]]) -> float:
    """GPUs of a trial: those asked for, or such a share that every core is used."""
    if spec.gpus_per_trial is not None:
        return spec.gpus_per_trial
    with_gpu = [n for n in nodes if n[1]]
    if not with_gpu:
        return 0.0
    cpus, gpus = (sum(n[i] for n in with_gpu) for i in (0, 1))
    share = min(1.0, gpus / max(1.0, cpus / spec.cpus_per_trial))
    return 1 / math.floor(1 / share)  # whole trials to a device


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_here(spec: SweepSpec) -> None:
    """Refuse more than a private Ray on this machine should be asked for."""
    if spec.address not in (None, "local"):
        return
    here = cores()
    if spec.cpus_per_trial > here:
        raise SpecError(f"`cpus_per_trial` must be at most {here}, the cores here, got {spec.cpus_per_trial:g}")
    if spec.concurrency and spec.concurrency > _TRIALS_PER_CORE * here:
        raise SpecError(
            f"`concurrency` must be at most {_TRIALS_PER_CORE * here} here, {_TRIALS_PER_CORE} a core, "
            f"got {spec.concurrency}"
        )


def check_memory(spec: SweepSpec, images: "Images") -> None:
    """Refuse what can only end in the kernel's out-of-memory killer (on this machine; a cluster is not judged)."""
    if spec.address not in (None, "local"):
        return
    from probes.memory import peak_bytes

    needed = peak_bytes(probe_settings(spec), images, spec.depth[1])
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > there:
        raise SpecError(
            f"`width` {spec.width or images.pixels} with `depth` up to {spec.depth[1]} takes {needed / 2**30:.0f} GiB; "
            f"this machine has {there / 2**30:.0f} GiB"
        )


def fitting_pack(spec: SweepSpec, images: "Images", capacity: Capacity) -> int:
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


def _bytes_a_trial(spec: SweepSpec, capacity: Capacity) -> float:
    """Memory that every trial can have on the cores of a node."""
    if spec.address in (None, "local"):
        return available_bytes() / capacity.slots
    trials = ((n.get("memory", 0.0), capacity.on(_cores_and_gpus(n), "cpu")) for n in _nodes())
    shares = [memory / min(count, capacity.slots) for memory, count in trials if memory and count]
    return min(shares, default=available_bytes())  # nodes are yet to come


def available_bytes() -> int:
    """Memory that new processes can have here without swapping."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):  # not Linux
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def start_ray(spec: SweepSpec, images: "Images", verbose: bool = False) -> Capacity:
    """Start a private Ray, or join the cluster at ``spec.address``; ``verbose`` shows what Ray and the workers say.

    Raises
    ------
    SpecError
        The cluster cannot be joined, or has less than one trial needs.
    """
    for name, value in _RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    authenticate(None if spec.address in (None, "local") else spec.address)
    import ray

    told: dict[str, Any] = {"log_to_driver": verbose, "logging_level": logging.INFO if verbose else logging.ERROR}
    with warnings.catch_warnings():
        if not verbose:
            warnings.simplefilter("ignore")
        if spec.address in (None, "local"):
            bytes_of_images = sum(t.numel() * t.element_size() for t in (images.train, images.test))
            ray.init(
                address="local",
                num_cpus=max(cores(), math.ceil((spec.concurrency or 1) * spec.cpus_per_trial)),
                object_store_memory=_OBJECT_STORE_BYTES + 2 * bytes_of_images,
                include_dashboard=False,
                **told,
            )
        else:
            check_reachable(spec.address)
            try:
                ray.init(address=spec.address, **told)
            except Exception as error:  # of many kinds, none of them ours
                reason = " ".join(str(error).split())
                raise SpecError(
                    f"`address` {spec.address!r} cannot be joined: {reason[:300]} "
                    "(driver and nodes must agree on RAY_AUTH_MODE, see cluster/README.md)"
                ) from None
    try:
        return Capacity(spec, alive)
    except SpecError:
        ray.shutdown()
        raise


def authenticate(address: str | None) -> None:
    """Use a token where one is asked for, and let nobody else read it. To be called before Ray is imported.

    For a private cluster (no address) Ray makes one, which everybody on the machine could read. It joins others without
    one, unless the environment says so; those that ask for it refuse that, and those that do not are no use with it.
    """
    token = Path.home() / ".ray" / "auth_token"
    elsewhere = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    with contextlib.suppress(OSError):
        if not address and not elsewhere and not token.exists():
            token.parent.mkdir(parents=True, exist_ok=True)
            with open(os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex(32))
        if token.exists():
            token.chmod(0o600)
    if address and "RAY_AUTH_MODE" not in os.environ and (elsewhere or token.exists()):
        command = [sys.executable, "-m", "ray.scripts.scripts", "health-check"]
        command += [] if address == "auto" else ["--address", address]
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            if subprocess.run(command, capture_output=True, timeout=60).returncode:
                os.environ["RAY_AUTH_MODE"] = "token"


def alive() -> list[tuple[float, float]]:
    """(cores, GPUs) of every node."""
    return [_cores_and_gpus(node) for node in _nodes()]


def _nodes() -> list[dict[str, float]]:
    """Ray's resources of every node."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _cores_and_gpus(resources: Mapping[str, float]) -> tuple[float, float]:
    return resources.get("CPU", 0.0), resources.get("GPU", 0.0)


def check_reachable(address: str) -> None:
    """Refuse an address where nobody listens: Ray itself would go on trying for many minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return  # `auto`, or for Ray to judge
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise SpecError(f"`address` {address!r} cannot be joined: {error}") from None
