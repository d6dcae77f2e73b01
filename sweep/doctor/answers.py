"""The result of a check, and checks that run in a child process."""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from sweep import limits
from sweep.processes import command, environment

OK, WARNING, FAULT = "ok", "warning", "fault"
_CHECK_TIMEOUT_S, _BUSY_CHECK_TIMEOUT_S = 17.0, 50.0  # for one check
GIB = 2**30


@dataclass(frozen=True)
class Check:
    """The result of a check.

    Attributes
    ----------
    name:
        What was checked.
    verdict:
        `OK`, `WARNING` or `FAULT`.
    found:
        What the check found, in a line.
    advice:
        What to do about a warning or fault; empty if nothing is to be done.
    """

    name: str
    verdict: str
    found: str
    advice: str = ""


def load() -> tuple[float, bool]:
    """Return how many processes have wanted to run in the last minute on average, and whether they are too many."""
    processes = os.getloadavg()[0]
    return processes, processes > max(limits.cores(), 1) + 0.5


def check_timeout() -> float:
    """Return how many seconds a check may take: more on a busy machine."""
    return _BUSY_CHECK_TIMEOUT_S if load()[1] else _CHECK_TIMEOUT_S


def late(name: str, text: str, advice: str = "") -> Check:
    """Return the result of a check that has not answered in time: a fault, unless the machine is busy."""
    processes, is_busy = load()
    if is_busy:
        busy = f"{text}, but the machine is busy: {processes:.1f} processes for {limits.cores()} cores"
        return Check(name, WARNING, busy, "try again when it is less busy")
    return Check(name, FAULT, text, advice)


running_children: "set[subprocess.Popen[str]]" = set()


def answer_of_child(name: str, arguments: Sequence[str], on_timeout: str, advice: str = "", **variables: str) -> Check:
    """Run `sweep.doctor.tries` in a child process and return its result.

    The child, and whatever it started, is killed when it has answered, or after `check_timeout` seconds.

    Parameters
    ----------
    name:
        Name of the check.
    arguments:
        Command line of `sweep.doctor.tries`: what to try, and with what.
    on_timeout:
        What the result says if there is no answer in time.
    advice:
        What to do if there is no answer in time, or if the child crashes.
    **variables:
        Additional environment variables of the child.
    """
    process = subprocess.Popen(
        command("sweep.doctor.tries", *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment() | variables,
    )
    running_children.add(process)
    try:
        out, err = process.communicate(timeout=check_timeout())
    except subprocess.TimeoutExpired:
        return late(name, on_timeout, advice)
    finally:
        kill_children(process)
        process.communicate()
        running_children.discard(process)
    try:
        return Check(name, **json.loads(out.splitlines()[-1]))
    except (IndexError, ValueError, TypeError):
        last_line = (err.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        return Check(name, FAULT, f"crashed: {last_line[:300]}", advice)


def kill_children(process: "subprocess.Popen[str]") -> None:
    """Kill a child process and all processes that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


REINSTALL = "install both from the same index: pip install --force-reinstall torch torchvision"
TOKENS = "this machine and the cluster must have the same RAY_AUTH_MODE and the same token: see cluster/README.md"
