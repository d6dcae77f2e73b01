"""Cores and memory that this process may use: by the machine, by its CPU affinity and by its control groups.

psutil knows the machine. Control groups (version 1 and 2), by which containers and batch systems limit a process, are
read from the kernel's files here: a limit holds for all groups below it, so every group from that of this process up
to the root counts.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc/self")


def cores() -> int:
    """Return the number of cores that this process may keep busy, a last fraction of a core rounded up."""
    quota = cgroup_cores()
    return schedulable_cores() if quota is None else max(1, min(schedulable_cores(), math.ceil(quota - 1e-6)))


def schedulable_cores() -> int:
    """Return the number of cores that this process may run on, though perhaps not all the time."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_bytes() -> int:
    """Return the memory that new processes can have without swapping, within the control groups' limits."""
    import psutil  # type: ignore[import-untyped]

    left = cgroup_bytes()
    free = int(psutil.virtual_memory().available)
    return free if left is None else max(0, min(free, left))


def total_bytes() -> int:
    """Return the memory that this process could have if nothing else used any: the machine's or its groups' limit."""
    import psutil

    return min([int(psutil.virtual_memory().total), *(limit for limit, _ in _memory_limits())])


def cgroup_cores() -> float | None:
    """Return the number of cores that the control groups allow, a fraction included; None if they set no limit."""
    return min((c for folder, version in _groups("cpu") if (c := _cores_of(folder, version)) is not None), default=None)


def cgroup_bytes() -> int | None:
    """Return the memory that the control groups have left, their file cache included; None if they set no limit."""
    return min((limit - used for limit, used in _memory_limits()), default=None)


def _cores_of(folder: Path, version: int) -> float | None:
    try:
        if version == 2:
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        return None if quota in ("max", "-1") else float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _memory_limits() -> Iterator[tuple[int, int]]:
    """Yield the limit of each control group that has one, and the memory that it uses without its file cache."""
    names = {
        1: (("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file"),
        2: (("memory.max", "memory.high"), "memory.current", "inactive_file"),
    }
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")  # version 1 writes a huge number for no limit
    for folder, version in _groups("memory"):
        limits, usage, cache = names[version]
        limit = min((n for name in limits if (n := _number(folder / name)) is not None), default=machine)
        used = _number(folder / usage)
        if limit < machine and used is not None:
            yield limit, max(0, used - _statistics(folder / "memory.stat").get(cache, 0))


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # no such file, "max"
        return None


def _statistics(file: Path) -> dict[str, int]:
    try:
        return {name: int(number) for name, number in (line.split() for line in file.read_text().splitlines())}
    except (OSError, ValueError):
        return {}


def _groups(controller: str) -> Iterator[tuple[Path, int]]:
    """Yield the folders of the control groups that hold this process, each with the version (1 or 2) of its files."""
    try:
        entries = [line.split(":", 2) for line in (_PROC / "cgroup").read_text().splitlines()]
        mounts = [line.split(" - ", 1) for line in (_PROC / "mountinfo").read_text().splitlines()]
        path_of = {name: path for _, names, path in entries for name in names.split(",")}
        for mount, file_system in mounts:
            root, mount_point = mount.split()[3:5]
            kind, _, options = file_system.split(None, 2)
            if kind == "cgroup2":
                version, path = 2, path_of.get("")  # one tree of groups for all controllers
            elif kind == "cgroup" and controller in options.split(","):
                version, path = 1, path_of.get(controller)
            else:
                continue
            if path is not None:
                yield from ((folder, version) for folder in _up_to_root(Path(mount_point), root, path))
    except (OSError, ValueError):  # no Linux, or no control groups
        return


def _up_to_root(mount_point: Path, root: str, path: str) -> Iterator[Path]:
    """Yield the folder of a group and of those above it, as far as they are mounted.

    In a container, only its own group may be mounted: ``path`` then lies outside of ``root``, or begins with "/..".
    """
    root = root.rstrip("/")
    is_mounted = f"{path}/".startswith(f"{root}/") and ".." not in path.split("/")
    folder = mount_point / path.removeprefix(root).strip("/") if is_mounted else mount_point
    while folder != mount_point:
        yield folder
        folder = folder.parent
    yield mount_point
