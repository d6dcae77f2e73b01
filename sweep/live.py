"""The live view of a sweep in a terminal: what is drawn is a function of a `View`, wherever that comes from."""

import atexit
import contextlib
import io
import math
import os
import signal
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
from rich.console import Console, ConsoleDimensions, ConsoleOptions, Group, RenderableType
from rich.live import Live
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from .heartbeat import Running
from .store import printable

if TYPE_CHECKING:
    from .estimate import Outline

__all__ = ["Screen", "View", "draw", "duration", "line", "shows", "speed", "width_of"]

_EVERY = 1.0  # seconds between pictures
_NARROWEST, _LOWEST = 44, 9  # what can be drawn in; below, a line
_WIDEST, _LEAST, _MOST = 100, (24, 5), (88, 20)  # columns of text; columns and rows of the plot
_MARGIN = 7  # columns of numbers to the left of it
_CIVIDIS = ("00224e", "123570", "3b496c", "575d6d", "707173", "8a8678", "a69d75", "c4b56c", "e4cf5b", "fee838")
_LEVELS = 32  # of colour
_SHADES = " ·░▒▓"  # where there is no colour
_LABEL = {"sigma_w": "σw", "sigma_b": "σb", "depth": "depth"}
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of braille: row, column
_POINT = {True: "•", False: "◦"}
_NEWEST = 8  # points


@dataclass(frozen=True)
class View:
    """What there is to be seen of a sweep."""

    place: str = ""
    about: str = ""
    total: int = 0
    done: int = 0
    failed: int = 0
    last_error: str = ""
    running: Sequence[Running] = ()
    rate: float = 0.0  # points a second
    elapsed: float = 0.0  # seconds
    note: str = ""  # what is being waited for
    trouble: str = ""  # why nothing can be stored
    found: Sequence[str] = ()  # what the estimate says, the most important first
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # of what goes across, and up
    depths: tuple[int, int] | None = None
    outline: "Outline | None" = None
    recent: Sequence[tuple[float, float, bool]] = ()  # points that came in last: across, up, trainable

    @property
    def left(self) -> int:
        """Points that are missing."""
        return max(0, self.total - self.done - self.failed)

    @property
    def eta(self) -> str:
        """How long it will take."""
        return duration(self.left / self.rate) if self.rate and self.left else ("?" if self.left else "0 s")


def duration(seconds: float) -> str:
    """12 s, 3 min 20 s, 2 h 05 min, 12 days."""
    s = round(min(seconds, 1e12))
    if s < 60:
        return f"{s} s"
    if s < 3600:
        return f"{s // 60} min {s % 60:02d} s"
    return f"{s // 3600} h {s % 3600 // 60:02d} min" if s < 10 * 86400 else f"{s // 86400} days"


def speed(rate: float) -> str:
    """2.5 points/s, 7.5 points/min, 3.0 points/h."""
    for unit, seconds in (("s", 1), ("min", 60)):
        if rate * seconds >= 1:
            return f"{rate * seconds:.1f} points/{unit}"
    return f"{3600 * rate:.1f} points/{'h' if rate else 's'}"


def line(view: View, width: int | None = None) -> str:
    """All in one line."""
    share = min(1.0, (view.done + view.failed) / max(1, view.total))
    bar = "█" * round(20 * share) + "░" * (20 - round(20 * share))
    parts = [
        f"{bar} {view.done}/{view.total} done",
        f"{sum(r.points for r in view.running)} running",
        f"{view.failed} failed",
    ]
    if view.rate:
        parts += [speed(view.rate), f"ETA {view.eta}"]
    if view.trouble:
        parts.insert(0, f"WAITING FOR THE STORAGE: {view.trouble}")
    elif view.note and not view.running:
        parts.insert(0, f"{view.note} ...")
    text = "  ".join([*parts, *view.found])
    return text if width is None or len(text) <= width else text[: max(0, width - 1)] + "…"


