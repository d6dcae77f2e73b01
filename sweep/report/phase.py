"""The modelled margin and its boundary over the free axes, as data for JSON.

In a sweep over learning rates, the modelled outcome of training takes the place of the margin everywhere.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from sweep.model.estimate import NORMAL_90, PhaseModel
from sweep.model.margin import MarginModel
from sweep.monitor.screen import progress_bar
from sweep.report.data import numbers
from sweep.results.results import Results
from sweep.spec.design import evenly
from sweep.spec.experiment import Experiment
from sweep.spec.options import AXES
from sweep.text import finite

_SIGMA_W_STEPS = 81
_DEPTH_COUNT, _SEPARATE_DEPTH_COUNT = 24, 8  # of the slider, the latter where the model is evaluated for each depth
_LINE_STEPS = 121
_ENDS = [f"{end}{quantile}" for end in ("lower", "upper") for quantile in ("", "_5", "_95")]

# With further axes, all of this is there for each combination of their values.
_FURTHER_COUNTS = 9, 5  # values of one further axis, and of each of two
_SLICE_STEPS = 41  # of sigma_w
_SLICE_SIGMA_B = 10  # values of it, with two further axes or where the model is evaluated for each depth
_SLICE_DEPTHS = 5  # where the model is evaluated for each depth
_PLANE_SHAPE = 25, 33  # values up and across
_PLANE_SIGMA_B, _PLANE_DEPTHS = 5, 5  # of sliders; the depths where the model is evaluated for each


def informs_all_depths(spec: Experiment) -> bool:
    """Return whether the margin at one depth gives that at all others, so that the page computes them."""
    return bool(spec.free_axes) and not spec.trains_over_rates and MarginModel(spec).through_depth


def slider_values(spec: Experiment) -> dict[str, list[float]]:
    """Return the values of the slider of each free further axis, by its name; the middle of the range is one."""
    axes = [axis for axis in spec.further_axes if axis.is_free]
    return {axis.name: axis.spread(_FURTHER_COUNTS[len(axes) - 1]) for axis in axes}


def phase_data(results: Results) -> dict[str, Any] | None:
    """Return the calibrated margin on a grid and the boundary at each depth.

    The margin is ``[depth, sigma_b, sigma_w]``. Where networks contain all shallower ones, it is given at the largest
    depth only, from which the page computes the others. Where further axes are free, ``further`` has values of each,
    and ``slices`` has margin, boundary and critical line at each combination of them, the last axis changing fastest.

    None without an estimate, or where fewer than two of sigma_w, sigma_b and depth are free.
    """
    spec, phase = results.spec, results.phase
    if not phase.has_estimates or len([a for a in phase.free if a in AXES]) < 2:
        return None
    further, low, high = slider_values(spec), *spec.depth
    separate = _SLICE_DEPTHS if further else _SEPARATE_DEPTH_COUNT
    depths = sorted({round(d) for d in np.geomspace(low, high, _DEPTH_COUNT if phase.through_depth else separate)})
    sigma_b, steps = phase.sigma_b, _SIGMA_W_STEPS
    if further:
        steps = _SLICE_STEPS
        if "sigma_b" in phase.free and (len(further) > 1 or not phase.through_depth):
            sigma_b = np.linspace(*spec.sigma_b, _SLICE_SIGMA_B)
    sides = {
        "depth": np.array([high] if phase.through_depth else depths, dtype=float),
        "sigma_b": sigma_b,
        "sigma_w": np.linspace(*spec.sigma_w, steps) if "sigma_w" in phase.free else np.array(spec.sigma_w[:1]),
    }
    head = {
        "depths": depths,
        "grid_depths": sides["depth"].tolist(),
        "sigma_b": numbers(sigma_b),
        "sigma_w": numbers(sides["sigma_w"]),
    }
    if not further:
        return head | _slice(phase, sides, depths, {})[0]
    slices = []
    places = [dict(zip(further, values, strict=True)) for values in itertools.product(*further.values())]
    with progress_bar("phase diagram", len(places)) as step:
        for place in places:
            shown, boundary = _slice(phase, sides, depths, place)
            slices.append(shown | {"critical": _critical(boundary)})
            step()
    return head | {"further": further, "slices": slices}


def _slice(
    phase: PhaseModel, sides: Mapping[str, np.ndarray], depths: list[int], further: Mapping[str, float]
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return what the page shows at values of the further axes, and the table of the boundary there."""
    boundary = phase.boundary(depths, further, sides["sigma_b"].tolist())
    shape = len(depths), len(sides["sigma_b"])
    lines = {end: numbers(boundary[end].to_numpy().reshape(shape)) for end in _ENDS} if len(boundary) else None
    return {"margin": numbers(_margins(phase, sides, further), 4), "boundary": lines}, boundary


