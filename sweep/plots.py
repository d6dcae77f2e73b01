"""Results -> matplotlib figures. Never measures, never reads ray, leaves pyplot's state alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib import colormaps, rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from probes.meanfield import applies_to, mean_field
from probes.point import NEEDED

from .estimate import PhaseModel, theory_line
from .frame import POINT, Results
from .spec import SweepSpec

__all__ = [
    "band",
    "boundaries",
    "comparison_figure",
    "depth",
    "gallery_figure",
    "history",
    "legend",
    "paper",
    "phase",
    "phase_diagram",
    "profiles",
    "reconstructions",
    "roc",
    "save",
    "truth",
]

if TYPE_CHECKING:
    from probes.pictures import Gallery

    from .evaluate import Comparison

LABELS = {
    "sigma_w": r"weight standard deviation $\sigma_w$",
    "sigma_b": r"bias standard deviation $\sigma_b$",
    "depth": "depth (hidden layers)",
}
_VALUES = {
    "direct_retained": "retained information (direct)",
    "cascade_retained": "retained information (cascade)",
    "cascade_relative_entropy": "relative entropy (nats)",
    "differential_entropy": "differential entropy (nats)",
}
_ACCURACY = "accuracy after training"
_STEPS = 81
_THEORY_DEPTHS: tuple[tuple[int, Any], ...] = ((6, (0, (4, 2))), (1, (0, (1, 1.5))))  # xi_c times so much, line style
_STYLES = ("-", (0, (6, 2)), (0, (1, 1.2)), (0, (6, 2, 1, 2)))
# Dark to light in grey, and told apart by every common colour vision.
_MAP = colormaps["cividis"]
# Okabe and Ito's, which every common colour vision tells apart.
_RED, _BLUE = "#d55e00", "#0072b2"
_PALETTE = ("#000000", _RED, _BLUE, "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "0.5")
_OUTLINE = (withStroke(linewidth=2.6, foreground="0.25"),)
_BROKEN = (0, (4, 2))


def save(figure: Figure, path: Path) -> None:
    """Write PNG, PDF or SVG by the path's ending."""
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=160, metadata=None)


def _axes(ax: Axes | None) -> Axes:
    return Figure(figsize=(5.2, 3.6), layout="constrained").add_subplot() if ax is None else ax


def phase(
    points: pd.DataFrame, boundary: pd.DataFrame, surface: pd.DataFrame | None = None, *, ax: Axes | None = None
) -> Axes:
    """The phase diagram over (sigma_w, sigma_b), from the tables ``points`` and ``boundary``.

    ``surface`` is what colour shows, on a regular grid: ``sigma_w, sigma_b`` and ``horizon`` (on a log scale) or
    ``margin``, which ``surface.attrs["label"]`` names.
    """
    ax = _axes(ax)
    if surface is not None:
        sides = [np.unique(surface[a]) for a in ("sigma_w", "sigma_b")]
        grid = surface.pivot(index="sigma_b", columns="sigma_w")
        x, y = np.meshgrid(*sides)
        if "horizon" in surface:
            shown = grid["horizon"].to_numpy()
            low, high = max(0.5, float(shown.min())), float(shown.max())
            _colours(ax, x, y, shown, LogNorm(low, max(high, low * 1.1)), "horizon (layers)")
        else:
            shown = grid["margin"].to_numpy()
            limit = float(np.abs(shown).max()) or 1.0
            _colours(ax, x, y, shown, Normalize(-limit, limit), surface.attrs.get("label", "margin"))
    named = False
    for style, (d, rows) in zip(_STYLES, boundary.groupby("depth"), strict=False):
        for end in ("lower", "upper"):
            ax.fill_betweenx(rows["sigma_b"], rows[f"{end}_5"], rows[f"{end}_95"], color="white", alpha=0.25, lw=0)
        if rows[["lower", "upper"]].notna().any(axis=None):
            label: str | None = f"boundary, depth {d}"
            for end in ("lower", "upper"):
                ax.plot(rows[end], rows["sigma_b"], color="white", lw=1.4, ls=style, path_effects=_OUTLINE, label=label)
                label = None
            named = True
    if named:
        ax.fill_betweenx([], [], [], color="0.85", lw=0, label="its 90 % interval")
    if len(boundary):
        line = boundary[boundary["depth"] == boundary["depth"].max()]
        ax.fill_betweenx(line["sigma_b"], line["critical_5"], line["critical_95"], color="black", alpha=0.25, lw=0)
        ax.plot(line["critical"], line["sigma_b"], color="black", lw=2, label="critical line, measured")
        if line["theory"].notna().any():
            ax.plot(line["theory"], line["sigma_b"], color=_RED, lw=1.6, ls=_BROKEN, label=r"mean field, $\chi_1 = 1$")
    _marks(ax, points, "sigma_w", "sigma_b")
    ends = surface if surface is not None else points
    ax.set(xlabel=LABELS["sigma_w"], ylabel=LABELS["sigma_b"])
    if len(ends):
        ax.set(xlim=(ends["sigma_w"].min(), ends["sigma_w"].max()), ylim=_span_of(ends["sigma_b"]))
    return ax


