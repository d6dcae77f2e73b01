"""The terminal that the live view is drawn on."""

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

_EVERY = 1.0  # seconds between pictures


def width_of(stream: TextIO) -> int:
    """Return the columns of a terminal."""
    with contextlib.suppress(OSError, ValueError):
        return os.get_terminal_size(stream.fileno()).columns or 80
    return 80


def shows(stream: TextIO) -> bool:
    """Tell whether a stream is a terminal that a view can be drawn on."""
    return stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")


@contextlib.contextmanager
def progress_bar(label: str, steps: int) -> Iterator[Callable[[], None]]:
    """Show a progress bar on a terminal; give what is to be called for each step that is done."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not (steps and console.is_terminal)) as bar:
        task = bar.add_task(label, total=steps)
        yield lambda: bar.advance(task)


class Screen:
    """Draws a view every second, from a thread of its own, until it is closed.

    Whatever else is written to the terminal meanwhile, by whichever library, goes above it.
    """

    def __init__(self, look: Callable[[], View], stream: TextIO) -> None:
        self._look, self._stream = look, stream
        self._closing, self._closed = threading.Event(), False
        self._thread = threading.Thread(target=self._work, name="view", daemon=True)
        self._live: Live | None = None
        self._caught: CaughtOutput | None = None
        self._before: Any = None  # what Ctrl-Z did

    def open(self) -> None:
        """Begin to draw; once."""
        if self._live is not None:
            return
        own = contextlib.suppress(OSError, ValueError, io.UnsupportedOperation)
        target = self._stream
        with own:
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
        atexit.register(self.close)  # a second Ctrl-C may come while the first one is obeyed
        if target is not self._stream:
            self._caught = CaughtOutput()
        with contextlib.suppress(ValueError):  # not in the main thread
            self._before = signal.signal(signal.SIGTSTP, self._suspend)
        self._live.start()
        self._thread.start()

    def _measure(self) -> None:
        """Console would ask standard output, which may be led elsewhere; some terminals do not know their size."""
        with contextlib.suppress(OSError, ValueError):
            size = os.get_terminal_size(self._console.file.fileno())
            self._console.size = ConsoleDimensions(size.columns or 80, size.lines or 24)

    def _suspend(self, number: int, frame: Any) -> None:
        """Ctrl-Z: leave the terminal in order, and go on below what stands there then."""
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
            return live_view(self._look(), width, height - 1, colours)
        except Exception:  # an ornament
            return Text("")

    def _work(self) -> None:
        while not self._closing.wait(_EVERY):
            with contextlib.suppress(Exception):
                self._refresh()

    def _refresh(self) -> None:
        assert self._live
        self._measure()
        for text in self._caught.lines() if self._caught else ():
            self.say(text)
        self._live.refresh()

    def say(self, text: str) -> None:
        """Write a line above the view, to stay there."""
        with contextlib.suppress(OSError, ValueError):  # the terminal may be gone
            self._console.print(Text(printable(Text.from_ansi(text).plain)), soft_wrap=True)

    def close(self) -> None:
        """Take the view away, and leave the terminal in order."""
        if self._live is None or self._closed:
            return
        self._closing.set()
        try:
            if self._thread.is_alive():
                self._thread.join(5.0)
        finally:
            if self._caught:
                self._caught.close()
            if self._before is not None:
                signal.signal(signal.SIGTSTP, self._before)
            with contextlib.suppress(OSError, ValueError):
                self._live.stop()
                self._console.show_cursor(True)
            for text in self._caught.lines(last=True) if self._caught else ():
                self.say(text)
            self._closed = True
            atexit.unregister(self.close)
