"""The kinds of figures of `sweep plot`: by name, the function that draws each and the options that it takes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from sweep.errors import SpecError
from sweep.plots import figures
from sweep.plots.diagram import PICTURE
from sweep.plots.saving import Picture
from sweep.plots.style import WIDTH, styled
from sweep.results.results import Results, checked_at
from sweep.spec.options import FIGURES


@dataclass(frozen=True)
class Kind:
    """A kind of figure.

    Attributes
    ----------
    draw:
        The function that draws it, see `sweep.plots.figures`.
    options:
        Those of ``sigma_b``, ``depth``, ``truth``, ``plane`` and ``at`` that it takes.
    width:
        In inches, unless the user asks for another.
    """

    draw: Callable[[Results, figures.View], Figure]
    options: tuple[str, ...] = ()
    width: float = WIDTH


KINDS = {
    "phase": Kind(figures.phase_figure, ("sigma_b", "depth", "plane", "at")),
    "depth": Kind(figures.depth_figure, ("at",), width=7.2),
    "profiles": Kind(figures.profiles_figure, ("sigma_b", "depth", "at")),
    "reconstructions": Kind(figures.reconstructions_figure, ("sigma_b", "depth"), width=6.8),
    "truth": Kind(figures.truth_figure, ("depth", "at"), width=6.2),
    "history": Kind(figures.history_figure),
    "roc": Kind(figures.roc_figure),
    "reliability": Kind(figures.reliability_figure),
    "paper": Kind(figures.paper_figure, ("sigma_b", "at")),
    "cascade": Kind(figures.cascade_figure, ("sigma_b", "truth"), width=10.0),
}
assert tuple(KINDS) == FIGURES  # the command line takes them from there, to load no matplotlib


def figure(
    results: Results,
    kind: str,
    *,
    sigma_b: float | None = None,
    depth: int | None = None,
    truth: Results | None = None,
    plane: tuple[str | None, str | None] = (None, None),
    at: Mapping[str, float] | None = None,
    width: float | None = None,
) -> Figure:
    """Draw a figure of a sweep.

    Parameters
    ----------
    results:
        Those of the sweep.
    kind:
        One of `KINDS`.
    sigma_b, depth:
        What to draw it at, within the ranges of the sweep and for the kinds that take it; None: the kind's own choice.
    truth:
        Another sweep, whose trained networks are drawn as well.
    plane:
        Names of the free axes across and up; None: the first free ones that are left.
    at:
        Values of further axes by name; those left out are in the middle of their ranges.
    width:
        In inches; by default, that of the kind.

    Raises
    ------
    SpecError
        The kind does not take one of the arguments, they are out of range, or the results do not hold what the figure
        needs.
    """
    given = {"sigma_b": sigma_b, "depth": depth, "truth": truth, "x": plane[0], "y": plane[1], "at": at or None}
    for name, value in given.items():
        if value is not None and {"x": "plane", "y": "plane"}.get(name, name) not in KINDS[kind].options:
            raise SpecError(f"`{name}` must be left out with kind {kind!r}")
    for name, place in (("sigma_b", sigma_b), ("depth", depth)):
        low, high = getattr(results.spec, name)
        if place is not None and not low <= place <= high:
            raise SpecError(f"`{name}` must be from {low:g} to {high:g}, as in the sweep, got {place:g}")
    chosen = _plane(results, plane) if any(plane) else None
    checked = checked_at(results.spec, at or {}) or {}
    return KINDS[kind].draw(results, figures.View(width or KINDS[kind].width, sigma_b, depth, truth, chosen, checked))


def _plane(results: Results, plane: tuple[str | None, str | None]) -> tuple[str, str]:
    """Return the names of two different free axes: those that are given, or else the first ones that are left."""
    free = results.spec.free_axes
    for name, axis in zip(("x", "y"), plane, strict=True):
        if axis is not None and axis not in free:
            raise SpecError(f"`{name}` must be a free axis of the sweep ({', '.join(free) or 'none'}), got {axis!r}")
    left = [axis for axis in free if axis not in plane]
    x, y = (axis or (left.pop(0) if left else None) for axis in plane)
    if x is None or y is None or x == y:
        raise SpecError(f"`y` must be another free axis of the sweep than {x!r}, got {y!r}")
    return x, y


def save_figure(
    results: Results,
    kind: str,
    output: str | None = None,
    *,
    sigma_b: float | None = None,
    depth: int | None = None,
    truth: Results | None = None,
    plane: tuple[str | None, str | None] = (None, None),
    at: Mapping[str, float] | None = None,
    style_file: str | None = None,
    width: float | None = None,
) -> Path:
    """Draw a figure of a sweep, write it to a file and return the file's path.

    Parameters
    ----------
    results, kind, sigma_b, depth, truth, plane, at, width:
        See `figure`.
    output:
        The file; by default, one in the sweep that is named after the kind (see `Picture`).
    style_file:
        A file with a matplotlib style, or the name of a style.

    Raises
    ------
    SpecError
        The file cannot be written, the style cannot be read, or the figure cannot be drawn (see `figure`).
    StoreError
        The sweep is at a URI, which cannot be written to.
    """
    with styled(style_file):
        name = PICTURE if kind == "phase" else f"{kind}.png"
        picture = Picture(results, name, output)
        drawn = figure(results, kind, sigma_b=sigma_b, depth=depth, truth=truth, plane=plane, at=at, width=width)
        return picture.save(drawn)
