"""Checks that are made in a process of their own, and what they answer."""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.processes import command, environment

OK, WARNING, FAULT = "ok", "warning", "fault"
PATIENCE = 17.0  # seconds that one check may take
GIB = 2**30


@dataclass(frozen=True)
class Check:
    """Says what was looked at, how it is, and what to do about it."""

    name: str
    verdict: str
    found: str
    advice: str = ""


running_children: "set[subprocess.Popen[str]]" = set()


def answer_of_child(name: str, arguments: Sequence[str], hangs: str, advice: str = "", **more: str) -> Check:
    """Return what `sweep.doctor.tries` finds in a process of its own, which is ended in time with all that it started.

    ``hangs`` is what to say if there is no answer, ``more`` goes into the environment.
    """
    process = subprocess.Popen(
        command("sweep.doctor.tries", *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment() | more,
    )
    running_children.add(process)
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return Check(name, FAULT, hangs, advice)
    finally:
        kill_children(process)  # what is left of it
        process.communicate()
        running_children.discard(process)
    try:
        return Check(name, **json.loads(out.splitlines()[-1]))
    except (IndexError, ValueError, TypeError):
        said = (err.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        return Check(name, FAULT, f"crashed: {said[:300]}", advice)


def kill_children(process: "subprocess.Popen[str]") -> None:
    """End a process that was started here, and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


REINSTALL = "install both from the same index: pip install --force-reinstall torch torchvision"
TOKENS = "driver and nodes must agree on RAY_AUTH_MODE and the token, see cluster/README.md"
