"""Results -> matplotlib figures. Never measures, never reads ray, leaves pyplot's state alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from probes.meanfield import applies_to, mean_field
from probes.point import NEEDED

from .estimate import PhaseModel, theory_line
from .frame import Results
from .spec import SweepSpec

__all__ = ["comparison_figure", "gallery_figure", "phase_diagram", "save"]

if TYPE_CHECKING:
    from probes.pictures import Gallery

    from .evaluate import Comparison

LABELS = {
    "sigma_w": r"weight standard deviation $\sigma_w$",
    "sigma_b": r"bias standard deviation $\sigma_b$",
    "depth": "depth (hidden layers)",
}
_STEPS = 81
_THEORY_DEPTHS: tuple[tuple[int, Any], ...] = ((6, (0, (4, 2))), (1, (0, (1, 1.5))))  # xi_c times so much, line style
_STYLES = ("-", (0, (6, 2)), (0, (1, 1.2)), (0, (6, 2, 1, 2)))
# Dark to light in grey, and told apart by every common colour vision.
_MAP = colormaps["cividis"]


def save(figure: Figure, path: Path) -> None:
    """Write PNG, PDF or SVG by the path's ending."""
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=160, metadata=None)


def phase_diagram(results: Results) -> Figure:
    """What a sweep found, over the two free axes that say most (one, if only one is free).

    Colour: the horizon, or the margin where the statistic is no horizon. Lines: the boundary for a few depths with
    90 % intervals, the critical line, mean field's critical line. Marks: the measured points.
    """
    figure = Figure(figsize=(8.6, 5.6), layout="constrained")
    axes = figure.add_subplot()
    points, phase = results.points, results.phase
    free = results.spec.free_axes
    measured = points[points["status"] != "failed"]
    if len(free) >= 2:
        x, y = free[:2]
        if phase.enough:
            draw = _plane if (x, y) == ("sigma_w", "sigma_b") else _depth_plane
            draw(figure, axes, results, x, y)
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
            axes.plot(theory_line(spec, y[:, 0]), y[:, 0], color="crimson", ls=(0, (4, 2)))
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
        axes.plot(sigma_w**2, factor * np.minimum(xi, 1e6), color="crimson", ls=style, lw=1.6)
    axes.set_ylim(limits)