def _span_of(values: pd.Series) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def depth(
    points: pd.DataFrame,
    *,
    statistic: str = "direct_horizon",
    boundary: pd.DataFrame | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Horizon against depth, from the table ``points``: above the line, a network is predicted trainable.

    Colour says on which side of the measured critical line of ``boundary`` a network is, where that is given.
    """
    ax = _axes(ax)
    measured = _some(points[points[statistic].notna()], 2000)
    censored = measured[f"{statistic}_censored"].fillna(False).astype(bool)
    horizon = measured[statistic].clip(lower=0.5)
    ends = np.array([measured["depth"].min(), measured["depth"].max()], dtype=float)
    if boundary is not None and len(boundary):
        line = boundary[boundary["depth"] == boundary["depth"].max()].sort_values("sigma_b")
        critical = np.interp(measured["sigma_b"], line["sigma_b"], line["critical"])
        colour, label = measured["sigma_w"] / critical, r"$\sigma_w$ / critical $\sigma_w$"
        spread = max(1.2, float(colour.max()), 1 / float(colour.min()))
        norm: Normalize = LogNorm(1 / spread, spread)
    else:
        colour, label, norm = measured["sigma_w"], LABELS["sigma_w"], Normalize()
    size = 16 if len(measured) <= 300 else 6
    for part, marker, name in ((~censored, "o", "measured"), (censored, "^", "at least")):
        if part.any():
            marks = ax.scatter(
                measured.loc[part, "depth"],
                horizon[part],
                c=colour[part],
                norm=norm,
                cmap="RdYlBu_r" if isinstance(norm, LogNorm) else rcParams["image.cmap"],
                s=size,
                marker=marker,
                edgecolors="0.2",
                linewidths=0.4,
                label=name,
                rasterized=len(measured) > 1000,
            )
    bar = ax.figure.colorbar(marks, ax=ax, label=label)
    if isinstance(norm, LogNorm):
        ticks = [t for t in (0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5) if 1 / spread <= t <= spread]
        bar.set_ticks(ticks, labels=[f"{t:g}" for t in ticks])
        bar.ax.minorticks_off()
    share = NEEDED[statistic]
    ends = ends if ends[0] < ends[1] else ends * [0.8, 1.25]
    ax.plot(
        ends,
        share * ends,
        color="black",
        lw=1.4,
        label="needed: " + ("the depth" if share == 1 else f"{share:g} depth"),
    )
    ax.set(xlabel=LABELS["depth"], ylabel="horizon (layers)", yscale="log")
    ax.set_ylim(top=2 * ax.get_ylim()[1])  # room for a legend
    _plain_ticks(ax.yaxis)
    return ax


def band(boundary: pd.DataFrame, *, most: int = 3, ax: Axes | None = None) -> Axes:
    """The trainable band of sigma_w against depth, from the table ``boundary``, for a few sigma_b."""
    ax = _axes(ax)
    values = np.unique(boundary["sigma_b"])
    chosen = values[np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int))]
    for b, colour, style in zip(chosen, _PALETTE, _STYLES, strict=False):
        rows = boundary[boundary["sigma_b"] == b].sort_values("depth")
        label: str | None = rf"$\sigma_b$ = {b:.2g}"
        for end in ("lower", "upper"):
            ax.fill_between(rows["depth"], rows[f"{end}_5"], rows[f"{end}_95"], color=colour, alpha=0.2, lw=0)
            ax.plot(rows["depth"], rows[end], color=colour, ls=style, lw=1.4, label=label)
            label = None
    ax.set(xlabel=LABELS["depth"], ylabel=r"ends of the band, $\sigma_w$")
    return ax


def profiles(
    profiles: pd.DataFrame, *, value: str = "direct_retained", threshold: float | None = None, ax: Axes | None = None
) -> Axes:
    """A value after each layer, a line a network, from the table ``profiles``; colour: sigma_w."""
    ax = _axes(ax)
    rows = profiles[profiles[value].notna()]
    norm = Normalize(rows["sigma_w"].min(), rows["sigma_w"].max())
    colours = colormaps[rcParams["image.cmap"]]
    for _, one in rows.groupby(list(POINT)):
        ax.plot(one["layer"], one[value], color=colours(norm(float(one["sigma_w"].iloc[0]))), lw=1.1)
    if norm.vmax != norm.vmin:
        ax.figure.colorbar(ScalarMappable(norm, rcParams["image.cmap"]), ax=ax, label=LABELS["sigma_w"])
    if threshold is not None:
        ax.axhline(threshold, color=_RED, lw=1, ls=_BROKEN, label=f"threshold, {threshold:g}")
    if value.endswith("_retained"):
        ax.axhline(0, color="0.5", lw=0.8, zorder=0)
        ax.set_ylim(max(-0.5, min(-0.05, float(rows[value].min()))), 1.02)
    ax.set(xlabel="layer", ylabel=_VALUES[value])
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


def stretched(tiles: np.ndarray, axes: int) -> np.ndarray:
    """Images ``[..., height, width(, 3)]`` behind so many axes, each over its own range: from 0 to 1."""
    inner = tuple(range(axes, tiles.ndim))
    low, high = tiles.min(inner, keepdims=True), tiles.max(inner, keepdims=True)
    return np.asarray((tiles - low) / np.where(high > low, high - low, 1))


def reconstructions(tiles: np.ndarray, rows: Sequence[str], columns: Sequence[str], *, ax: Axes | None = None) -> Axes:
    """Images in rows and columns: ``[rows, columns, height, width]`` or ``[..., height, width, 3]``.

    Each is stretched over its own range: reconstructions are read for their shapes.
    """
    ax = _axes(ax)
    scaled = stretched(tiles, 2)
    h, w = tiles.shape[2:4]
    gap = max(1, min(h, w) // 12)
    sheet = np.full((len(rows) * (h + gap) - gap, len(columns) * (w + gap) - gap, *tiles.shape[4:]), np.nan)
    for r in range(len(rows)):
        for c in range(len(columns)):
            sheet[r * (h + gap) :, c * (w + gap) :][:h, :w] = scaled[r, c]
    ax.imshow(
        np.ma.masked_invalid(sheet) if sheet.ndim == 2 else np.nan_to_num(sheet, nan=1.0), cmap="gray", vmin=0, vmax=1
    )
    ax.set_xticks(np.arange(len(columns)) * (w + gap) + (w - 1) / 2, columns)
    ax.set_yticks(np.arange(len(rows)) * (h + gap) + (h - 1) / 2, rows)
    ax.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


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
    ax = _axes(ax)
    if surface is not None:
        gx, gy = np.meshgrid(np.unique(surface[x]), np.unique(surface[y]))
        grid = surface.pivot(index=y, columns=x)
        _colours(ax, gx, gy, grid["accuracy"].to_numpy(), Normalize(0, 1), _ACCURACY, bar)
        for name, colour, label in (
            ("truth", "white", "boundary, trained"),
            ("prediction", "black", "boundary, predicted"),
        ):
            ax.contour(gx, gy, grid[name].to_numpy(), [0], colors=colour, linewidths=1.8)
            ax.plot([], [], color=colour, lw=1.8, path_effects=_OUTLINE if colour == "white" else None, label=label)
        ax.set(xlim=(gx.min(), gx.max()), ylim=(gy.min(), gy.max()))
    _marks(ax, points, x, y, truth=True)
    ax.set(xlabel=LABELS[x], ylabel=LABELS[y])
    return ax


def roc(scores: pd.DataFrame, truth: np.ndarray, *, ax: Axes | None = None) -> Axes:
    """Of every column of scores, the share of trained networks above each threshold against that of the others.

    ``truth`` says of each row whether the network was trained.
    """
    from .evaluate import auc

    ax = _axes(ax)
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
            color=_PALETTE[i % len(_PALETTE)],
            ls=_STYLES[i % len(_STYLES)],
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


def history(history: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """How the boundary's expected error fell with the number of points, from `Results.history`."""
    ax = _axes(ax)
    ax.plot(history["points"], history["expected_error"], "o-", ms=3.5, color="black", lw=1.4)
    ax.set(
        xlabel="points measured",
        ylabel="expected share of the range\non the boundary's wrong side",
        xscale="log",
        yscale="log",
    )
    _plain_ticks(ax.xaxis)
    _plain_ticks(ax.yaxis)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:g} %"))
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
    ax = _axes(ax)
    x, y = np.meshgrid(np.unique(surface["sigma_w"]) ** 2, np.unique(surface["depth"]))
    trained = "accuracy" in surface
    shown = surface.pivot(index="depth", columns="sigma_w", values="accuracy" if trained else "margin").to_numpy()
    limit = float(np.abs(shown).max()) or 1.0
    label = _ACCURACY if trained else "margin (positive: predicted trainable)"
    _colours(ax, x, y, shown, Normalize(0, 1) if trained else Normalize(-limit, limit), label)
    if points is not None:
        _marks(ax, points.assign(variance=points["sigma_w"] ** 2), "variance", "depth", truth=trained)
    at = horizon["sigma_w"] ** 2
    ax.fill_between(at, horizon["lower"], horizon["upper"], color="white", alpha=0.25, lw=0)
    ax.plot(at, horizon["depth"], color="white", lw=1.6, path_effects=_OUTLINE, label="trainable up to here, measured")
    if horizon["xi_c"].notna().any():
        for factor, style in _THEORY_DEPTHS:
            name = r"mean field, $6\,\xi_c$" if factor == 6 else r"mean field, $\xi_c$"
            ax.plot(at, factor * horizon["xi_c"].clip(upper=1e6), color=_RED, ls=style, lw=1.6, label=name)
    ax.set(xlim=(x.min(), x.max()), ylim=(y.min(), y.max()))
    ax.set(xlabel=r"weight variance $\sigma_w^2$", ylabel=LABELS["depth"])
    return ax


