"""What a machine or a cluster can give to a sweep; starting or joining Ray."""

import logging
import math
import os
import socket
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .design import budget
from .settings import probe_settings
from .spec import SpecError, SweepSpec

if TYPE_CHECKING:
    from probes import Images

__all__ = ["Resources", "check_here", "check_memory", "fitting_pack", "start_ray"]

_TRIALS_PER_CORE = 8  # each is a process of half a gigabyte
_OBJECT_STORE_BYTES = 80 * 2**20  # the smallest that Ray allows; images beside it are added
_MOST_PACKED = 64
_SHARE = 0.8  # of the memory at hand: an estimate may be 20 % off
_RAY_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


@dataclass
class Resources:
    """What the cluster grants: trials at once, and what each takes."""

    concurrency: int
    cpus: float
    gpus: float


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_here(spec: SweepSpec) -> None:
    """Refuse more than a private Ray on this machine should be asked for."""
    if spec.address not in (None, "local"):
        return
    cores = _cores()
    if spec.cpus_per_trial > cores:
        raise SpecError(f"`cpus_per_trial` must be at most {cores}, the cores here, got {spec.cpus_per_trial:g}")
    if spec.concurrency and spec.concurrency > _TRIALS_PER_CORE * cores:
        raise SpecError(
            f"`concurrency` must be at most {_TRIALS_PER_CORE * cores} here, {_TRIALS_PER_CORE} a core, "
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


def fitting_pack(spec: SweepSpec, images: "Images", resources: Resources) -> int:
    """The largest pack of the deepest points that a trial has the memory for, as far as this machine can tell.

    At least 1. On a GPU its share of the device's memory, on a CPU its share of what is available here; the nodes of a
    cluster are taken to be like this machine.
    """
    import torch

    from probes.memory import peak_bytes

    device = "cuda" if resources.gpus else "cpu"
    if device == "cpu":
        there = _available_bytes() / resources.concurrency
    elif torch.cuda.is_available():
        there = torch.cuda.get_device_properties(0).total_memory * min(1.0, resources.gpus)
    else:  # a driver without a GPU: a pack that is too large is halved where it is measured
        return _MOST_PACKED
    settings, pack, threads = probe_settings(spec), 1, max(1, math.floor(resources.cpus))
    while pack < _MOST_PACKED:
        if peak_bytes(settings, images, spec.depth[1], pack + 1, device, threads) > _SHARE * there:
            break
        pack += 1
    return pack


def _available_bytes() -> int:
    """Memory that new processes can have here without swapping."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):  # not Linux
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def start_ray(spec: SweepSpec, images: "Images") -> Resources:
    """Start a private Ray, or join the cluster at ``spec.address``.

    Raises
    ------
    SpecError
        The cluster cannot be joined, or has less than one trial needs.
    """
    import ray

    for name, value in _RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if spec.address in (None, "local"):
            bytes_of_images = sum(t.numel() * t.element_size() for t in (images.train, images.test))
            ray.init(
                address="local",
                num_cpus=max(_cores(), math.ceil((spec.concurrency or 1) * spec.cpus_per_trial)),
                object_store_memory=_OBJECT_STORE_BYTES + 2 * bytes_of_images,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        else:
            _check_reachable(spec.address)
            try:
                ray.init(address=spec.address, log_to_driver=False, logging_level=logging.ERROR)
            except Exception as error:  # of many kinds, none of them ours
                reason = " ".join(str(error).split())
                raise SpecError(
                    f"`address` {spec.address!r} cannot be joined: {reason[:300]} "
                    "(driver and nodes must agree on RAY_AUTH_MODE, see cluster/README.md)"
                ) from None
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    try:
        return _granted(spec, [(n.get("CPU", 0.0), n.get("GPU", 0.0)) for n in nodes])
    except SpecError:
        ray.shutdown()
        raise


def _granted(spec: SweepSpec, nodes: Sequence[tuple[float, float]]) -> Resources:
    """What each trial gets of nodes with so many (cores, GPUs), and how many trials fit."""
    cores = spec.cpus_per_trial
    share = spec.gpus_per_trial
    if share is None:
        cpus, gpus = (sum(n[i] for n in nodes) for i in (0, 1))
        share = min(1.0, gpus / max(1.0, cpus / cores)) if gpus else 0.0
        if 0 < share < 1:
            share = 1 / math.floor(1 / share)  # whole trials to a device
    for i, name, wanted in ((0, "cpus_per_trial", cores), (1, "gpus_per_trial", share)):
        there = max((n[i] for n in nodes), default=0.0)
        if wanted > there:
            raise SpecError(f"`{name}` must be at most {there:g}, what the largest node has, got {wanted:g}")
    fit = sum(math.floor(min(cpus / cores, gpus / share if share else math.inf) + 1e-9) for cpus, gpus in nodes)
    return Resources(spec.concurrency or max(1, min(fit, budget(spec) * spec.replicas)), cores, share)


def _check_reachable(address: str) -> None:
    """Refuse an address where nobody listens: Ray itself would go on trying for many minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return  # `auto`, or for Ray to judge
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise SpecError(f"`address` {address!r} cannot be joined: {error}") from None
