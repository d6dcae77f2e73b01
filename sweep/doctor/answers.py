"""The result of a check, and checks that run in a child process."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.processes import command, environment

OK, WARNING, FAULT = "ok", "warning", "fault"
CHECK_TIMEOUT_S, BUSY_CHECK_TIMEOUT_S = 17.0, 50.0  # for one check; the second as long as it makes progress
_STEP_S = 3.0  # in which a check that makes progress has computed for at least ...
_MIN_PROGRESS_S = 0.02
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


running_children: "set[subprocess.Popen[str]]" = set()


def answer_of_child(name: str, arguments: Sequence[str], on_timeout: str, advice: str = "", **variables: str) -> Check:
    """Run `sweep.doctor.tries` in a child process and return its result.

    The child, and whatever it started, is killed when it has answered, or after `CHECK_TIMEOUT_S` seconds. One that is
    still computing then, on a busy machine, has `BUSY_CHECK_TIMEOUT_S`; that it is not done even then is no fault.

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
        out, err = _answer(process)
    except _StillComputing:
        return Check(name, WARNING, f"{on_timeout}, but it goes on: the machine is busy", "try again later")
    except subprocess.TimeoutExpired:
        return Check(name, FAULT, on_timeout, advice)
    finally:
        kill_children(process)
        process.communicate()
        running_children.discard(process)
    try:
        return Check(name, **json.loads(out.splitlines()[-1]))
    except (IndexError, ValueError, TypeError):
        last_line = (err.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        return Check(name, FAULT, f"crashed: {last_line[:300]}", advice)


class _StillComputing(Exception):
    """A check has not ended in time, but makes progress."""


def _answer(process: "subprocess.Popen[str]") -> tuple[str, str]:
    """Return what a child writes to standard output and error until it ends.

    Raises
    ------
    subprocess.TimeoutExpired
        It has not ended in time, and hangs.
    _StillComputing
        It has not ended in time, and still makes progress.
    """
    started, spent, step = time.monotonic(), 0.0, min(_STEP_S, CHECK_TIMEOUT_S)
    while True:
        try:
            return process.communicate(timeout=step)
        except subprocess.TimeoutExpired:
            elapsed, earlier, spent = time.monotonic() - started, spent, _processor_time(process.pid)
            is_computing = abs(spent - earlier) >= _MIN_PROGRESS_S
            if is_computing and elapsed + step > BUSY_CHECK_TIMEOUT_S:
                raise _StillComputing from None
            if not is_computing and elapsed + step > CHECK_TIMEOUT_S:
                raise


def _processor_time(process: int) -> float:
    """Return the seconds of processor time that a process and its descendants have had; 0 if it has ended."""
    import psutil  # type: ignore[import-untyped]

    try:
        root = psutil.Process(process)
        return sum(sum(p.cpu_times()[:4]) for p in (root, *root.children(recursive=True)))
    except psutil.Error:
        return 0.0


def kill_children(process: "subprocess.Popen[str]") -> None:
    """Kill a child process and all processes that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


REINSTALL = "install both from the same index: pip install --force-reinstall torch torchvision"
TOKENS = "this machine and the cluster must have the same RAY_AUTH_MODE and the same token: see cluster/README.md"
