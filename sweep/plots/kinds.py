"""The kinds of figures of `sweep plot`: by name, the function that draws each and the options that it takes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from sweep.errors import SpecError
from sweep.plots import figures
from sweep.plots.diagram import PICTURE
from sweep.plots.saving import Picture
from sweep.plots.style import WIDTH, styled
from sweep.results.results import Results
from sweep.spec.options import FIGURES


@dataclass(frozen=True)
class Kind:
    """A kind of figure.

    Attributes
    ----------
    draw:
        The function that draws it, see `sweep.plots.figures`.
    options:
        Those of ``sigma_b``, ``depth`` and ``truth`` that it takes.
    width:
        In inches, unless the user asks for another.
    """

    draw: Callable[[Results, figures.View], Figure]
    options: tuple[str, ...] = ()
    width: float = WIDTH


KINDS = {
    "phase": Kind(figures.phase_figure, ("depth",)),
    "depth": Kind(figures.depth_figure, width=7.2),
    "profiles": Kind(figures.profiles_figure, ("sigma_b", "depth")),
    "reconstructions": Kind(figures.reconstructions_figure, ("sigma_b", "depth"), width=6.8),
    "truth": Kind(figures.truth_figure, ("depth",), width=6.2),
    "history": Kind(figures.history_figure),
    "roc": Kind(figures.roc_figure),
    "reliability": Kind(figures.reliability_figure),
    "paper": Kind(figures.paper_figure, ("sigma_b",)),
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
    width:
        In inches; by default, that of the kind.

    Raises
    ------
    SpecError
        The kind does not take ``sigma_b``, ``depth`` or ``truth``, they are out of range, or the results do not hold
        what the figure needs.
    """
    for name, value in (("sigma_b", sigma_b), ("depth", depth), ("truth", truth)):
        if value is not None and name not in KINDS[kind].options:
            raise SpecError(f"`{name}` must be left out with kind {kind!r}")
    for name, place in (("sigma_b", sigma_b), ("depth", depth)):
        low, high = getattr(results.spec, name)
        if place is not None and not low <= place <= high:
            raise SpecError(f"`{name}` must be from {low:g} to {high:g}, as in the sweep, got {place:g}")
    return KINDS[kind].draw(results, figures.View(width or KINDS[kind].width, sigma_b, depth, truth))


def save_figure(
    results: Results,
    kind: str,
    output: str | None = None,
    *,
    sigma_b: float | None = None,
    depth: int | None = None,
    truth: Results | None = None,
    style_file: str | None = None,
    width: float | None = None,
) -> Path:
    """Draw a figure of a sweep, write it to a file and return the file's path.

    Parameters
    ----------
    results, kind, sigma_b, depth, truth, width:
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
        return picture.save(figure(results, kind, sigma_b=sigma_b, depth=depth, truth=truth, width=width))