def _theory_handles(spec: SweepSpec, *, over_depth: bool) -> list[Line2D]:
    if not applies_to(spec.architecture):
        return []
    if not over_depth:
        return [Line2D([], [], color="crimson", ls=(0, (4, 2)), label=r"mean field, $\chi_1 = 1$")]
    labels = (r"mean field, $6\,\xi_c$", r"mean field, $\xi_c$")
    return [
        Line2D([], [], color="crimson", ls=style, label=label)
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


def _plane(figure: Figure, axes: Axes, results: Results, x: str, y: str) -> None:
    """(sigma_w, sigma_b): colour, boundaries at a few depths, critical lines."""
    phase, spec = results.phase, results.spec
    w, b = _grid(results, x, y)
    depth = float(spec.depth[1])
    margin = phase.margin(w.ravel(), b.ravel(), depth)[0].reshape(w.shape)
    if spec.by_horizon:
        shown = depth * NEEDED[str(spec.statistic)] * np.exp(margin)
        low, high = max(0.5, float(shown.min())), float(shown.max())
        _colours(figure, axes, w, b, shown, LogNorm(low, max(high, low * 1.1)), "horizon (layers)")
    else:
        limit = float(np.abs(margin).max()) or 1.0
        _colours(figure, axes, w, b, margin, Normalize(-limit, limit), f"margin at depth {depth:g}")
    handles: list[Line2D | Patch] = []
    boundary = results.boundary
    for style, (d, rows) in zip(_STYLES, boundary.groupby("depth"), strict=False):
        for end in ("lower", "upper"):
            axes.plot(rows[end], rows["sigma_b"], color="white", lw=1.6, ls=style)
            axes.fill_betweenx(rows["sigma_b"], rows[f"{end}_5"], rows[f"{end}_95"], color="white", alpha=0.22, lw=0)
        if rows[["lower", "upper"]].notna().any(axis=None):
            handles.append(Line2D([], [], color="0.55", lw=1.6, ls=style, label=f"boundary, depth {d}"))
    if len(handles):
        handles.append(Patch(color="0.85", label="its 90 % interval"))
    line = boundary[boundary["depth"] == boundary["depth"].max()]
    axes.fill_betweenx(line["sigma_b"], line["critical_5"], line["critical_95"], color="black", alpha=0.25, lw=0)
    axes.plot(line["critical"], line["sigma_b"], color="black", lw=2.4)
    handles.append(Line2D([], [], color="black", lw=2.4, label="critical line, measured"))
    fine = np.linspace(*spec.sigma_b, 200)
    theory = theory_line(spec, fine)
    if np.isfinite(theory).any():
        axes.plot(theory, fine, color="crimson", lw=1.6, ls=(0, (4, 2)))
        handles.append(Line2D([], [], color="crimson", lw=1.6, ls=(0, (4, 2)), label=r"mean field, $\chi_1 = 1$"))
    _legend(figure, handles)


def _depth_plane(figure: Figure, axes: Axes, results: Results, x: str, y: str) -> None:
    """A plane with the depth as its second axis: the margin, its zero line, the critical lines."""
    phase, spec = results.phase, results.spec
    gx, gy = _grid(results, x, y)
    fixed = {a: getattr(spec, a)[0] for a in ("sigma_w", "sigma_b")} | {x: gx.ravel(), "depth": gy.ravel()}
    mean, deviation = (v.reshape(gx.shape) for v in phase.margin(**fixed))
    limit = float(np.abs(mean).max()) or 1.0
    _colours(figure, axes, gx, gy, mean, Normalize(-limit, limit), "margin (positive: predicted trainable)")
    axes.contour(gx, gy, mean, levels=[0], colors="white", linewidths=1.8)
    for edge in (mean - 1.645 * deviation, mean + 1.645 * deviation):
        axes.contour(gx, gy, edge, levels=[0], colors="white", linewidths=0.8, linestyles="dotted")
    handles: list[Line2D | Patch] = [
        Line2D([], [], color="0.55", lw=1.8, label="boundary"),
        Line2D([], [], color="0.55", lw=0.8, ls="dotted", label="its 90 % interval"),
    ]
    if x == "sigma_w":
        line = phase.critical_line().iloc[0]
        axes.axvspan(line["lower"], line["upper"], color="black", alpha=0.25, lw=0)
        axes.axvline(line["sigma_w"], color="black", lw=2.4)
        handles.append(Line2D([], [], color="black", lw=2.4, label="critical line, measured"))
        if theory := _theory(axes, spec):
            handles.append(theory)
    _legend(figure, handles)


def _colours(
    figure: Figure, axes: Axes, x: np.ndarray, y: np.ndarray, z: np.ndarray, norm: Normalize, label: str
) -> None:
    mesh = axes.pcolormesh(x, y, z, cmap=_MAP, norm=norm, shading="gouraud", rasterized=True)
    bar = figure.colorbar(mesh, ax=axes, label=label)
    if isinstance(norm, LogNorm):  # plain numbers: nobody reads 3 x 10^1 layers
        low, high = mesh.get_clim()
        ticks = [m * 10.0**e for e in range(-1, 6) for m in (1, 2, 3, 5) if low <= m * 10.0**e <= high]
        bar.set_ticks(ticks, labels=[f"{t:g}" for t in ticks])
        bar.ax.minorticks_off()


def _legend(figure: Figure, handles: list[Line2D | Patch]) -> None:
    """Below the axes, where it hides nothing; the marks are explained there, too."""
    marks = [
        Line2D(
            [], [], color="white", mec="black", marker="o", ls="", ms=5, label="measured: trainable at its own depth"
        ),
        Line2D([], [], color="black", mec="white", marker="o", ls="", ms=5, label="not"),
    ]
    figure.legend(
        handles=[*handles, *marks],
        loc="outside lower center",
        ncols=4,
        fontsize=8,
        frameon=False,
        handlelength=2.6,
    )


def _marks(axes: Axes, points: pd.DataFrame, x: str, y: str) -> None:
    """Measured points: white where predicted trainable at their own depth, black where not; failed ones crossed."""
    measured = points[points["status"] != "failed"]
    for chosen, face, edge in (
        (measured["margin"] >= 0, "white", "black"),
        (measured["margin"] < 0, "black", "white"),
    ):
        part = measured[chosen]
        axes.scatter(part[x], part[y], s=20, c=face, edgecolors=edge, linewidths=0.8, zorder=3, clip_on=False)
    failed = points[points["status"] == "failed"]
    axes.scatter(failed[x], failed[y], s=30, c="crimson", marker="x", zorder=4, clip_on=False)


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


def _theory(axes: Axes, spec: SweepSpec) -> Line2D | None:
    """Mean field's critical sigma_w at the one sigma_b of a sweep, if it has a theory."""
    (critical,) = theory_line(spec, np.array(spec.sigma_b[:1]))
    if not np.isfinite(critical):
        return None
    return axes.axvline(critical, color="crimson", ls=(0, (4, 2)), label=r"mean field, $\chi_1 = 1$")


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
