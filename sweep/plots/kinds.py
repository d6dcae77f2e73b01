"""The figures of `sweep plot` by name: what draws them, and the options that say something in them."""

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
    """One kind of figure.

    Attributes
    ----------
    draw:
        Makes it, see `sweep.plots.figures`.
    options:
        Those of sigma_b and depth that say something in it.
    width:
        In inches, unless another is asked for.
    """

    draw: Callable[[Results, float | None, int | None, float], Figure]
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
    "paper": Kind(figures.paper_figure, ("sigma_b",)),
}
assert tuple(KINDS) == FIGURES  # which the command line knows without matplotlib


def figure(
    results: Results, kind: str, *, sigma_b: float | None = None, depth: int | None = None, width: float | None = None
) -> Figure:
    """Return one of `KINDS`, so many inches wide, at a sigma_b or depth where that says something.

    Raises
    ------
    SpecError
        The sweep has nothing to show in it, or not there.
    """
    for name, value in (("sigma_b", sigma_b), ("depth", depth)):
        low, high = getattr(results.spec, name)
        if value is not None and name not in KINDS[kind].options:
            raise SpecError(f"`{name}` must be left out with kind {kind!r}")
        if value is not None and not low <= value <= high:
            raise SpecError(f"`{name}` must be from {low:g} to {high:g}, as in the sweep, got {value:g}")
    return KINDS[kind].draw(results, sigma_b, depth, width or KINDS[kind].width)


def save_figure(
    results: Results,
    kind: str,
    output: str | None = None,
    *,
    sigma_b: float | None = None,
    depth: int | None = None,
    style_file: str | None = None,
    width: float | None = None,
) -> Path:
    """Write a figure into a file; return its path (see `Picture`).

    Raises
    ------
    SpecError
        A file that cannot be written, a style that cannot be read, nothing to draw.
    StoreError
        The URI cannot be written.
    """
    with styled(style_file):
        name = PICTURE if kind == "phase" else f"{kind}.png"
        picture = Picture(results, name, output)
        return picture.save(figure(results, kind, sigma_b=sigma_b, depth=depth, width=width))
