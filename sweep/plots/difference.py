"""Figure of the boundaries of two sweeps: the one of `sweep diff`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sweep.plots.style import DASHED, LABELS, RED, axes_or_new, legend, without_mathtext
from sweep.results.results import Results

if TYPE_CHECKING:
    from sweep.analysis.difference import Difference


def boundaries(one: pd.DataFrame, other: pd.DataFrame, names: Sequence[str], *, ax: Axes | None = None) -> Axes:
    """Draw the boundaries of two sweeps at one depth over each other, with their 90 % intervals.

    If both sweeps have a single sigma_b, the ends of the trainable bands are drawn as points with error bars.

    Parameters
    ----------
    one, other:
        Tables ``boundary`` of the sweeps, at one depth each.
    names:
        The two names of the sweeps in the legend.
    ax:
        The axes to draw on; by default, those of a new figure.
    """
    ax = axes_or_new(ax)
    flat = all(t["sigma_b"].nunique() <= 1 for t in (one, other))
    for i, (rows, name, colour, line_style) in enumerate(
        zip((one, other), names, ("black", RED), ("-", DASHED), strict=True)
    ):
        label: str | None = without_mathtext(name)
        for end in ("lower", "upper"):
            if flat:
                y = [0.0 - i] * len(rows)
                error = [(rows[end] - rows[f"{end}_5"]).clip(lower=0), (rows[f"{end}_95"] - rows[end]).clip(lower=0)]
                ax.errorbar(rows[end], y, xerr=error, fmt="o", ms=4, color=colour, capsize=3, label=label)
            else:
                ax.fill_betweenx(rows["sigma_b"], rows[f"{end}_5"], rows[f"{end}_95"], color=colour, alpha=0.2, lw=0)
                ax.plot(rows[end], rows["sigma_b"], color=colour, ls=line_style, lw=1.5, label=label)
            label = None
    ax.set(xlabel=LABELS["sigma_w"])
    if flat:
        ax.set(yticks=[], ylim=(-1.6, 0.6))
    else:
        ax.set(ylabel=LABELS["sigma_b"])
    return ax


def difference_figure(one: Results, other: Results, difference: "Difference") -> Figure:
    """Draw the boundaries of two sweeps, with a panel for each depth that was compared."""
    depths = sorted(int(d) for d in difference.places["depth"].unique()) or one.phase.depths[-1:]
    short = [name.rstrip("/").rpartition("/")[2] for name in difference.names]
    names = short if short[0] != short[1] else difference.names
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    grid = figure.subplots(1, len(depths), squeeze=False, sharex=True, sharey=True)[0]
    for ax, depth in zip(grid, depths, strict=True):
        tables = [r.phase.boundary([depth], difference.further) for r in (one, other)]
        boundaries(tables[0], tables[1], names, ax=ax)
        ax.set_title(f"depth {depth}")
        ax.label_outer()
    legend(figure, grid[0])
    return figure
