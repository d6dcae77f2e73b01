"""A limit to the time that a computation may take, which code of the user might never end."""

import ctypes
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_AGAIN_S = 5.0  # after which code is interrupted once more that has caught the first interruption


class TimeLimitError(Exception):
    """A computation took longer than it may."""


class _Expired(BaseException):
    """The time is over; code that catches every `Exception` lets it pass."""


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Interrupt the ``with`` block if it takes longer than this.

    Code of Python is interrupted at once, an operation of torch at its end. Nothing is limited outside of the main
    thread, on Windows, or with None.

    Raises
    ------
    TimeLimitError
        It took longer.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGALRM"):
        yield
        return
    is_limited = True

    def expire(number: int, frame: Any) -> None:
        if is_limited:
            raise _Expired

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_S)
    try:
        yield
    except _Expired:
        is_limited = False
        raise TimeLimitError(f"it took longer than the {seconds:g} s that `timeout` allows") from None
    finally:
        is_limited = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def interrupt(thread: threading.Thread, exception: type[BaseException]) -> None:
    """Raise an exception in another thread, as soon as that one runs code of Python."""
    if thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(exception))
