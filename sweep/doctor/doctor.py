"""``sweep doctor``: a check of all that a sweep needs, with advice where something is missing.

Whatever may hang or crash (Ray, torch, a storage) is tried in a child process, which is killed after a time limit.
Nothing that was tried is left behind.
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

_POLL_INTERVAL_S = 0.05


def examine(data_dir: str = "data", address: str | None = None, out: str = "runs") -> list[Check]:
    """Run all checks at the same time.

    It takes at most 20 seconds, on a busy machine a minute, even if some of the checks hang.

    Parameters
    ----------
    data_dir:
        The folder with torchvision's data sets.
    address:
        The address of a Ray cluster to join; if None, it is checked whether a private Ray starts here.
    out:
        Directory or URI for results.

    Returns
    -------
    list of Check
        The results, in the order in which `sweep doctor` prints them.
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
    return _run_in_parallel(checks)


def _run_in_parallel(checks: dict[str, Callable[[], Check]]) -> list[Check]:
    """Run each check in a thread; one that does not answer in time, or raises an error, is a fault."""
    results: dict[str, Check] = {}

    def run(name: str, check: Callable[[], Check]) -> None:
        try:
            results[name] = check()
        except Exception as error:
            results[name] = Check(name, FAULT, f"{type(error).__name__}: {' '.join(str(error).split())}"[:300])

    threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in checks.items()]
    end = time.monotonic() + answers.CHECK_TIMEOUT_S + 1
    last_end = end + answers.BUSY_CHECK_TIMEOUT_S - answers.CHECK_TIMEOUT_S
    try:
        for thread in threads:
            thread.start()
        while len(results) < len(checks) and time.monotonic() < (last_end if answers.running_children else end):
            time.sleep(_POLL_INTERVAL_S)
    finally:
        end = time.monotonic() + 1
        # After Ctrl-C, or a check that hangs: kill the children, and give the threads a second to remove their files.
        # `is_alive` cannot tell when they have: it is false for a thread whose `join` was interrupted.
        while len(results) < len(checks) and time.monotonic() < end:
            for process in list(answers.running_children):
                answers.kill_children(process)
            time.sleep(0.02)
    no_answer = "no answer: is a disk or network drive disconnected?"
    return [results.get(name) or Check(name, FAULT, no_answer) for name in checks]


def as_json(checks: Sequence[Check]) -> str:
    """Return a JSON object with all checks, and whether none of them is a fault."""
    return json.dumps({"ok": all(c.verdict != FAULT for c in checks), "checks": [asdict(c) for c in checks]})
