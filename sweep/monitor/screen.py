"""The live view on a terminal: drawn every second, with other output above it."""

import atexit
import contextlib
import io
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from rich.console import Console, ConsoleDimensions, RenderableType
from rich.live import Live
from rich.progress import Progress
from rich.text import Text

from sweep.monitor.caught import CaughtOutput
from sweep.monitor.drawing import live_view
from sweep.monitor.rich_private import forget_drawn
from sweep.monitor.view import View
from sweep.text import printable

_REFRESH_INTERVAL_S = 1.0


def width_of(stream: TextIO) -> int:
    """Return the number of columns of a terminal; 80 if it is unknown."""
    with contextlib.suppress(OSError, ValueError):
        return os.get_terminal_size(stream.fileno()).columns or 80
    return 80


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal; a closed one is none."""
    with contextlib.suppress(ValueError):
        return stream is not None and stream.isatty()
    return False


def supports_live_view(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal that the live view can be drawn on."""
    return is_terminal(stream) and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")


@contextlib.contextmanager
def progress_bar(label: str, steps: int) -> Iterator[Callable[[], None]]:
    """Show a progress bar on standard error, if that is a terminal; yield a function to call after each step."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not (steps and console.is_terminal)) as bar:
        task = bar.add_task(label, total=steps)
        yield lambda: bar.advance(task)


class Screen:
    """A live view that a thread redraws every second until it is closed.

    Whatever is written to the terminal meanwhile, by any library or child process, is shown above it.

    Parameters
    ----------
    get_view:
        Returns what to show; called in the thread.
    stream:
        The terminal.
    """

    def __init__(self, get_view: Callable[[], View], stream: TextIO) -> None:
        self._get_view, self._stream = get_view, stream
        self._closing, self._closed = threading.Event(), False
        self._thread = threading.Thread(target=self._work, name="view", daemon=True)
        self._live: Live | None = None
        self._caught: CaughtOutput | None = None
        self._previous_handler: Any = None  # of Ctrl-Z

    def open(self) -> None:
        """Begin to draw; do nothing if that was done before."""
        if self._live is not None:
            return
        no_descriptor = contextlib.suppress(OSError, ValueError, io.UnsupportedOperation)
        target = self._stream
        with no_descriptor:  # a copy, since the stream's own descriptor is redirected below
            target = os.fdopen(os.dup(self._stream.fileno()), "w", encoding="utf-8", errors="replace")
        self._console = Console(file=target)
        self._measure()
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            get_renderable=self._picture,
        )
        atexit.register(self.close)  # a second Ctrl-C may interrupt the handling of the first
        if target is not self._stream:
            self._caught = CaughtOutput()
        with contextlib.suppress(ValueError):  # not in the main thread
            self._previous_handler = signal.signal(signal.SIGTSTP, self._suspend)
        self._live.start()
        self._thread.start()

    def _measure(self) -> None:
        """Tell the console the size of the terminal.

        The console itself would ask standard output, which may be redirected. Terminals that do not know their size
        count as 80 x 24.
        """
        with contextlib.suppress(OSError, ValueError):
            size = os.get_terminal_size(self._console.file.fileno())
            self._console.size = ConsoleDimensions(size.columns or 80, size.lines or 24)

    def _suspend(self, number: int, frame: Any) -> None:
        """Handle Ctrl-Z: restore the cursor and stop; when continued, draw below the text on the terminal."""
        self._console.show_cursor(True)
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._suspend)
        self._console.show_cursor(False)
        if self._live:
            forget_drawn(self._live)

    def _picture(self) -> RenderableType:
        width, height = self._console.size
        colours = self._console.color_system in ("256", "truecolor") and not self._console.no_color
        try:
            return live_view(self._get_view(), width, height - 1, colours)
        except Exception:  # the view is for display only and must not stop a sweep
            return Text("")

    def _work(self) -> None:
        while not self._closing.wait(_REFRESH_INTERVAL_S):
            with contextlib.suppress(Exception):
                self._refresh()

    def _refresh(self) -> None:
        assert self._live
        self._measure()
        for text in self._caught.lines() if self._caught else ():
            self.say(text)
        self._live.refresh()

    def say(self, text: str) -> None:
        """Write a line above the view, where it stays."""
        with contextlib.suppress(OSError, ValueError):  # the terminal may be gone
            self._console.print(Text(printable(Text.from_ansi(text).plain)), soft_wrap=True)

    def close(self) -> None:
        """Remove the view and restore the terminal, its handler of Ctrl-Z and the redirected output."""
        if self._live is None or self._closed:
            return
        self._closing.set()
        try:
            if self._thread.is_alive():
                self._thread.join(5.0)
        finally:
            if self._caught:
                self._caught.close()
            if self._previous_handler is not None:
                signal.signal(signal.SIGTSTP, self._previous_handler)
            with contextlib.suppress(OSError, ValueError):
                self._live.stop()
                self._console.show_cursor(True)
            for text in self._caught.lines(last=True) if self._caught else ():
                self.say(text)
            self._closed = True
            atexit.unregister(self.close)