def _critical(boundary: pd.DataFrame) -> dict[str, list[Any]]:
    """Return the critical line and its interval, given the table of the boundary: the same at each of its depths."""
    line = boundary[boundary["depth"] == boundary["depth"].max()]
    columns = {"sigma_b": "sigma_b", "sigma_w": "critical", "lower": "critical_5", "upper": "critical_95"}
    return {name: numbers(line[column]) for name, column in columns.items()}


def _margins(phase: PhaseModel, sides: Mapping[str, Any], fixed: Mapping[str, float] | None = None) -> np.ndarray:
    """Return the mean of the margin on a grid over some axes, in their order, with others as in ``fixed``."""
    grid = np.meshgrid(*sides.values(), indexing="ij")
    values = {name: side.ravel() for name, side in zip(sides, grid, strict=True)}
    return phase.mean(**(fixed or {}), **values).reshape(grid[0].shape)


def plane_data(results: Results) -> list[dict[str, Any]]:
    """Return the planes that have a free further axis up; across is the first free axis, which is sigma_w where free.

    Returns
    -------
    list of dict
        ``x``, ``y``: names of the axes; ``across``, ``up``: their values; ``others``: values of each other free axis,
        for its slider; ``margin``: ``[..., up, across]``, with the others before them, in order; None without an
        estimate. Where networks contain all shallower ones, it is that of the largest depth if depth is among the
        others.
    """
    return [_plane(results, x, y) for x, y in plane_axes(results.spec)]


def plane_axes(spec: Experiment) -> Iterator[tuple[str, str]]:
    """Yield the names of the axes across and up of each plane that has a free further axis up."""
    free = spec.free_axes
    return ((free[0], y) for y in free[1:] if y not in AXES)


def _plane(results: Results, x: str, y: str) -> dict[str, Any]:
    spec, phase = results.spec, results.phase
    plane: dict[str, Any] = {"x": x, "y": y, "across": [], "up": [], "others": {}, "margin": None}
    if not phase.has_estimates:
        return plane
    up, across = (spec.axes[name].spread(count) for name, count in zip((y, x), _PLANE_SHAPE, strict=True))
    others = {name: values for name, values in slider_values(spec).items() if name not in (x, y)}
    if "sigma_b" in phase.free and x != "sigma_b":
        others["sigma_b"] = spec.axes["sigma_b"].spread(_PLANE_SIGMA_B)
    sides = dict(others)
    if "depth" in phase.free and x != "depth":
        count = _DEPTH_COUNT if phase.through_depth else _PLANE_DEPTHS
        others["depth"] = sorted({round(d) for d in np.geomspace(*spec.depth, count)})
        sides["depth"] = [spec.depth[1]] if phase.through_depth else others["depth"]
    margin = _margins(phase, {**sides, y: up, x: across})
    return plane | {
        "across": numbers(across),
        "up": numbers(up),
        "others": {name: numbers(values) for name, values in others.items()},
        "margin": numbers(margin, 4),
    }


def line_data(results: Results) -> dict[str, Any] | None:
    """Return the margin along the only free axis, with its 90 % interval; None with other axes or too few points.

    It is that of the points, whose boundary is where it is the calibration's shift. Where the outcome of training is
    modelled instead, it is an accuracy, and ``level`` is that of the boundary.
    """
    spec, phase = results.spec, results.phase
    if not phase.has_estimates or len(phase.free) != 1:
        return None
    axis = spec.axes[phase.free[0]]
    x = evenly(axis, _LINE_STEPS)
    mean, deviation = phase.margin(**{axis.name: x})
    curves = {"mean": mean, "low": mean - NORMAL_90 * deviation, "high": mean + NORMAL_90 * deviation}
    if phase.is_of_truth:
        shown = {name: _accuracy(results, values) for name, values in curves.items()}
        return {"x": numbers(x), **{n: numbers(v) for n, v in shown.items()}, "level": finite(results.level)}
    return {"x": numbers(x), **{name: numbers(values + phase.calibration.shift) for name, values in curves.items()}}


def _accuracy(results: Results, outcome: np.ndarray) -> np.ndarray:
    """Return the accuracy of each outcome of training, which is -1 at chance, 0 at the level, and 1 at the best."""
    points, level = results.points, results.level
    known = [float(points["chance"].median()), level, float(points["accuracy"].max())]
    if not all(map(math.isfinite, known)):
        return np.full(len(outcome), math.nan)
    return np.interp(outcome, (-1, 0, 1), known)