def boundaries(one: pd.DataFrame, other: pd.DataFrame, names: Sequence[str], *, ax: Axes | None = None) -> Axes:
    """Two ``boundary`` tables of one depth each over each other, with their 90 % intervals.

    Of sweeps at one sigma_b, each boundary is a bar along sigma_w.
    """
    ax = _axes(ax)
    flat = all(t["sigma_b"].nunique() <= 1 for t in (one, other))
    for i, (rows, name, colour, style) in enumerate(
        zip((one, other), names, ("black", _RED), ("-", _BROKEN), strict=True)
    ):
        label: str | None = _plain(name)
        for end in ("lower", "upper"):
            if flat:
                y = [0.0 - i] * len(rows)
                error = [(rows[end] - rows[f"{end}_5"]).clip(lower=0), (rows[f"{end}_95"] - rows[end]).clip(lower=0)]
                ax.errorbar(rows[end], y, xerr=error, fmt="o", ms=4, color=colour, capsize=3, label=label)
            else:
                ax.fill_betweenx(rows["sigma_b"], rows[f"{end}_5"], rows[f"{end}_95"], color=colour, alpha=0.2, lw=0)
                ax.plot(rows[end], rows["sigma_b"], color=colour, ls=style, lw=1.5, label=label)
            label = None
    ax.set(xlabel=LABELS["sigma_w"])
    if flat:
        ax.set(yticks=[], ylim=(-1.6, 0.6))
    else:
        ax.set(ylabel=LABELS["sigma_b"])
    return ax


