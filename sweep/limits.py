"""Cores and memory that this process may use, by the machine and by its control group.

psutil knows nothing of control groups, whose files (version 2) are read here.
"""

import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def cores() -> int:
    """Return the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cgroup_cores() -> float | None:
    """Return the number of cores that the control group allows, a fraction included; None if it has no limit."""
    try:
        allowed, period = (_CGROUP / "cpu.max").read_text().split()
        return None if allowed == "max" else float(allowed) / float(period)
    except (OSError, ValueError):
        return None


def available_bytes() -> int:
    """Return the memory that new processes can have on this machine without swapping."""
    import psutil  # type: ignore[import-untyped]

    return int(psutil.virtual_memory().available)


def cgroup_bytes() -> int | None:
    """Return the memory that the control group has left, its file cache included; None if it has no limit."""
    try:
        limit, used, parts = ((_CGROUP / f"memory.{name}").read_text() for name in ("max", "current", "stat"))
        cached = dict(line.split() for line in parts.splitlines())["inactive_file"]
        return None if limit.strip() == "max" else int(limit) - int(used) + int(cached)
    except (OSError, ValueError, KeyError):
        return None
