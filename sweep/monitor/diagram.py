"""The phase diagram in the cells of a terminal."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console, ConsoleOptions
from rich.segment import Segment
from rich.style import Style

from sweep.monitor.view import View

if TYPE_CHECKING:
    from sweep.model.estimate import Outline

MARGIN = 7  # columns of numbers to the left of it
_CIVIDIS = ("00224e", "123570", "3b496c", "575d6d", "707173", "8a8678", "a69d75", "c4b56c", "e4cf5b", "fee838")
_LEVELS = 32  # of colour
_SHADES = " ·░▒▓"  # where there is no colour
_LABEL = {"sigma_w": "σw", "sigma_b": "σb", "depth": "depth"}
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of braille: row, column
_POINT = {True: "•", False: "◦"}
_NEWEST = 8  # points


class PhaseDiagram:
    """The boundary so far, with its axes and its legend."""

    def __init__(self, view: View, columns: int, rows: int, colours: bool) -> None:
        self._view, self._columns, self._rows, self._colours = view, columns, rows, colours

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        columns, rows = self._columns, self._rows
        (across, (left, right)), (up, (bottom, top)) = self._view.ranges.items()
        numbers = {0: _number(top), rows - 1: _number(bottom), rows // 2: _LABEL[up]}
        for i, row in enumerate(_cells(self._view, columns, rows, self._colours)):
            yield Segment(f"{numbers.get(i, ''):>{MARGIN - 1}} ")
            yield Segment("┤" if i in (0, rows - 1) else "│", _style("dim"))
            for text, style in _joined(row):
                yield Segment(text, style)
            yield Segment.line()
        yield Segment(" " * MARGIN + "└" + "─" * columns, _style("dim"))
        yield Segment.line()
        ends = _number(left), _LABEL[across], _number(right)
        gap = columns - sum(map(len, ends))
        yield Segment(" " * (MARGIN + 1) + ends[0] + " " * (gap // 2) + ends[1] + " " * (gap - gap // 2) + ends[2])
        yield Segment.line()
        yield from _legend(self._view, columns, self._colours)
        yield Segment.line()


def _legend(view: View, columns: int, colours: bool) -> Iterator[Segment]:
    """What colours and lines mean: as much of it as there is room for."""
    yield Segment(" " * (MARGIN + 1))
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
    """Return cells ``[rows][columns]``, the top row first: colours, points on them, and over these lines."""
    ground: np.ndarray | None = None
    cells: list[list[Cell]] = [[(" ", None)] * columns for _ in range(rows)]
    lines: dict[tuple[int, int], Cell] = {}
    if view.outline is not None:
        ground, field, lines = _background(view.outline, columns, rows, colours)
        cells = [row[:] for row in field]
    spans = list(view.ranges.values())
    for k, (x, y, good) in enumerate(view.recent):
        i, j = rows - 1 - _place(y, spans[1], rows), _place(x, spans[0], columns)
        dark = ground is not None and ground[2 * i, j] < _LEVELS // 4
        colour = "ffffff" if good else "9fb3d9" if dark else "000000"
        cells[i][j] = _POINT[good], _on(ground, i, j, colour, bold=k >= len(view.recent) - _NEWEST)
    for (i, j), cell in lines.items():
        cells[i][j] = cell
    return cells


@lru_cache(maxsize=2)
def _background(
    outline: "Outline", columns: int, rows: int, colours: bool
) -> tuple[np.ndarray | None, list[list[Cell]], dict[tuple[int, int], Cell]]:
    """Return what stays until the next estimate: levels of colour (None without), cells, and lines over the points."""
    share = _resampled(outline.trainable, 2 * rows, columns)[::-1]
    if not colours:
        darkness = np.round(share.reshape(rows, 2, columns).mean(1) * (len(_SHADES) - 1)).astype(int)
        shades: list[list[Cell]] = [[(_SHADES[k], None) for k in row] for row in darkness.tolist()]
        return None, shades, _lines(outline, columns, rows, None)
    levels = np.clip(np.round(share * (_LEVELS - 1)), 0, _LEVELS - 1).astype(int)
    halves: list[list[Cell]] = [
        [("▀", _shade(below, above)) if above != below else (" ", _shade(above)) for above, below in pairs]
        for pairs in (zip(*levels[2 * i : 2 * i + 2].tolist(), strict=True) for i in range(rows))
    ]
    return levels, halves, _lines(outline, columns, rows, levels)


def _lines(outline: "Outline", columns: int, rows: int, ground: np.ndarray | None) -> dict[tuple[int, int], Cell]:
    """Return the cells of the edges with their depths, and of the critical line."""
    cells: dict[tuple[int, int], Cell] = {}
    for depth, margin in outline.margins.items():
        edge = _edge(margin, columns, rows)
        cells |= {(i, j): (char, _on(ground, i, j, "ffffff")) for (i, j), char in edge.items()}
        text = _label(str(depth or ""), edge, rows)
        cells |= {(i, j): (char, _on(ground, i, j, "ffffff", bold=True)) for (i, j), char in text.items()}
    for i, j in _critical(outline, columns, rows):
        cells[i, j] = "┃", _style("bold red") if ground is None else _on(ground, i, j, "e01040", bold=True)
    return cells


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
