"""``sweep doctor``: whether all that a sweep needs is there, and what to do where it is not.

Whatever may hang or crash (Ray, torch, a storage) is tried in a process of its own that is killed in time; nothing that
was tried is left behind.
"""

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from sweep.doctor import answers
from sweep.doctor.answers import FAULT, Check
from sweep.doctor.checks import (
    check_cluster,
    check_cores,
    check_data_sets,
    check_extras,
    check_gpu,
    check_memory,
    check_packages,
    check_python,
    check_ray,
    check_results,
    check_shared_memory,
    check_temporary,
    check_token,
    check_torch,
)


def examine(data_dir: str = "data", address: str | None = None, out: str = "runs") -> list[Check]:
    """Look at everything at once; in 20 seconds, whatever hangs.

    Parameters
    ----------
    data_dir:
        Where torchvision's data sets should be.
    address:
        Of a Ray cluster to join; none: whether a private Ray starts here.
    out:
        Directory or URI for results.
    """
    checks: dict[str, Callable[[], Check]] = {
        "python": check_python,
        "packages": check_packages,
        "torch": check_torch,
        "gpu": check_gpu,
        "cores": check_cores,
        "memory": check_memory,
        "temporary": check_temporary,
        "shared memory": check_shared_memory,
        "token": check_token,
        "ray": check_ray if address is None else partial(check_cluster, address),
        "results": partial(check_results, out),
        "data sets": partial(check_data_sets, Path(data_dir)),
        "extras": check_extras,
    }
    return _all_at_once(checks)


def _all_at_once(checks: dict[str, Callable[[], Check]]) -> list[Check]:
    """Make all checks, each in a thread; one that does not answer in time is a fault."""
    answered: dict[str, Check] = {}

    def look(name: str, check: Callable[[], Check]) -> None:
        try:
            answered[name] = check()
        except Exception as error:
            answered[name] = Check(name, FAULT, f"{type(error).__name__}: {' '.join(str(error).split())}"[:300])

    threads = [threading.Thread(target=look, args=pair, daemon=True) for pair in checks.items()]
    end = time.monotonic() + answers.PATIENCE + 1
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
    finally:
        end = time.monotonic() + 1
        # After Ctrl-C: each tidies up. (A thread whose `join` was interrupted is not `is_alive`, whatever it does.)
        while len(answered) < len(checks) and time.monotonic() < end:
            for process in list(answers.running_children):
                answers.kill_children(process)
            time.sleep(0.02)
    hangs = "no answer: a disk that is away?"
    return [answered.get(name) or Check(name, FAULT, hangs) for name in checks]


def as_json(checks: Sequence[Check]) -> str:
    """Return a JSON object with the checks, and whether all is well."""
    return json.dumps({"ok": all(c.verdict != FAULT for c in checks), "checks": [asdict(c) for c in checks]})
