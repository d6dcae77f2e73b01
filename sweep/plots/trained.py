"""Figures of trained networks: accuracy, ROC curves, and accuracy over depth as in the paper."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from sweep.plots.marks import draw_points, draw_surface
from sweep.plots.style import DASHED, LABELS, LINE_STYLES, PALETTE, RED, WHITE_OUTLINE, axes_or_new, axis_label

ACCURACY = "accuracy after training"


def truth(
    points: pd.DataFrame,
    surface: pd.DataFrame | None = None,
    *,
    x: str = "sigma_w",
    y: str = "sigma_b",
    bar: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw prediction against truth over two columns: trained networks as marks, accuracy as colour, both boundaries.

    Parameters
    ----------
    points:
        Rows of the table of a sweep; those without training are left out.
    surface:
        Values on a regular grid over ``x`` and ``y``: the column ``accuracy`` is drawn as colour, the zero lines of
        ``truth`` and ``prediction`` as the two boundaries. None: marks alone.
    x, y:
        Names of the columns to draw over: axes of the sweep, or ``variance``, which is sigma_w^2.
    bar:
        Whether to draw a colour bar.
    ax:
        The axes to draw on; by default, those of a new figure.
    """
    ax = axes_or_new(ax)
    if surface is not None:
        gx, gy = np.meshgrid(np.unique(surface[x]), np.unique(surface[y]))
        grid = surface.pivot(index=y, columns=x)
        draw_surface(ax, gx, gy, grid["accuracy"].to_numpy(), Normalize(0, 1), ACCURACY, bar)
        for name, colour, label in (
            ("truth", "white", "boundary, trained"),
            ("prediction", "black", "boundary, predicted"),
        ):
            outline = WHITE_OUTLINE if colour == "white" else None
            ax.contour(gx, gy, grid[name].to_numpy(), [0], colors=colour, linewidths=1.8)
            ax.plot([], [], color=colour, lw=1.8, path_effects=outline, label=label)
        ax.set(xlim=(gx.min(), gx.max()), ylim=(gy.min(), gy.max()))
    draw_points(ax, points, x, y, truth=True)
    ax.set(xlabel=axis_label(x), ylabel=axis_label(y))
    return ax


def roc(scores: pd.DataFrame, truth: np.ndarray, *, ax: Axes | None = None) -> Axes:
    """Draw a ROC curve for each score: how many of the trained and the other networks are above each threshold.

    Parameters
    ----------
    scores:
        One row per network and one column per score; the larger the score, the more trainable.
    truth:
        Whether each network was trained successfully, ``[networks]``.
    ax:
        The axes to draw on; by default, those of a new figure.
    """
    from sklearn.metrics import auc, roc_curve

    ax = axes_or_new(ax)
    ax.plot([0, 1], [0, 1], color="0.7", lw=0.8)
    curves = {str(n): roc_curve(np.asarray(truth, dtype=bool), scores[n].to_numpy(float))[:2] for n in scores}
    areas = {name: auc(*curve) for name, curve in curves.items()}
    for i, name in enumerate(sorted(areas, key=lambda n: -areas[n])):
        colour, line = PALETTE[i % len(PALETTE)], LINE_STYLES[i % len(LINE_STYLES)]
        ax.plot(*curves[name], color=colour, ls=line, lw=1.3, label=f"{name}, AUC {areas[name]:.3f}", clip_on=False)
    ax.set(
        xlabel="networks not trained: share above the threshold",
        ylabel="networks trained: share above it",
        xlim=(0, 1),
        ylim=(0, 1),
        aspect="equal",
    )
    return ax


