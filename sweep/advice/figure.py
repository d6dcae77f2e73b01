"""The figure of an advice: the trainable band, the recommended place in it, and the default."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from sweep.advice.plane import Plane
from sweep.model.estimate import NORMAL_90
from sweep.model.margin import MarginModel
from sweep.plots.marks import draw_points, draw_surface
from sweep.plots.style import DASHED, LABELS, PALETTE, RED, WHITE_OUTLINE, WIDTH, legend, styled, use_plain_ticks

_MAP, _LINE = 2.9, 2.0  # heights of the two panels, in inches
_LAYERS = "trainable depth (layers)"
_DEFAULT, _BAND, _BAND_ALPHA = PALETTE[5], PALETTE[6], 0.25
_MARKS: dict[str, Any] = {"zorder": 6, "edgecolors": "black", "linewidths": 0.8, "clip_on": False}


def band_figure(
    model: MarginModel,
    points: pd.DataFrame,
    *,
    recommended: tuple[float, float],
    default: tuple[float, float, float] | None,
) -> Figure:
    """Return the figure of an advice.

    Above stands the trainable depth over sigma_w and sigma_b, unless sigma_b is fixed; below, it stands over sigma_w,
    at the recommended sigma_b.

    Parameters
    ----------
    model:
        Model of the margin.
    points:
        Table of the places that were measured.
    recommended:
        The recommended sigma_w and sigma_b.
    default:
        The sigma_w and sigma_b of networks without advice, and how deep they may be, in layers; None if unknown.
    """
    plane, depth = Plane(model), model.spec.depth[0]
    with styled(None):
        heights = [_MAP, _LINE] if len(plane.sigma_b) > 1 else [_LINE]
        figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
        panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        layers = _Layers(model, points)
        _draw_line(panels[-1], plane, layers, recommended, depth, default)
        if len(panels) > 1:
            _draw_map(panels[0], plane, layers, points, depth)
            _mark(panels[0], recommended, default and default[:2])
            panels[0].set(ylabel=LABELS["sigma_b"], ylim=(plane.sigma_b[0], plane.sigma_b[-1]))
        panels[0].fill_between([], [], [], color="0.8", lw=0, label="90 % interval")
        panels[0].fill_between([], [], [], color=_BAND, alpha=_BAND_ALPHA, lw=0, label="trainable band")
        panels[-1].set(xlabel=LABELS["sigma_w"], xlim=(plane.sigma_w[0], plane.sigma_w[-1]))
        legend(figure, panels[0])
        return figure


class _Layers:
    """Margins as trainable depths, up to the largest that was measured."""

    def __init__(self, model: MarginModel, points: pd.DataFrame) -> None:
        spec = model.spec
        self._unit = spec.definition.share(spec.statistic) * spec.depth[0]
        self.most = self._unit * float(np.exp(points["margin"].max()))

    def __call__(self, margin: np.ndarray) -> np.ndarray:
        """Return the depths of margins, in layers."""
        return np.clip(self._unit * np.exp(margin), 0.5, self.most)


def _draw_map(ax: Axes, plane: Plane, layers: _Layers, points: pd.DataFrame, depth: int) -> None:
    """Draw the trainable depth over the plane, the boundary with its interval, and the places that were measured."""
    x, y = np.meshgrid(plane.sigma_w, plane.sigma_b)
    mean, deviation = plane.margins()
    shown = layers(mean)
    draw_surface(ax, x, y, shown, LogNorm(shown.min(), max(shown.max(), 1.1 * shown.min())), _LAYERS)
    doubt = NORMAL_90 * deviation - np.abs(mean)
    if (doubt > 0).any():
        ax.contourf(x, y, doubt, [0, np.inf], colors="white", alpha=0.25)
    if mean.min() < 0 <= mean.max():
        ax.contour(x, y, mean, [0], colors="white", linewidths=1.6).set_path_effects([*WHITE_OUTLINE])
        ax.plot([], [], color="white", lw=1.6, path_effects=WHITE_OUTLINE, label=f"edge at depth {depth}")
    draw_points(ax, points, "sigma_w", "sigma_b", predicted=("measured, trainable", "measured, not trainable"))


def _draw_line(
    ax: Axes,
    plane: Plane,
    layers: _Layers,
    recommended: tuple[float, float],
    depth: int,
    default: tuple[float, float, float] | None,
) -> None:
    """Draw the trainable depth over sigma_w at the recommended sigma_b, and where it is enough."""
    sigma_w, sigma_b = recommended
    x, mean, deviation = plane.line(sigma_b)
    ax.fill_between(x, 0, 1, where=mean >= 0, color=_BAND, alpha=_BAND_ALPHA, lw=0, transform=ax.get_xaxis_transform())
    low, high = (layers(mean + sign * NORMAL_90 * deviation) for sign in (-1, 1))
    ax.fill_between(x, low, high, color="0.8", lw=0)
    ax.plot(x, layers(mean), color="black", lw=1.6)
    ax.axhline(depth, color="black", lw=0.8, ls=DASHED)
    ax.annotate(f"depth {depth}", (1, depth), (-4, 3), ax.get_yaxis_transform(), textcoords="offset points", ha="right")
    at = layers(np.interp(sigma_w, x, mean))
    _mark(ax, (sigma_w, float(at)), default and (default[0], default[2]))
    ax.set_yscale("log")
    use_plain_ticks(ax.yaxis)
    ax.set(ylabel=f"{_LAYERS}\n" + rf"at $\sigma_b$ = {sigma_b:g}")


def _mark(ax: Axes, recommended: tuple[float, float], default: tuple[float, float] | None) -> None:
    ax.scatter(*recommended, s=150, marker="*", color=RED, label="recommended", **_MARKS)
    if default is not None:
        ax.scatter(*default, s=46, marker="D", color=_DEFAULT, label="without advice", **_MARKS)