def draw(view: View, width: int, height: int, colours: bool = True) -> RenderableType:
    """The view in so many columns and rows; ``colours``: whether there are more than sixteen."""
    if width < _NARROWEST or height < _LOWEST:
        return Text(line(view, width), no_wrap=True)
    wide = min(width, _WIDEST)
    rows: list[RenderableType] = [_header(view, wide), _bar(view, wide), _running(view, wide)]
    if view.trouble:
        rows.append(Text(f" WAITING FOR THE STORAGE: {view.trouble} ", style="bold white on red"))
    if view.failed:
        error = f"  last error: {view.last_error}" if view.last_error else ""
        rows.append(Text.assemble((f"{view.failed} failed", "bold red"), error))
    if view.found:
        rows.append(Text(_fitting(view.found, wide)))
    for row in rows:
        if isinstance(row, Text):
            row.no_wrap, row.overflow = True, "ellipsis"
            row.truncate(wide, overflow="ellipsis")
    room = height - len(rows) - 4  # a blank line, the axis, its numbers, the legend
    rows_of_plot = min(room, _MOST[1], max(_LEAST[1], wide // 4))
    columns = min(wide - _MARGIN - 2, _MOST[0])
    if len(view.ranges) == 2 and rows_of_plot >= _LEAST[1] and columns >= _LEAST[0]:
        rows += [Text(""), _Plot(view, columns, rows_of_plot, colours)]
    return Group(*rows)


def _fitting(parts: Sequence[str], width: int) -> str:
    """As many of the parts as fit; the first one anyhow."""
    count = next((n for n in range(len(parts), 1, -1) if len("   ".join(parts[:n])) <= width), 1)
    return "   ".join(parts[:count])


def _header(view: View, width: int) -> Text:
    """Where, what, for how long."""
    text = Text(view.place, style="bold")
    text.append(f"  {view.about}", style="dim not bold")
    since = duration(view.elapsed)
    text.truncate(max(1, width - len(since) - 2), overflow="ellipsis", pad=True)
    return text.append(f"  {since}", style="not bold")


def _bar(view: View, width: int) -> Text:
    """━━━━━━────  17/64  27 %  ETA 12 s."""
    counted = view.done + view.failed
    share = min(1.0, counted / max(1, view.total))
    numbers = f"  {counted}/{view.total}  {math.floor(100 * share)} %  ETA {view.eta}"
    room = max(10, width - len(numbers))
    full = round(room * share)
    failed = min(full, math.ceil(room * view.failed / max(1, view.total))) if view.failed else 0
    return Text.assemble(
        ("━" * (full - failed), "green" if counted >= view.total else "cyan"),
        ("━" * failed, "red"),
        ("─" * (room - full), "dim"),
        (numbers, "bold"),
    )


def _running(view: View, width: int) -> Text:
    """How fast, and what runs where: of the nodes, those that there is room for."""
    text = Text(f"{speed(view.rate):<16}" if view.rate else "")
    if not view.running:
        return text.append(f"{view.note} ..." if view.note else "nothing is running", style="dim")
    points, trials = (sum(getattr(r, n) for r in view.running) for n in ("points", "trials"))
    text.append(f"{points} point{'s' * (points != 1)} in {trials} trial{'s' * (trials != 1)}")
    nodes: dict[str, Counter[str]] = {}
    for r in view.running:
        nodes.setdefault(r.host, Counter())[r.kind.upper()] += r.trials
    named = [
        Text.assemble(
            "   ",
            (" + ".join(f"{n} × {kind}" for kind, n in sorted(kinds.items(), reverse=True)), "cyan"),
            f" {host or 'starting'}",
        )
        for host, kinds in sorted(nodes.items(), key=lambda item: (not item[0], -item[1].total(), item[0]))
    ]
    for i, one in enumerate(named):
        more = f"   and {len(named) - i} more" if len(named) > i + 1 else ""
        if len(text) + len(one) + len(more) > width and i:
            return text.append(f"   and {len(named) - i} more")
        text.append(one)
    return text


class _Plot:
    """The boundary so far, with its axes and its legend."""

    def __init__(self, view: View, columns: int, rows: int, colours: bool) -> None:
        self._view, self._columns, self._rows, self._colours = view, columns, rows, colours

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        yield from _plot(self._view, self._columns, self._rows, self._colours)


def _plot(view: View, columns: int, rows: int, colours: bool) -> Iterator[Segment]:
    (across, (left, right)), (up, (bottom, top)) = view.ranges.items()
    cells = _cells(view, columns, rows, colours)
    shown = {0: _number(top), rows - 1: _number(bottom), rows // 2: _LABEL[up]}
    for i, row in enumerate(cells):
        yield Segment(f"{shown.get(i, ''):>{_MARGIN - 1}} ")
        yield Segment("┤" if i in (0, rows - 1) else "│", _style("dim"))
        for text, style in _joined(row):
            yield Segment(text, style)
        yield Segment.line()
    yield Segment(" " * _MARGIN + "└" + "─" * columns, _style("dim"))
    yield Segment.line()
    ends = _number(left), _LABEL[across], _number(right)
    gap = columns - sum(map(len, ends))
    yield Segment(" " * (_MARGIN + 1) + ends[0] + " " * (gap // 2) + ends[1] + " " * (gap - gap // 2) + ends[2])
    yield Segment.line()
    yield from _legend(view, columns, colours)
    yield Segment.line()


def _legend(view: View, columns: int, colours: bool) -> Iterator[Segment]:
    """What colours and lines mean: as much of it as there is room for."""
    yield Segment(" " * (_MARGIN + 1))
    outline = view.outline
    if outline is None:
        yield Segment("the boundary appears as points come in", _style("dim"))
        return
    if view.depths and "depth" not in view.ranges and view.depths[0] < view.depths[1]:
        low, high = f"trainable to {view.depths[0]} ", f" {view.depths[1]} layers"
    else:
        low, high = "P(trainable) 0 ", " 1"
    levels = np.linspace(0, _LEVELS - 1, 6).astype(int).tolist()
    scale = [Segment(" ", _shade(level)) for level in levels] if colours else [Segment(_SHADES[1:])]
    parts = [[Segment(low), *scale, Segment(high)]]
    if outline.margins:
        parts.append([Segment("   ⡇", _style("bold")), Segment(" edge")])
    if np.isfinite(outline.critical).any():
        parts.append([Segment("   ┃", _style("bold red")), Segment(" critical")])
    if view.recent:
        parts.append([Segment(f"   {_POINT[True]} trains  {_POINT[False]} not")])
    for part in parts:
        columns -= sum(len(s.text) for s in part)
        if columns < 0:
            return
        yield from part


def _number(value: float) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


Cell = tuple[str, Style | None]


def _cells(view: View, columns: int, rows: int, colours: bool) -> list[list[Cell]]:
    """``[rows][columns]``, the top row first: colour in half blocks, points, and over them lines in braille."""
    ground: np.ndarray | None = None
    cells: list[list[Cell]] = [[(" ", None)] * columns for _ in range(rows)]
    over: dict[tuple[int, int], Cell] = {}
    if view.outline is not None:
        ground, drawn, over = _drawn(view.outline, columns, rows, colours)
        cells = [row[:] for row in drawn]
    spans = list(view.ranges.values())
    for k, (x, y, good) in enumerate(view.recent):
        i, j = rows - 1 - _place(y, spans[1], rows), _place(x, spans[0], columns)
        dark = ground is not None and ground[2 * i, j] < _LEVELS // 4
        colour = "ffffff" if good else "9fb3d9" if dark else "000000"
        cells[i][j] = _POINT[good], _on(ground, i, j, colour, bold=k >= len(view.recent) - _NEWEST)
    for (i, j), cell in over.items():
        cells[i][j] = cell
    return cells


@lru_cache(maxsize=2)
def _drawn(
    outline: "Outline", columns: int, rows: int, colours: bool
) -> tuple[np.ndarray | None, list[list[Cell]], dict[tuple[int, int], Cell]]:
    """What is the same until the next estimate: levels of colour (None without), cells, and what covers points."""
    share = _resampled(outline.trainable, 2 * rows, columns)[::-1]
    levels = np.clip(np.round(share * (_LEVELS - 1)), 0, _LEVELS - 1).astype(int)
    ground = levels if colours else None
    if colours:
        cells: list[list[Cell]] = [
            [("▀", _shade(below, above)) if above != below else (" ", _shade(above)) for above, below in pairs]
            for pairs in (zip(*levels[2 * i : 2 * i + 2].tolist(), strict=True) for i in range(rows))
        ]
    else:
        darkness = np.round(share.reshape(rows, 2, columns).mean(1) * (len(_SHADES) - 1)).astype(int)
        cells = [[(_SHADES[k], None) for k in row] for row in darkness.tolist()]
    over: dict[tuple[int, int], Cell] = {}
    for depth, margin in outline.margins.items():
        edge = _edge(margin, columns, rows)
        over |= {(i, j): (char, _on(ground, i, j, "ffffff")) for (i, j), char in edge.items()}
        text = _label(str(depth or ""), edge, rows)
        over |= {(i, j): (char, _on(ground, i, j, "ffffff", bold=True)) for (i, j), char in text.items()}
    for i, j in _critical(outline, columns, rows):
        over[i, j] = "┃", _on(ground, i, j, "e01040", bold=True) if colours else _style("bold red")
    return ground, cells, over


def _place(value: float, span: tuple[float, float], count: int) -> int:
    low, high = span
    return min(count - 1, max(0, int((value - low) / (high - low) * count)))


def _resampled(grid: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """A grid whose first and last places are the ends of the axes, at the middles of so many rows and columns."""
    y, x = ((np.arange(n) + 0.5) / n * (m - 1) for n, m in zip((rows, columns), grid.shape, strict=True))
    i, j = (np.minimum(v.astype(int), m - 2) for v, m in zip((y, x), grid.shape, strict=True))
    v, u = (y - i)[:, None], (x - j)[None]
    low, high = grid[i], grid[i + 1]
    return (1 - v) * ((1 - u) * low[:, j] + u * low[:, j + 1]) + v * ((1 - u) * high[:, j] + u * high[:, j + 1])


def _edge(margin: np.ndarray, columns: int, rows: int) -> dict[tuple[int, int], str]:
    """Where a margin changes its sign: cells, and what stands in them, in braille."""
    dots = np.zeros((4 * rows, 2 * columns), dtype=bool)
    good = _resampled(margin, *dots.shape)[::-1] >= 0
    dots[:, :-1] |= good[:, :-1] != good[:, 1:]
    dots[:-1] |= good[:-1] != good[1:]
    return {
        (i, j): chr(0x2800 + sum(_DOTS[r][c] for r, c in np.argwhere(dots[4 * i : 4 * i + 4, 2 * j : 2 * j + 2])))
        for i, j in np.argwhere(dots.reshape(rows, 4, columns, 2).any((1, 3))).tolist()
    }


def _label(text: str, edge: Mapping[tuple[int, int], str], rows: int) -> dict[tuple[int, int], str]:
    """A text on the left of an edge, near the middle of its height."""
    room = [(abs(i - rows // 2), i, j - len(text) - 1) for i, j in edge if j > len(text)]
    _, i, start = min(room, default=(0, 0, 0))
    return {(i, start + k): char for k, char in enumerate(text)} if room else {}


def _critical(outline: "Outline", columns: int, rows: int) -> Iterator[tuple[int, int]]:
    """The critical line: a cell in every row."""
    at = (np.arange(rows) + 0.5) / rows * (len(outline.y) - 1)
    found = np.interp(at, np.arange(len(outline.y)), outline.critical)[::-1]
    span = float(outline.x[0]), float(outline.x[-1])
    yield from ((i, _place(float(x), span, columns)) for i, x in enumerate(found) if math.isfinite(x))


@lru_cache(maxsize=4096)
def _style(text: str) -> Style:
    return Style.parse(text)


@lru_cache(maxsize=64)
def _colour(level: int) -> str:
    """A level's colour, as six hexadecimal digits."""
    at = level / (_LEVELS - 1) * (len(_CIVIDIS) - 1)
    i = min(int(at), len(_CIVIDIS) - 2)
    one, other = (bytes.fromhex(c) for c in _CIVIDIS[i : i + 2])
    return bytes(round(a + (at - i) * (b - a)) for a, b in zip(one, other, strict=True)).hex()


def _shade(level: int, above: int | None = None) -> Style:
    return _style(f"on #{_colour(level)}" if above is None else f"#{_colour(above)} on #{_colour(level)}")


def _on(ground: np.ndarray | None, i: int, j: int, colour: str, bold: bool = False) -> Style:
    """Of a character on its cell's colour, if there are colours."""
    weight = "bold" if bold else "not bold"
    if ground is None:
        return _style(weight)
    return _style(f"{weight} #{colour} on #{_colour(int(ground[2 * i, j] + ground[2 * i + 1, j]) // 2)}")


def _joined(row: Sequence[Cell]) -> Iterator[Cell]:
    """Neighbours of one style together."""
    text, style = row[0]
    for char, own in row[1:]:
        if own is style:
            text += char
        else:
            yield text, style
            text, style = char, own
    yield text, style


def width_of(stream: TextIO) -> int:
    """Columns of a terminal."""
    with contextlib.suppress(OSError, ValueError):
        return os.get_terminal_size(stream.fileno()).columns or 80
    return 80


def shows(stream: TextIO) -> bool:
    """Whether a stream is a terminal that a view can be drawn on."""
    return stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")


class Screen:
    """Draws a view every second, from a thread of its own, until it is closed.

    Whatever else is written to the terminal meanwhile, by whichever library, goes above it.
    """

    def __init__(self, look: Callable[[], View], stream: TextIO) -> None:
        self._look, self._stream = look, stream
        self._closing, self._closed = threading.Event(), False
        self._thread = threading.Thread(target=self._work, name="view", daemon=True)
        self._live: Live | None = None
        self._caught: _Caught | None = None
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
            get_renderable=self._draw,
        )
        atexit.register(self.close)  # a second Ctrl-C may come while the first one is obeyed
        if target is not self._stream:
            self._caught = _Caught()
        with contextlib.suppress(ValueError):  # not in the main thread
            self._before = signal.signal(signal.SIGTSTP, self._suspend)
        self._live.start()
        self._thread.start()

    def _measure(self) -> None:
        """Console would ask standard output, which may be led elsewhere; some terminals do not know their size."""
        with contextlib.suppress(OSError, ValueError):
            found = os.get_terminal_size(self._console.file.fileno())
            self._console.size = ConsoleDimensions(found.columns or 80, found.lines or 24)

    def _suspend(self, number: int, frame: Any) -> None:
        """Ctrl-Z: leave the terminal in order, and go on below what stands there then."""
        self._console.show_cursor(True)
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._suspend)
        self._console.show_cursor(False)
        with contextlib.suppress(AttributeError):  # rich's own business
            self._live._live_render._shape = None  # type: ignore[union-attr]

    def _draw(self) -> RenderableType:
        width, height = self._console.size
        colours = self._console.color_system in ("256", "truecolor") and not self._console.no_color
        try:
            return draw(self._look(), width, height - 1, colours)
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


class _Caught:
    """Standard output and error, where they are terminals, led into a file without a name."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile("ab+")
        self._read, self._rest = 0, b""
        self._saved: dict[int, int] = {}
        for fd in (1, 2):
            with contextlib.suppress(OSError):
                if os.isatty(fd):
                    _flush()
                    self._saved[fd] = os.dup(fd)
                    os.dup2(self._file.fileno(), fd)

    def lines(self, last: bool = False) -> list[str]:
        """What was written since the last call: whole lines, and in the end the rest."""
        lines: list[bytes] = []
        while found := os.pread(self._file.fileno(), 2**20, self._read):
            self._read += len(found)
            *new, self._rest = (self._rest + found).split(b"\n")
            lines += new
        if last:
            lines += [self._rest] * bool(self._rest)
            self._file.close()
        return [text for one in lines if (text := one.decode(errors="replace").rpartition("\r")[2]).strip()]

    def close(self) -> None:
        """Lead them back."""
        _flush()
        for fd, saved in self._saved.items():
            os.dup2(saved, fd)
            os.close(saved)
        self._saved.clear()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