def reliability(bins: Mapping[str, Sequence[Mapping[str, float | None]]], *, ax: Axes | None = None) -> Axes:
    """Draw how often networks train over how often they were predicted to.

    A probability whose marks are on the diagonal can be trusted.

    Parameters
    ----------
    bins:
        For each name in the legend, bins of a predicted probability: its mean (``predicted``), the share of networks
        that trained (``observed``) and their number (``points``). The bars are the shares, plus and minus one standard
        error; the larger a mark, the more networks.
    ax:
        The axes to draw on; by default, those of a new figure.
    """
    ax = axes_or_new(ax)
    ax.plot([0, 1], [0, 1], color="0.7", lw=0.8)
    for i, (name, rows) in enumerate(bins.items()):
        known = [(r["predicted"], r["observed"], r["points"]) for r in rows if r["points"]]
        predicted, observed, count = np.array(known, dtype=float).T
        # Of a share as it would be with one more network of either outcome: no bar has the length 0.
        share = (observed * count + 1) / (count + 2)
        error = np.sqrt(share * (1 - share) / (count + 2))
        colour, line = PALETTE[i % len(PALETTE)], LINE_STYLES[i % len(LINE_STYLES)]
        ax.errorbar(predicted, observed, error, color=colour, ls=line, lw=1.3, capsize=2, label=name)
        ax.scatter(predicted, observed, s=12 + 120 * count / count.sum(), color=colour, zorder=3, clip_on=False)
    ax.set(xlabel="predicted probability", ylabel="share of networks that trained", xlim=(0, 1), ylim=(0, 1))
    ax.set_aspect("equal")
    return ax


def paper(
    surface: pd.DataFrame,
    horizon: pd.DataFrame,
    points: pd.DataFrame | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draw up to which depth networks are trainable over (sigma_w^2, depth), as in the paper (arXiv:2406.12916).

    Parameters
    ----------
    surface:
        Values on a regular grid at one sigma_b: the columns ``sigma_w``, ``depth`` and ``accuracy`` or ``margin``.
    horizon:
        One row per sigma_w: the depth up to which networks are predicted trainable (``depth``), its 90 % interval
        (``lower``, ``upper``) and mean field's depth scale ``xi_c``, all in layers.
    points:
        Rows of the table of a sweep, drawn as marks; None: no marks.
    ax:
        The axes to draw on; by default, those of a new figure.
    """
    ax = axes_or_new(ax)
    x, y = np.meshgrid(np.unique(surface["sigma_w"]) ** 2, np.unique(surface["depth"]))
    trained = "accuracy" in surface
    shown = surface.pivot(index="depth", columns="sigma_w", values="accuracy" if trained else "margin").to_numpy()
    limit = float(np.abs(shown).max()) or 1.0
    label = ACCURACY if trained else "margin (positive: predicted trainable)"
    draw_surface(ax, x, y, shown, Normalize(0, 1) if trained else Normalize(-limit, limit), label)
    if points is not None:
        draw_points(ax, points.assign(variance=points["sigma_w"] ** 2), "variance", "depth", truth=trained)
    variance = horizon["sigma_w"] ** 2
    ax.fill_between(variance, horizon["lower"], horizon["upper"], color="white", alpha=0.25, lw=0)
    ax.plot(
        variance,
        horizon["depth"],
        color="white",
        lw=1.6,
        path_effects=WHITE_OUTLINE,
        label="trainable up to here, measured",
    )
    draw_theory_depths(ax, horizon["sigma_w"], horizon["xi_c"])
    ax.set(xlim=(x.min(), x.max()), ylim=(y.min(), y.max()))
    ax.set(xlabel=LABELS["variance"], ylabel=LABELS["depth"])
    return ax


def draw_theory_depths(ax: Axes, sigma_w: pd.Series, xi_c: pd.Series) -> None:
    """Draw mean field's depth scales 6 xi_c and xi_c over sigma_w^2, where they are known."""
    if xi_c.notna().any():
        for factor, style, name in ((6, DASHED, r"$6\,\xi_c$"), (1, (0, (1, 1.5)), r"$\xi_c$")):
            depth = factor * xi_c.clip(upper=1e6)
            ax.plot(sigma_w**2, depth, color=RED, ls=style, lw=1.6, label=f"mean field, {name}")
