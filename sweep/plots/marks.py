"""What several figures have in common: values as colour, and measured points as marks."""

import numpy as np
import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize

from sweep.model.calibration import predicted_trainable
from sweep.plots.style import RED


def draw_surface(
    axes: Axes, x: np.ndarray, y: np.ndarray, z: np.ndarray, norm: Normalize, label: str, bar: bool = True
) -> None:
    """Draw values on a regular grid as colour and, unless ``bar`` is false, a colour bar with ``label``."""
    mesh = axes.pcolormesh(x, y, z, cmap=rcParams["image.cmap"], norm=norm, shading="gouraud", rasterized=True)
    if not bar:
        return
    colour_bar = axes.figure.colorbar(mesh, ax=axes, label=label)
    if isinstance(norm, LogNorm):  # plain numbers: nobody reads 3 x 10^1 layers
        low, high = mesh.get_clim()
        ticks = [m * 10.0**e for e in range(-1, 6) for m in (1, 2, 3, 5) if low <= m * 10.0**e <= high]
        colour_bar.set_ticks(ticks, labels=[f"{t:g}" for t in ticks])
        colour_bar.ax.minorticks_off()


_PREDICTED = "trainable at its own depth", "not trainable"


def draw_points(
    axes: Axes, points: pd.DataFrame, x: str, y: str, truth: bool = False, predicted: tuple[str, str] = _PREDICTED
) -> None:
    """Draw measured points: white if predicted trainable at their own depth, else black. Failed ones are crosses.

    With ``truth``, colour says whether the network was trained successfully, and points without training are left out.
    ``predicted`` is what both colours are called in the legend without it. If there are more than a thousand points, a
    thousand of them are drawn.
    """
    failed = points[points["status"] == "failed"]
    measured = points[points["trainable"].notna() if truth else points["status"] != "failed"]
    good = measured["trainable"].astype(bool) if truth else predicted_trainable(measured)
    shown = subsample(measured)
    note = "" if len(shown) == len(measured) else f" ({len(shown):,} of {len(measured):,} shown)"
    yes, no = ("trained", "not trained") if truth else predicted
    yes += note
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
        failed = subsample(failed)
        axes.scatter(failed[x], failed[y], s=30, c=RED, marker="x", zorder=4, clip_on=False, label="failed")


def subsample(rows: pd.DataFrame, max_rows: int = 1000) -> pd.DataFrame:
    """Return the rows, or ``max_rows`` of them at random (always the same ones) if they are more."""
    return rows if len(rows) <= max_rows else rows.sample(max_rows, random_state=0)
