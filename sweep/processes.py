"""Processes of this machine: our own children, who is alive, and how a signal ends a sweep."""

import contextlib
import logging
import os
import random
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any


def this_process() -> str:
    """Return how messages name this process."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def myself() -> dict[str, Any]:
    """Return what `is_gone` can tell this process by."""
    process = os.getpid()
    return {"holder": this_process(), "host": _host(), "process": process, "started": _started(process)}


def is_gone(host: str, process: int, started: str) -> bool:
    """Whether a process is known to have ended: one of this machine."""
    return bool(host and host == _host() and started and _started(process) != started)


def _host() -> str:
    """Where a process id means something: this boot of this machine, this container."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    return ""


def _started(process: int) -> str:
    """Return when a process of this machine was started; empty if there is none.

    In ticks since the machine was started, as /proc has it: files of older versions of this package hold the same, and
    psutil's time of creation depends on a clock that may be set meanwhile.
    """
    try:
        state, *numbers = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state in "ZX" else numbers[18]


def command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module; nothing in the working directory counts as code."""
    return [sys.executable, "-P", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """Return the environment of this process, with the way to this package."""
    found = [str(Path(str(files("sweep"))).parent), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, found))}


@contextmanager
def restores_process_state() -> Iterator[None]:
    """Leave what a process has only one of as it was: environment, log levels, signals, random states, directory."""
    environment, folder = dict(os.environ), os.getcwd()
    levels = {name: logging.getLogger(name).level for name in [*logging.root.manager.loggerDict]}
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTSTP)}
    states = [(restore, state()) for state, restore in _random_states()]
    try:
        yield
    finally:
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        os.chdir(folder)
        for name in [*logging.root.manager.loggerDict]:
            logging.getLogger(name).setLevel(levels.get(name, logging.NOTSET))
        if threading.current_thread() is threading.main_thread():
            for number, handler in signals.items():
                if handler is not None and signal.getsignal(number) is not handler:
                    signal.signal(number, handler)
        for restore, state in states:
            restore(state)


def _random_states() -> Iterator[tuple[Callable[[], Any], Callable[[Any], Any]]]:
    """Yield what gives the state of each global generator that there is, and what sets it."""
    yield random.getstate, random.setstate
    if numpy := sys.modules.get("numpy"):
        yield numpy.random.get_state, numpy.random.set_state
    if torch := sys.modules.get("torch"):
        yield torch.get_rng_state, torch.set_rng_state


@contextmanager
def terminated_is_interrupted() -> Iterator[None]:
    """Have SIGTERM raise KeyboardInterrupt, in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(signum: int, frame: Any) -> None:
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)
