"""Profiles of many networks as colour over (sigma_w^2, layer), as in the paper."""

import numpy as np
import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.patheffects import withStroke

from probes.definition import HORIZONS
from sweep.plots.style import LABELS, VALUE_LABELS, WHITE_OUTLINE, axes_or_new
from sweep.plots.trained import draw_theory_depths
from sweep.spec.columns import keys_in

_LIGHT_OUTLINE = (withStroke(linewidth=2.6, foreground="0.85"),)
_EXTREMES = (1, 99)  # percentiles of the values beyond which colours do not change


def layers(
    profiles: pd.DataFrame,
    points: pd.DataFrame | None = None,
    trained: pd.DataFrame | None = None,
    *,
    value: str = "cascade_relative_entropy",
    ax: Axes | None = None,
) -> Axes:
    """Draw a profile of networks as colour over (sigma_w^2, layer), with a column for each network, up to its depth.

    Parameters
    ----------
    profiles:
        The table of a sweep, or some of its rows: networks that differ in sigma_w.
    points:
        The rows of these networks in the table ``points``. If given, the published cutoff, mean field's depth scales
        and the horizon of this profile are drawn as lines.
    trained:
        Rows of the table ``points``, of the same sweep or of another one. Outcomes of training are drawn as marks.
    value:
        The column to draw.
    ax:
        The axes to draw on; by default, those of a new figure.
    """
    ax = axes_or_new(ax)
    rows = profiles[profiles[value].notna()]
    networks = [network for _, network in rows.groupby(keys_in(rows))]  # sorted, by sigma_w first
    edges = _edges(np.array([float(network["sigma_w"].iloc[0]) ** 2 for network in networks]))
    norm = _norm(rows[value].to_numpy(), value)
    for network, left, right in zip(networks, edges[:-1], edges[1:], strict=True):
        column = network.sort_values("layer")
        sides = np.array([left, right]), np.arange(len(column) + 1) + 0.5
        mesh = ax.pcolormesh(
            *sides, column[value].to_numpy()[:, None], cmap=rcParams["image.cmap"], norm=norm, rasterized=True
        )
    ax.figure.colorbar(mesh, ax=ax, extend="neither" if value in HORIZONS.values() else "both")
    ax.set_title(VALUE_LABELS[value])
    ax.set(xlim=(edges[0], edges[-1]), ylim=(0.5, rows["layer"].max() + 0.5))
    ax.set(xlabel=LABELS["variance"], ylabel="layer")
    if points is not None:
        points = points.sort_values("sigma_w")
        _draw_depths(ax, points)
        for name in (n for n, profile in HORIZONS.items() if profile == value):
            ax.plot(
                points["sigma_w"] ** 2,
                points[name],
                color="black",
                lw=1.4,
                path_effects=_LIGHT_OUTLINE,
                label="horizon",
            )
    if trained is not None:
        _draw_outcomes(ax, trained)
    return ax


def _norm(values: np.ndarray, value: str) -> Normalize:
    if value in HORIZONS.values():
        return PowerNorm(0.5, 0, 1, clip=True)  # a little information is much
    low, high = np.percentile(values[np.isfinite(values)], _EXTREMES)
    return Normalize(low, high if high > low else low + 1)


def _edges(x: np.ndarray) -> np.ndarray:
    """Return the edges of columns around sorted positions: half way between them."""
    if len(x) == 1:
        return np.array([x[0] - 0.5, x[0] + 0.5])
    middles = (x[:-1] + x[1:]) / 2
    return np.array([2 * x[0] - middles[0], *middles, 2 * x[-1] - middles[-1]])


def _draw_depths(ax: Axes, points: pd.DataFrame) -> None:
    variance = points["sigma_w"] ** 2
    cutoff = points["cascade_cutoff"].astype(float) + 1  # the index of a layer, from 0
    ax.plot(variance, cutoff, color="white", lw=1.4, path_effects=WHITE_OUTLINE, label="cutoff of the relative entropy")
    draw_theory_depths(ax, points["sigma_w"], points["xi_c"])


def _draw_outcomes(ax: Axes, points: pd.DataFrame) -> None:
    trained = points[points["trainable"].notna()]
    good = trained["trainable"].astype(bool)
    for part, face, edge, label in (
        (trained[good], "white", "black", "trained"),
        (trained[~good], "black", "white", "not trained"),
    ):
        if len(part):
            at = part["sigma_w"] ** 2, part["depth"]
            ax.scatter(*at, s=16, c=face, edgecolors=edge, lw=0.8, zorder=3, clip_on=False, label=label)
