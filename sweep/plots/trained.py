"""Figures of trained networks: accuracy, ROC curves, the paper's picture."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from sweep.plots.style import LABELS, LINE_STYLES, PALETTE, RED, WHITE_OUTLINE, axes_or_new, draw_points, draw_surface

__all__ = ["THEORY_DEPTHS", "paper", "roc", "truth"]

_ACCURACY = "accuracy after training"
THEORY_DEPTHS: tuple[tuple[int, Any], ...] = ((6, (0, (4, 2))), (1, (0, (1, 1.5))))  # xi_c times so much, line style


def truth(
    points: pd.DataFrame,
    surface: pd.DataFrame | None = None,
    *,
    x: str = "sigma_w",
    y: str = "sigma_b",
    bar: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Prediction against truth, from trained rows of the table ``points`` over two of the axes.

    ``surface`` is on a regular grid of them: ``accuracy`` is colour, the zeros of ``truth`` and ``prediction`` are
    lines. ``bar``: with a bar of the colours.
    """
    ax = axes_or_new(ax)
    if surface is not None:
        gx, gy = np.meshgrid(np.unique(surface[x]), np.unique(surface[y]))
        grid = surface.pivot(index=y, columns=x)
        draw_surface(ax, gx, gy, grid["accuracy"].to_numpy(), Normalize(0, 1), _ACCURACY, bar)
        for name, colour, label in (
            ("truth", "white", "boundary, trained"),
            ("prediction", "black", "boundary, predicted"),
        ):
            ax.contour(gx, gy, grid[name].to_numpy(), [0], colors=colour, linewidths=1.8)
            ax.plot(
                [], [], color=colour, lw=1.8, path_effects=WHITE_OUTLINE if colour == "white" else None, label=label
            )
        ax.set(xlim=(gx.min(), gx.max()), ylim=(gy.min(), gy.max()))
    draw_points(ax, points, x, y, truth=True)
    ax.set(xlabel=LABELS[x], ylabel=LABELS[y])
    return ax


def roc(scores: pd.DataFrame, truth: np.ndarray, *, ax: Axes | None = None) -> Axes:
    """Of every column of scores, the share of trained networks above each threshold against that of the others.

    ``truth`` says of each row whether the network was trained.
    """
    from sweep.analysis.statistics import auc

    ax = axes_or_new(ax)
    truth = np.asarray(truth, dtype=bool)
    ax.plot([0, 1], [0, 1], color="0.7", lw=0.8)
    areas = {str(name): auc(scores[name].to_numpy(float), truth) for name in scores}
    for i, name in enumerate(sorted(areas, key=lambda n: -areas[n])):
        s = scores[name].to_numpy(float)
        cuts = np.append(np.unique(s)[::-1], -np.inf)
        good, bad = np.sort(s[truth]), np.sort(s[~truth])
        hit = 1 - np.searchsorted(good, cuts, side="left") / len(good)
        false = 1 - np.searchsorted(bad, cuts, side="left") / len(bad)
        ax.plot(
            np.append(0, false),
            np.append(0, hit),
            color=PALETTE[i % len(PALETTE)],
            ls=LINE_STYLES[i % len(LINE_STYLES)],
            lw=1.3,
            label=f"{name}, AUC {areas[name]:.3f}",
            clip_on=False,
        )
    ax.set(
        xlabel="networks not trained: share above the threshold",
        ylabel="networks trained: share above it",
        xlim=(0, 1),
        ylim=(0, 1),
        aspect="equal",
    )
    return ax


def paper(
    surface: pd.DataFrame,
    horizon: pd.DataFrame,
    points: pd.DataFrame | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Over (sigma_w^2, depth) at one sigma_b: colour, the depth that is trainable, mean field's depth scales.

    ``surface`` is on a regular grid: ``sigma_w, depth`` and ``accuracy`` or ``margin``. ``horizon`` has a row a
    sigma_w: ``depth, lower, upper`` (how deep networks are predicted trainable, 90 % interval) and ``xi_c``. ``points``
    are marked.
    """
    ax = axes_or_new(ax)
    x, y = np.meshgrid(np.unique(surface["sigma_w"]) ** 2, np.unique(surface["depth"]))
    trained = "accuracy" in surface
    shown = surface.pivot(index="depth", columns="sigma_w", values="accuracy" if trained else "margin").to_numpy()
    limit = float(np.abs(shown).max()) or 1.0
    label = _ACCURACY if trained else "margin (positive: predicted trainable)"
    draw_surface(ax, x, y, shown, Normalize(0, 1) if trained else Normalize(-limit, limit), label)
    if points is not None:
        draw_points(ax, points.assign(variance=points["sigma_w"] ** 2), "variance", "depth", truth=trained)
    at = horizon["sigma_w"] ** 2
    ax.fill_between(at, horizon["lower"], horizon["upper"], color="white", alpha=0.25, lw=0)
    ax.plot(
        at, horizon["depth"], color="white", lw=1.6, path_effects=WHITE_OUTLINE, label="trainable up to here, measured"
    )
    if horizon["xi_c"].notna().any():
        for factor, style in THEORY_DEPTHS:
            name = r"mean field, $6\,\xi_c$" if factor == 6 else r"mean field, $\xi_c$"
            ax.plot(at, factor * horizon["xi_c"].clip(upper=1e6), color=RED, ls=style, lw=1.6, label=name)
    ax.set(xlim=(x.min(), x.max()), ylim=(y.min(), y.max()))
    ax.set(xlabel=r"weight variance $\sigma_w^2$", ylabel=LABELS["depth"])
    return ax
