"""What several figures draw: values as colour, measured points."""

import numpy as np
import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize

from sweep.plots.style import RED


def draw_surface(
    axes: Axes, x: np.ndarray, y: np.ndarray, z: np.ndarray, norm: Normalize, label: str, bar: bool = True
) -> None:
    """Draw values on a regular grid as colour, by default with a bar that says what they mean."""
    mesh = axes.pcolormesh(x, y, z, cmap=rcParams["image.cmap"], norm=norm, shading="gouraud", rasterized=True)
    if not bar:
        return
    drawn = axes.figure.colorbar(mesh, ax=axes, label=label)
    if isinstance(norm, LogNorm):  # plain numbers: nobody reads 3 x 10^1 layers
        low, high = mesh.get_clim()
        ticks = [m * 10.0**e for e in range(-1, 6) for m in (1, 2, 3, 5) if low <= m * 10.0**e <= high]
        drawn.set_ticks(ticks, labels=[f"{t:g}" for t in ticks])
        drawn.ax.minorticks_off()


def draw_points(axes: Axes, points: pd.DataFrame, x: str, y: str, truth: bool = False) -> None:
    """Draw measured points: white where predicted trainable at their own depth, black where not; failed ones crossed.

    With ``truth``, by what training gave. Of more than a thousand, a thousand are drawn.
    """
    failed = points[points["status"] == "failed"]
    measured = points[points["trainable"].notna() if truth else points["status"] != "failed"]
    good = measured["trainable"].astype(bool) if truth else measured["margin"] >= 0
    shown = at_most(measured)
    few = "" if len(shown) == len(measured) else f" ({len(shown):,} of {len(measured):,} shown)"
    yes, no = ("trained" + few, "not trained") if truth else ("trainable at its own depth" + few, "not trainable")
    size = 20 if len(shown) <= 300 else 7
    for chosen, face, edge, label in ((good, "white", "black", yes), (~good, "black", "white", no)):
        part = shown[chosen.loc[shown.index]]
        axes.scatter(
            part[x],
            part[y],
            s=size,
            c=face,
            edgecolors=edge,
            linewidths=0.8 if size == 20 else 0.4,
            zorder=3,
            clip_on=False,
            label=label,
        )
    if len(failed):
        failed = at_most(failed)
        axes.scatter(failed[x], failed[y], s=30, c=RED, marker="x", zorder=4, clip_on=False, label="failed")


def at_most(rows: pd.DataFrame, most: int = 1000) -> pd.DataFrame:
    """Return as many rows as can be told apart in a figure."""
    return rows if len(rows) <= most else rows.sample(most, random_state=0)
