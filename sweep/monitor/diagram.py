"""The phase diagram, drawn with the characters of a terminal."""

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

MARGIN = 7  # terminal columns for the numbers to the left of the diagram
_CIVIDIS = ("00224e", "123570", "3b496c", "575d6d", "707173", "8a8678", "a69d75", "c4b56c", "e4cf5b", "fee838")
_COLOUR_LEVELS = 32
_SHADES = " ·░▒▓"  # in place of colours, for a terminal without them
_LABEL = {"sigma_w": "σw", "sigma_b": "σb", "depth": "depth"}
_BRAILLE_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # [row][column]: bit in the code point
_MARKS = {True: "•", False: "◦"}  # by whether the point is predicted trainable
_BOLD_POINTS = 8  # number of newest points whose marks are bold


class PhaseDiagram:
    """The phase diagram as it is estimated so far, with axes and legend, for rich to print.

    Parameters
    ----------
    view:
        The state of the sweep; it must have two ranges.
    columns, rows:
        Size of the plot in characters, without axes and legend.
    colours:
        Use background colours rather than shades of dots.
    """

    def __init__(self, view: View, columns: int, rows: int, colours: bool) -> None:
        self._view, self._columns, self._rows, self._colours = view, columns, rows, colours

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        columns, rows = self._columns, self._rows
        (across, (left, right)), (up, (bottom, top)) = self._view.ranges.items()
        numbers = {0: _number(top), rows - 1: _number(bottom), rows // 2: _label_of(up)}
        for i, row in enumerate(_cells(self._view, columns, rows, self._colours)):
            yield Segment(f"{numbers.get(i, ''):>{MARGIN - 1}} ")
            yield Segment("┤" if i in (0, rows - 1) else "│", _style("dim"))
            for text, style in _joined(row):
                yield Segment(text, style)
            yield Segment.line()
        yield Segment(" " * MARGIN + "└" + "─" * columns, _style("dim"))
        yield Segment.line()
        ends = _number(left), _label_of(across), _number(right)
        gap = columns - sum(map(len, ends))
        yield Segment(" " * (MARGIN + 1) + ends[0] + " " * (gap // 2) + ends[1] + " " * (gap - gap // 2) + ends[2])
        yield Segment.line()
        yield from _legend(self._view, columns, self._colours)
        yield Segment.line()


def _legend(view: View, columns: int, colours: bool) -> Iterator[Segment]:
    """Yield the legend of colours, lines and marks, as much of it as there is room for."""
    yield Segment(" " * (MARGIN + 1))
    outline = view.outline
    if outline is None:
        yield Segment("the boundary appears as points come in", _style("dim"))
        return
    if view.depths and "depth" not in view.ranges and view.depths[0] < view.depths[1]:
        low, high = f"trainable to {view.depths[0]} ", f" {view.depths[1]} layers"
    else:
        low, high = "P(trainable) 0 ", " 1"
    levels = np.linspace(0, _COLOUR_LEVELS - 1, 6).astype(int).tolist()
    scale = [Segment(" ", _shade(level)) for level in levels] if colours else [Segment(_SHADES[1:])]
    parts = [[Segment(low), *scale, Segment(high)]]
    if outline.margins:
        parts.append([Segment("   ⡇", _style("bold")), Segment(" edge")])
    if np.isfinite(outline.critical).any():
        parts.append([Segment("   ┃", _style("bold red")), Segment(" critical")])
    if view.recent:
        parts.append([Segment(f"   {_MARKS[True]} trains  {_MARKS[False]} not")])
    for part in parts:
        columns -= sum(len(s.text) for s in part)
        if columns < 0:
            return
        yield from part


def _number(value: float) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.2f}" if 0.095 <= abs(value) < 1000 or value == 0 else f"{value:.1g}"


def _label_of(axis: str) -> str:
    """Return the name of an axis, in as few columns as there are beside the diagram."""
    return _LABEL.get(axis, axis[: MARGIN - 1])


Cell = tuple[str, Style | None]


def _cells(view: View, columns: int, rows: int, colours: bool) -> list[list[Cell]]:
    """Return the diagram's cells ``[rows][columns]``, top row first: lines over points over colours."""
    levels: np.ndarray | None = None
    cells: list[list[Cell]] = [[(" ", None)] * columns for _ in range(rows)]
    lines: dict[tuple[int, int], Cell] = {}
    if view.outline is not None:
        levels, background, lines = _background(view.outline, columns, rows, colours)
        cells = [row[:] for row in background]
    spans = list(view.ranges.values())
    scales = [math.log if axis in view.log_axes else float for axis in view.ranges]
    for k, (x, y, good) in enumerate(view.recent):
        i = rows - 1 - _cell_index(scales[1](y), (scales[1](spans[1][0]), scales[1](spans[1][1])), rows)
        j = _cell_index(scales[0](x), (scales[0](spans[0][0]), scales[0](spans[0][1])), columns)
        dark = levels is not None and levels[2 * i, j] < _COLOUR_LEVELS // 4
        colour = "ffffff" if good else "9fb3d9" if dark else "000000"
        cells[i][j] = _MARKS[good], _on(levels, i, j, colour, bold=k >= len(view.recent) - _BOLD_POINTS)
    for (i, j), cell in lines.items():
        cells[i][j] = cell
    return cells


@lru_cache(maxsize=2)
def _background(
    outline: "Outline", columns: int, rows: int, colours: bool
) -> tuple[np.ndarray | None, list[list[Cell]], dict[tuple[int, int], Cell]]:
    """Return what stays the same until the next estimate.

    Returns
    -------
    levels:
        ``[2 * rows, columns]``: colour levels of the upper and lower half of each cell; None without colours.
    cells:
        ``[rows][columns]``: the cells that are drawn below the points.
    lines:
        The cells, by row and column, that are drawn over the points.
    """
    share = _resampled(outline.trainable, 2 * rows, columns)[::-1]
    if not colours:
        shade = np.round(share.reshape(rows, 2, columns).mean(1) * (len(_SHADES) - 1)).astype(int)
        shades: list[list[Cell]] = [[(_SHADES[k], None) for k in row] for row in shade.tolist()]
        return None, shades, _lines(outline, columns, rows, None)
    levels = np.clip(np.round(share * (_COLOUR_LEVELS - 1)), 0, _COLOUR_LEVELS - 1).astype(int)
    halves: list[list[Cell]] = [
        [("▀", _shade(below, above)) if above != below else (" ", _shade(above)) for above, below in pairs]
        for pairs in (zip(*levels[2 * i : 2 * i + 2].tolist(), strict=True) for i in range(rows))
    ]
    return levels, halves, _lines(outline, columns, rows, levels)


def _lines(outline: "Outline", columns: int, rows: int, levels: np.ndarray | None) -> dict[tuple[int, int], Cell]:
    """Return the cells of the critical line and of the boundaries, each labelled with its depth."""
    cells: dict[tuple[int, int], Cell] = {}
    for depth, margin in outline.margins.items():
        edge = _edge(margin, columns, rows)
        cells |= {(i, j): (char, _on(levels, i, j, "ffffff")) for (i, j), char in edge.items()}
        text = _label(str(depth or ""), edge, rows)
        cells |= {(i, j): (char, _on(levels, i, j, "ffffff", bold=True)) for (i, j), char in text.items()}
    for i, j in _critical(outline, columns, rows):
        cells[i, j] = "┃", _style("bold red") if levels is None else _on(levels, i, j, "e01040", bold=True)
    return cells


def _cell_index(value: float, span: tuple[float, float], count: int) -> int:
    low, high = span
    return min(count - 1, max(0, int((value - low) / (high - low) * count)))


def _resampled(grid: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Return a grid, interpolated bilinearly at the centres of ``rows`` x ``columns`` cells over the same range."""
    y, x = ((np.arange(n) + 0.5) / n * (m - 1) for n, m in zip((rows, columns), grid.shape, strict=True))
    i, j = (np.minimum(v.astype(int), m - 2) for v, m in zip((y, x), grid.shape, strict=True))
    v, u = (y - i)[:, None], (x - j)[None]
    low, high = grid[i], grid[i + 1]
    return (1 - v) * ((1 - u) * low[:, j] + u * low[:, j + 1]) + v * ((1 - u) * high[:, j] + u * high[:, j + 1])


def _edge(margin: np.ndarray, columns: int, rows: int) -> dict[tuple[int, int], str]:
    """Return the cells in which a margin changes its sign, each with its part of the line as a braille character."""
    dots = np.zeros((4 * rows, 2 * columns), dtype=bool)
    good = _resampled(margin, *dots.shape)[::-1] >= 0
    dots[:, :-1] |= good[:, :-1] != good[:, 1:]
    dots[:-1] |= good[:-1] != good[1:]
    return {
        (i, j): chr(
            0x2800 + sum(_BRAILLE_DOTS[r][c] for r, c in np.argwhere(dots[4 * i : 4 * i + 4, 2 * j : 2 * j + 2]))
        )
        for i, j in np.argwhere(dots.reshape(rows, 4, columns, 2).any((1, 3))).tolist()
    }


def _label(text: str, edge: Mapping[tuple[int, int], str], rows: int) -> dict[tuple[int, int], str]:
    """Return the cells of a text to the left of an edge, near the middle of the diagram; none if there is no room."""
    room = [(abs(i - rows // 2), i, j - len(text) - 1) for i, j in edge if j > len(text)]
    _, i, start = min(room, default=(0, 0, 0))
    return {(i, start + k): char for k, char in enumerate(text)} if room else {}


def _critical(outline: "Outline", columns: int, rows: int) -> Iterator[tuple[int, int]]:
    """Yield the cells of the critical line: one for each row in which it is known."""
    positions = (np.arange(rows) + 0.5) / rows * (len(outline.y) - 1)
    sigma_w = np.interp(positions, np.arange(len(outline.y)), outline.critical)[::-1]
    span = float(outline.x[0]), float(outline.x[-1])
    yield from ((i, _cell_index(float(x), span, columns)) for i, x in enumerate(sigma_w) if math.isfinite(x))


@lru_cache(maxsize=4096)
def _style(text: str) -> Style:
    return Style.parse(text)


@lru_cache(maxsize=64)
def _colour(level: int) -> str:
    """Return the colour of a level as six hexadecimal digits, interpolated in the map Cividis."""
    position = level / (_COLOUR_LEVELS - 1) * (len(_CIVIDIS) - 1)
    i = min(int(position), len(_CIVIDIS) - 2)
    below, above = (bytes.fromhex(c) for c in _CIVIDIS[i : i + 2])
    return bytes(round(a + (position - i) * (b - a)) for a, b in zip(below, above, strict=True)).hex()


def _shade(level: int, above: int | None = None) -> Style:
    return _style(f"on #{_colour(level)}" if above is None else f"#{_colour(above)} on #{_colour(level)}")


def _on(levels: np.ndarray | None, i: int, j: int, colour: str, bold: bool = False) -> Style:
    """Return the style of a character on the background of its cell."""
    weight = "bold" if bold else "not bold"
    if levels is None:
        return _style(weight)
    return _style(f"{weight} #{colour} on #{_colour(int(levels[2 * i, j] + levels[2 * i + 1, j]) // 2)}")


def _joined(row: Sequence[Cell]) -> Iterator[Cell]:
    """Yield the texts of a row with their styles, neighbouring cells of the same style joined."""
    text, style = row[0]
    for char, char_style in row[1:]:
        if char_style is style:
            text += char
        else:
            yield text, style
            text, style = char, char_style
    yield text, style
