"""Processes of this machine: the environment of children, who is alive, and how signals end a sweep."""

import contextlib
import logging
import math
import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TextIO

_SWALLOWED_AFTER_S = 5.0  # an interruption that has not ended the work by then was swallowed by a library
_RESTORED_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP)


def this_process() -> str:
    """Return how messages name this process."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def myself() -> dict[str, Any]:
    """Return the marks by which `is_gone` recognises this process."""
    process = os.getpid()
    return {"holder": this_process(), "host": _host(), "process": process, "started": _started(process)}


def is_gone(host: str, process: int, started: str) -> bool:
    """Return whether a process is known to have ended; of processes on other machines that is never known."""
    return bool(host and host == _host() and started and _started(process) != started)


def _host() -> str:
    """Return a name for where process ids are valid: this boot of this machine, this container."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    return ""


def _started(process: int) -> str:
    """Return when a process of this machine was started, or an empty text if there is no such process.

    In ticks since the machine was started, as /proc has it: files of older versions of this package hold the same, and
    psutil's time of creation depends on a clock that may be set meanwhile.
    """
    try:
        state, *numbers = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state in "ZX" else numbers[18]


def command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module, without importing anything from the working directory."""
    return [sys.executable, "-P", "-m", module, *arguments]


def package_folder() -> str:
    """Return the folder that this package is imported from."""
    return str(Path(str(files("sweep"))).parent)


def environment() -> dict[str, str]:
    """Return the environment for children, which find this package, and nothing in the working directory."""
    return os.environ | safe_path(package_folder())


def safe_path(*folders: str) -> dict[str, str]:
    """Return the variables with which Python finds modules in some folders, and never in the working directory.

    Of ``PYTHONPATH`` in the environment, absolute paths are kept: an empty entry stands for the working directory.
    """
    given = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if os.path.isabs(path)]
    return {"PYTHONPATH": os.pathsep.join([*folders, *given]), "PYTHONSAFEPATH": "1"}


def working_directory() -> str:
    """Return the working directory.

    Raises
    ------
    FileNotFoundError
        It has been removed, so that neither relative paths nor libraries work; the message says what to do.
    """
    try:
        return os.getcwd()
    except OSError:
        raise FileNotFoundError("the working directory does not exist any more; change to one that does") from None


@contextmanager
def restores_process_state() -> Iterator[None]:
    """Restore the state of the process afterwards: environment, log levels, signals, random states, directory, streams.

    The null device stands for output streams that the program has closed, or has none of: Ray writes to them.

    Raises
    ------
    FileNotFoundError
        The working directory has been removed.
    """
    environment, folder = dict(os.environ), working_directory()
    levels = {name: logging.getLogger(name).level for name in [*logging.root.manager.loggerDict]}
    signals = {number: signal.getsignal(number) for number in _RESTORED_SIGNALS}
    states = [(restore, state()) for state, restore in _random_states()]
    written = {name: getattr(sys, name) for name in ("stdout", "stderr")}
    streams = {name: stream for name, stream in written.items() if stream is None or getattr(stream, "closed", False)}
    occupy_descriptors()
    for name in streams:
        setattr(sys, name, _null_device())
    try:
        yield
    finally:
        for name, stream in streams.items():
            setattr(sys, name, stream)
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        with contextlib.suppress(OSError):  # it may have been removed meanwhile
            os.chdir(folder)
        for name in [*logging.root.manager.loggerDict]:
            logging.getLogger(name).setLevel(levels.get(name, logging.NOTSET))
        if threading.current_thread() is threading.main_thread():
            for number, handler in signals.items():
                if handler is not None and signal.getsignal(number) is not handler:
                    signal.signal(number, handler)
        for restore, state in states:
            restore(state)


def occupy_descriptors() -> None:
    """Open the null device in place of closed standard streams, so that no other file is taken for one of them."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free


@cache
def _null_device() -> TextIO:
    """Return the null device, which stays open: log handlers may go on using it."""
    return open(os.devnull, "w")


def _random_states() -> Iterator[tuple[Callable[[], Any], Callable[[Any], Any]]]:
    """Yield the functions that get and set the state of each global random generator that is loaded."""
    yield random.getstate, random.setstate
    if numpy := sys.modules.get("numpy"):
        yield numpy.random.get_state, numpy.random.set_state
    if torch := sys.modules.get("torch"):
        yield torch.get_rng_state, torch.set_rng_state


class _Interruption:
    """The first signal that has raised KeyboardInterrupt since the outermost block of `terminated_is_interrupted`."""

    blocks = 0  # that are open
    time = math.inf


def interrupt_again() -> None:
    """Raise the KeyboardInterrupt of a signal once more if it has not ended the work.

    Some libraries call back where every exception is ignored; a signal that comes just then would be lost.

    Raises
    ------
    KeyboardInterrupt
        A signal came more than five seconds ago.
    """
    if time.monotonic() - _Interruption.time > _SWALLOWED_AFTER_S:
        _Interruption.time = math.inf
        raise KeyboardInterrupt


@contextmanager
def terminated_is_interrupted() -> Iterator[None]:
    """Raise KeyboardInterrupt in the main thread on SIGTERM, and on SIGHUP (the terminal was closed) unless ignored.

    Of several SIGHUP, as shell and terminal send them, the first one counts: the others would interrupt the tidying up.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(signum: int, frame: Any) -> None:
        _Interruption.time = min(_Interruption.time, time.monotonic())
        if signum == signal.SIGHUP:
            signal.signal(signum, signal.SIG_IGN)
        raise KeyboardInterrupt

    if not _Interruption.blocks:
        _Interruption.time = math.inf
    _Interruption.blocks += 1
    hangs_up = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN  # if not, it was started by nohup
    old = {n: signal.signal(n, interrupt) for n in [signal.SIGTERM] + [signal.SIGHUP] * hangs_up}
    try:
        yield
    finally:
        _Interruption.blocks -= 1
        for number, handler in old.items():
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, handler)


@contextmanager
def called_after(seconds: float, action: Callable[[], object]) -> Iterator[None]:
    """Call a function, in a thread of its own, if the ``with`` block takes longer than this."""
    timer = threading.Timer(max(0.0, seconds), action)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