def _plain_ticks(axis: Any) -> None:
    """1, 2, 5, 10 rather than powers of ten."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axis.set_minor_formatter(NullFormatter())


def phase_diagram(results: Results, *, title: bool = True, depth: int | None = None, width: float = 8.6) -> Figure:
    """What a sweep found, over the two free axes that say most (one, if only one is free).

    Colour: the horizon, or the margin where the statistic is no horizon. Lines: the boundary for a few depths (or for
    ``depth``) with 90 % intervals, the critical line, mean field's critical line. Marks: the measured points.
    """
    figure = Figure(figsize=(width, 0.6 * width), layout="constrained")
    axes = figure.add_subplot()
    points, phase = results.points, results.phase
    free = results.spec.free_axes
    measured = points[points["status"] != "failed"]
    if len(free) >= 2:
        x, y = free[:2]
        if phase.enough:
            if (x, y) == ("sigma_w", "sigma_b"):
                _plane(figure, axes, results, x, y, depth)
            else:
                _depth_plane(figure, axes, results, x, y)
                _marks(axes, points, x, y)
            legend(figure, axes)
        else:
            _marks(axes, points, x, y)
        axes.set(xlabel=LABELS[x], ylabel=LABELS[y], xlim=getattr(results.spec, x), ylim=getattr(results.spec, y))
    elif free:
        _line(axes, measured, phase, free[0])
    else:
        _profile(axes, results)
    if len(free) and not phase.enough:
        axes.text(
            0.5,
            0.98,
            "too few points for a boundary",
            transform=axes.transAxes,
            ha="center",
            va="top",
            style="italic",
        )
    if title:
        axes.set_title(_title(results), fontsize=10, loc="left")
    return figure


def gallery_figure(gallery: "Gallery", dataset: str) -> Figure:
    """Reconstructions layer by layer and the favourites of the classes, before and after training."""
    depth, count = gallery.point.depth, len(gallery.originals)
    states = [("as drawn", gallery.before), (f"trained: accuracy {gallery.curve.accuracy.max():.2f}", gallery.after)]
    columns = max(len(gallery.layers) + 1, 0 if gallery.before is None else len(gallery.before.favourites) + 1)
    figure = Figure(figsize=(0.85 * columns + 0.4, 0.92 * 2 * (count + 1) + 1.6), layout="constrained")
    p = gallery.point
    figure.suptitle(
        rf"{_plain(dataset)}: $\sigma_w$ = {p.sigma_w:g}, $\sigma_b$ = {p.sigma_b:g}, {depth} layers, seed {p.seed}",
        fontsize=10,
    )
    parts = figure.subfigures(2, 1, squeeze=False, hspace=0.04)[:, 0]
    for part, (title, state) in zip(parts, states, strict=True):
        part.suptitle(title, fontsize=10, x=0.01, ha="left", weight="bold")
        cells = part.subplots(count + 1, columns, squeeze=False)
        for cell in cells.flat:
            cell.axis("off")
        if state is None:
            cells[0, 0].text(0, 0.5, "its activations leave the finite range: nothing to reconstruct", fontsize=9)
            continue
        for row, original in enumerate(gallery.originals):
            for column, image in enumerate([original, *state.reconstructions[:, row]]):
                _image(cells[row, column], image, gallery.shape)
        heads = ["image", *(f"layer {n}" if n <= depth else "classes" for n in gallery.layers)]
        for cell, head in zip(cells[0], heads, strict=False):
            cell.set_title(head, fontsize=8)
        cells[count, 0].text(0.5, 0.5, "favourite\nimage of", fontsize=8, ha="center", va="center")
        for number, image in enumerate(state.favourites):
            _image(cells[count, number + 1], image, gallery.shape)
            cells[count, number + 1].set_title(f"class {number}", fontsize=8)
    return figure


def comparison_figure(found: "Comparison") -> Figure:
    """Truth as colour, prediction as contour, theory as line, over the axes of the sweep that was trained.

    Planes of (sigma_w, sigma_b) at a few depths; of (sigma_w^2, depth), as in the paper, where sigma_b is fixed; points
    where only one axis is free.
    """
    spec, points = found.spec, found.points
    free = set(spec.free_axes)
    if {"sigma_w", "sigma_b"} <= free:
        depths = [int(d) for d in np.unique(np.geomspace(*spec.depth, 4).round())]
        figure = Figure(figsize=(9.6, 7.6) if len(depths) > 1 else (7.4, 5.2), layout="constrained")
        grid = figure.subplots(2 if len(depths) > 2 else 1, 2 if len(depths) > 1 else 1, squeeze=False, sharex=True)
        for axes in grid.flat[len(depths) :]:
            axes.axis("off")
        w, b = np.meshgrid(*[np.linspace(*_span(spec, a), _STEPS) for a in ("sigma_w", "sigma_b")])
        near = np.abs(np.log(points["depth"].to_numpy()[:, None] / np.array(depths))).argmin(1)
        panels: list[tuple[Any, ...]] = [
            (axes, w, b, {"sigma_w": w, "sigma_b": b, "depth": np.full(w.shape, float(d))}, points[near == i], d)
            for i, (axes, d) in enumerate(zip(grid.flat, depths, strict=False))
        ]
    elif {"sigma_w", "depth"} <= free:
        figure = Figure(figsize=(7.8, 5.6), layout="constrained")
        w, d = np.meshgrid(*[np.linspace(*_span(spec, a), _STEPS) for a in ("sigma_w", "depth")])
        places = {"sigma_w": w, "depth": d, "sigma_b": np.full(w.shape, spec.sigma_b[0])}
        panels = [(figure.add_subplot(), w**2, d, places, points, None)]
    else:
        return _comparison_line(found)
    for axes, x, y, places, near_points, depth in panels:
        colours = axes.pcolormesh(x, y, found.accuracy(places), cmap=_MAP, vmin=0, vmax=1, shading="gouraud")
        axes.contour(x, y, found.truth(places), [0], colors="white", linewidths=1.4)
        axes.contour(x, y, found.prediction(places), [0], colors="black", linewidths=2.2)
        over_depth = depth is None
        at = near_points["sigma_w"] ** 2 if over_depth else near_points["sigma_w"]
        good = near_points["trainable"].to_numpy(bool)
        axes.scatter(at, near_points["depth" if over_depth else "sigma_b"], s=14, zorder=3, lw=0.7)
        axes.collections[-1].set_facecolors(np.where(good[:, None], 1.0, 0.0) * np.ones((1, 3)))
        axes.collections[-1].set_edgecolors(np.where(good[:, None], 0.0, 1.0) * np.ones((1, 3)))
        axes.set(xlim=(x.min(), x.max()), ylim=(y.min(), y.max()))
        if over_depth:
            axes.set(xlabel=r"weight variance $\sigma_w^2$", ylabel=LABELS["depth"])
            _theory_depths(axes, spec)
        else:
            axes.set(title=f"depth {depth}", xlabel=LABELS["sigma_w"], ylabel=LABELS["sigma_b"])
            axes.plot(theory_line(spec, y[:, 0]), y[:, 0], color=_RED, ls=(0, (4, 2)))
    figure.colorbar(colours, ax=[p[0] for p in panels], label="accuracy after training", pad=0.02)
    handles = [
        Line2D([], [], color="black", lw=2.2, label=f"predicted: {found.default}"),
        Line2D([], [], color="0.7", lw=1.4, label=f"trained to {found.info['level']:.2f}"),
        Line2D([], [], color="white", mec="black", marker="o", ls="", ms=5, label="trained"),
        Line2D([], [], color="black", mec="white", marker="o", ls="", ms=5, label="not trained"),
        *_theory_handles(spec, over_depth=panels[0][5] is None),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    figure.suptitle(_comparison_title(found), fontsize=10, x=0.01, ha="left")
    return figure


def _comparison_title(found: "Comparison") -> str:
    spec = found.spec
    fixed = [f"{a} = {getattr(spec, a)[0]:g}" for a in ("sigma_w", "sigma_b", "depth") if a not in spec.free_axes]
    parts = [_plain(Path(spec.dataset).name), spec.architecture, spec.activation, *fixed]
    auc = found.table["auc"].get(found.default, float("nan"))
    return " · ".join([*parts, f"{found.info['points']} networks trained", f"AUC {auc:.3f}"])


def _theory_depths(axes: Axes, spec: SweepSpec) -> None:
    """The depths 6 xi_c and xi_c of mean field, over sigma_w^2."""
    if not applies_to(spec.architecture):
        return
    sigma_w = np.linspace(*_span(spec, "sigma_w"), 301)
    xi = np.array([mean_field(w, spec.sigma_b[0], spec.activation).xi_c for w in sigma_w])
    limits = axes.get_ylim()
    for factor, style in _THEORY_DEPTHS:
        axes.plot(sigma_w**2, factor * np.minimum(xi, 1e6), color=_RED, ls=style, lw=1.6)
    axes.set_ylim(limits)


def _theory_handles(spec: SweepSpec, *, over_depth: bool) -> list[Line2D]:
    if not applies_to(spec.architecture):
        return []
    if not over_depth:
        return [Line2D([], [], color=_RED, ls=(0, (4, 2)), label=r"mean field, $\chi_1 = 1$")]
    labels = (r"mean field, $6\,\xi_c$", r"mean field, $\xi_c$")
    return [
        Line2D([], [], color=_RED, ls=style, label=label)
        for (_, style), label in zip(_THEORY_DEPTHS, labels, strict=True)
    ]


def _comparison_line(found: "Comparison") -> Figure:
    """One free axis: accuracy and score of every point along it."""
    figure = Figure(figsize=(7.4, 5.6), layout="constrained")
    (axis,) = found.spec.free_axes
    above, below = figure.subplots(2, 1, sharex=True)
    x = found.points[axis]
    above.plot(x, found.points["accuracy"], "o", ms=4, color=_MAP(0.1))
    above.axhline(found.info["level"], color="0.5", lw=0.8)
    above.set(ylabel="accuracy after training", ylim=(0, 1))
    below.plot(x, found.points[f"score_{found.default}"], "o", ms=4, color="black")
    below.axhline(0, color="0.5", lw=0.8)
    below.set(xlabel=LABELS[axis], ylabel=f"score of {found.default}")
    if axis == "sigma_w":
        for axes in (above, below):
            _theory(axes, found.spec)
    figure.suptitle(_comparison_title(found), fontsize=10, x=0.01, ha="left")
    return figure


def _image(axes: Axes, flat: np.ndarray, shape: tuple[int, ...]) -> None:
    """One image, stretched over its own range: reconstructions are read for their shapes."""
    low, high = float(flat.min()), float(flat.max())
    image = ((flat - low) / (high - low or 1.0)).reshape(shape if len(shape) > 1 else (1, -1))
    if image.ndim == 3:  # channels first; two or four of them are no colours
        image = image.transpose(1, 2, 0) if image.shape[0] == 3 else image.mean(0)
    axes.imshow(image, cmap="gray", interpolation="nearest", aspect="equal" if len(shape) > 1 else "auto")


def _plain(text: str) -> str:
    """The name of a file is text, not mathematics: matplotlib would read what stands between two dollars."""
    return text.replace("$", r"\$")


def _title(results: Results) -> str:
    spec = results.spec
    failed = int((results.points["status"] == "failed").sum())
    name = _plain(Path(spec.dataset).name)
    fixed = [f"{a} = {getattr(spec, a)[0]:g}" for a in ("sigma_w", "sigma_b", "depth") if a not in spec.free_axes]
    parts = [
        f"{name}, {spec.architecture}, {spec.activation}",
        str(spec.statistic),
        *fixed,
        f"{len(results.points)} points" + (f", {failed} failed" if failed else ""),
    ]
    return " · ".join(parts)


def _span(spec: SweepSpec, axis: str) -> tuple[float, float]:
    low, high = getattr(spec, axis)
    return float(low), float(high)


def _grid(results: Results, x: str, y: str) -> tuple[np.ndarray, np.ndarray]:
    spans = [np.linspace(*_span(results.spec, a), _STEPS) for a in (x, y)]
    gx, gy = np.meshgrid(*spans)
    return gx, gy


def _plane(figure: Figure, axes: Axes, results: Results, x: str, y: str, depth: int | None = None) -> None:
    """(sigma_w, sigma_b): colour, boundaries at a few depths or at one, critical lines."""
    spec = results.spec
    chosen = spec.depth[1] if depth is None else depth
    w, b = _grid(results, x, y)
    margin = results.phase.mean(w.ravel(), b.ravel(), float(chosen))
    surface = pd.DataFrame({"sigma_w": w.ravel(), "sigma_b": b.ravel(), "margin": margin})
    surface.attrs["label"] = f"margin at depth {chosen}"
    if spec.by_horizon:
        surface["horizon"] = chosen * NEEDED[str(spec.statistic)] * np.exp(margin)
    phase(results.points, results.boundary if depth is None else results.boundary_at([depth]), surface, ax=axes)


def _depth_plane(figure: Figure, axes: Axes, results: Results, x: str, y: str) -> None:
    """A plane with the depth as its second axis: the margin, its zero line, the critical lines."""
    phase, spec = results.phase, results.spec
    gx, gy = _grid(results, x, y)
    fixed = {a: getattr(spec, a)[0] for a in ("sigma_w", "sigma_b")} | {x: gx.ravel(), "depth": gy.ravel()}
    mean, deviation = (v.reshape(gx.shape) for v in phase.margin(**fixed))
    limit = float(np.abs(mean).max()) or 1.0
    _colours(axes, gx, gy, mean, Normalize(-limit, limit), "margin (positive: predicted trainable)")
    axes.contour(gx, gy, mean, levels=[0], colors="white", linewidths=1.8)
    for edge in (mean - 1.645 * deviation, mean + 1.645 * deviation):
        axes.contour(gx, gy, edge, levels=[0], colors="white", linewidths=0.8, linestyles="dotted")
    axes.plot([], [], color="white", lw=1.8, path_effects=_OUTLINE, label="boundary")
    axes.plot([], [], color="white", lw=0.8, ls="dotted", path_effects=_OUTLINE, label="its 90 % interval")
    if x == "sigma_w":
        line = phase.critical_line().iloc[0]
        axes.axvspan(line["lower"], line["upper"], color="black", alpha=0.25, lw=0)
        axes.axvline(line["sigma_w"], color="black", lw=2.4, label="critical line, measured")
        _theory(axes, spec)


def _colours(
    axes: Axes, x: np.ndarray, y: np.ndarray, z: np.ndarray, norm: Normalize, label: str, bar: bool = True
) -> None:
    mesh = axes.pcolormesh(x, y, z, cmap=rcParams["image.cmap"], norm=norm, shading="gouraud", rasterized=True)
    if not bar:
        return
    drawn = axes.figure.colorbar(mesh, ax=axes, label=label)
    if isinstance(norm, LogNorm):  # plain numbers: nobody reads 3 x 10^1 layers
        low, high = mesh.get_clim()
        ticks = [m * 10.0**e for e in range(-1, 6) for m in (1, 2, 3, 5) if low <= m * 10.0**e <= high]
        drawn.set_ticks(ticks, labels=[f"{t:g}" for t in ticks])
        drawn.ax.minorticks_off()


def legend(figure: Figure, axes: Axes) -> None:
    """Below the axes, where it hides nothing, in as many columns as there is room for; the figure grows by its rows."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        size = 0.9 * min(9.0, rcParams["font.size"])
        columns = max(1, min(4, int(figure.get_figwidth() / (0.23 * size))))
        figure.set_figheight(figure.get_figheight() + -(-len(handles) // columns) * 1.6 * size / 72)
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=size, frameon=False)


def _marks(axes: Axes, points: pd.DataFrame, x: str, y: str, truth: bool = False) -> None:
    """Measured points: white where predicted trainable at their own depth, black where not; failed ones crossed.

    With ``truth``, by what training gave. Of more than a thousand, a thousand are drawn.
    """
    failed = points[points["status"] == "failed"]
    measured = points[points["trainable"].notna() if truth else points["status"] != "failed"]
    good = measured["trainable"].astype(bool) if truth else measured["margin"] >= 0
    shown = _some(measured)
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
        failed = _some(failed)
        axes.scatter(failed[x], failed[y], s=30, c=_RED, marker="x", zorder=4, clip_on=False, label="failed")


def _some(rows: pd.DataFrame, most: int = 1000) -> pd.DataFrame:
    """As many as can be told apart."""
    return rows if len(rows) <= most else rows.sample(most, random_state=0)


def _line(axes: Axes, measured: pd.DataFrame, phase: PhaseModel, x: str) -> None:
    """One free axis: the margin along it."""
    spec = phase.spec
    axes.axhline(0, color="0.5", lw=0.8)
    if phase.enough:
        grid = np.linspace(*_span(spec, x), 200)
        fixed = {a: getattr(spec, a)[0] for a in ("sigma_w", "sigma_b", "depth")} | {x: grid}
        mean, deviation = phase.margin(**fixed)
        axes.fill_between(
            grid,
            mean - 1.645 * deviation,
            mean + 1.645 * deviation,
            color=_MAP(0.3),
            alpha=0.3,
            lw=0,
            label="90 % interval",
        )
        axes.plot(grid, mean, color=_MAP(0.1), lw=2, label="estimate")
    censored = measured["margin_censored"].fillna(False).astype(bool)
    for part, marker, label in (
        (measured[~censored], "o", "measured"),
        (measured[censored], "^", "at least"),
    ):
        if len(part):
            axes.plot(part[x], part["margin"], marker, ms=4, color="black", label=label)
    if x == "sigma_w":
        _theory(axes, spec)
    axes.set(xlabel=LABELS[x], ylabel="margin (positive: predicted trainable)", xlim=getattr(spec, x))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False)


def _theory(axes: Axes, spec: SweepSpec) -> None:
    """Mean field's critical sigma_w at the one sigma_b of a sweep, if it has a theory."""
    (critical,) = theory_line(spec, np.array(spec.sigma_b[:1]))
    if np.isfinite(critical):
        axes.axvline(critical, color=_RED, ls=(0, (4, 2)), label=r"mean field, $\chi_1 = 1$")


def _profile(axes: Axes, results: Results) -> None:
    """No free axis: the profiles of the replicas."""
    profiles = results.profiles
    for name, style in (("direct_retained", "-"), ("cascade_retained", "--")):
        for i, (_, rows) in enumerate(profiles.groupby("seed")):
            rows = rows[rows[name].notna()]  # layers that were decoded
            if len(rows):
                axes.plot(
                    rows["layer"],
                    rows[name],
                    style,
                    color=_MAP(0.1 if style == "-" else 0.6),
                    lw=1.5,
                    label=name if i == 0 else None,
                )
    axes.axhline(0, color="0.5", lw=0.8)
    axes.set(xlabel="layer", ylabel="retained information (1 perfect, 0 the mean image)")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False)
