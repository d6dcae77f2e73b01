"""Estimates of the boundary and the critical line, with intervals, from measured points.

The model is that of the search (`margin.MarginModel`). Estimates are medians over functions drawn from its posterior;
intervals run from their 5 % to their 95 % quantile. Margins are calibrated: they are positive where at least half of
the networks train (`sweep.model.calibration`). Mean field theory is given for comparison only, unless the sweep uses it
as a prior.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from probes.critical import critical_sigma_w
from sweep.model.calibration import Calibration, calibration_of
from sweep.model.crossings import outer_crossings
from sweep.model.margin import MIN_POINTS, SearchModel
from sweep.spec.columns import COLUMNS
from sweep.spec.experiment import Experiment
from sweep.spec.network import Network
from sweep.spec.options import AXES

NORMAL_90 = 1.645  # standard deviations on either side of the mean that hold 90 % of a normal distribution

_SIGMA_W_STEPS = 241
_SIGMA_B_STEPS = 20
_DRAW_COUNT = 200
_DEPTH_COUNT = 4
_MAX_POINTS = 10_000
_HISTORY_LENGTH = 12  # rows
_OUTLINE_SHAPE = (48, 24)  # points across and up
_OUTLINE_DEPTHS = 24, 6  # depths averaged over, where one evaluation of the model gives all and where each takes one


@dataclass(frozen=True, eq=False)
class Outline:
    """The phase diagram on a coarse grid, as it is drawn in a terminal.

    Attributes
    ----------
    axes:
        Names of the axes across (``x``) and up (``y``).
    x, y:
        ``[x]`` and ``[y]``: values of these axes.
    trainable:
        ``[y, x]``: expected share of the sweep's depths, on a log scale, at which networks are trainable. Where depth
        is fixed or one of the two axes, the probability that a network is trainable.
    margins:
        Margins ``[y, x]`` at one or two depths whose boundary, the zero of the margin, crosses the diagram. The key is
        the depth; it is None where depth is fixed or one of the two axes.
    critical:
        ``[y]``: sigma_w of the critical line, NaN if sigma_w is not the axis across.
    """

    axes: tuple[str, str]
    x: np.ndarray
    y: np.ndarray
    trainable: np.ndarray
    margins: dict[int | None, np.ndarray]
    critical: np.ndarray


@dataclass
class PhaseModel:
    """The model of a sweep's margin over its free axes, and the estimates made from it.

    Parameters
    ----------
    spec:
        The sweep's specification.
    points:
        The sweep's ``points`` table. Rows without a margin are left out. Of more than 10,000 points a random 10,000 are
        used; beyond 2,000 the model merges neighbouring ones.

    Attributes
    ----------
    free:
        Names of the free axes.
    has_estimates:
        Whether there are a free axis and enough points (10 with a margin) for estimates. Otherwise tables are empty.
    """

    spec: Experiment
    points: pd.DataFrame

    def __post_init__(self) -> None:
        measured = self.points[np.isfinite(self.points["margin"])] if len(self.points) else self.points
        self.free = self.spec.free_axes
        self.has_estimates = len(measured) >= MIN_POINTS and bool(self.free)
        if not self.has_estimates:
            return
        self._search = SearchModel(self.spec)
        self._model = self._search.margin
        self._slices: dict[Any, np.ndarray] = {}
        # The estimates must not depend on the order in which points were measured.
        measured = measured.sort_values([*AXES, "seed"])
        accuracy, chance = (measured.get(name, math.nan) for name in ("accuracy", "chance"))
        censored = measured["margin_censored"].astype(bool)
        calibration = calibration_of(self.spec, measured["margin"], censored, accuracy, chance)
        if len(measured) > _MAX_POINTS:
            measured = measured.sample(_MAX_POINTS, random_state=self.spec.seed)
        columns = [*AXES, "margin", "margin_censored", "accuracy", "chance"]
        rows: list[Any] = measured.reindex(columns=columns).to_dict("records")
        self._search.tell(rows)
        self._model.calibration = calibration  # by all points

    @property
    def calibration(self) -> Calibration:
        """The calibration by the trainings among the points; there must be estimates."""
        return self._model.calibration

    def margin(
        self, sigma_w: np.ndarray | float, sigma_b: np.ndarray | float, depth: np.ndarray | float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and standard deviation of the margin at points, ``[n]`` each."""
        at = self._model.at(sigma_w=sigma_w, sigma_b=sigma_b, depth=depth)
        mean, deviation = self._model.level_set.mean_and_deviation(at)
        return self._model.above_boundary(mean, depth), np.hypot(deviation, self.calibration.deviation)

    def mean(self, sigma_w: np.ndarray | float, sigma_b: np.ndarray | float, depth: np.ndarray | float) -> np.ndarray:
        """Return the mean of the margin at points, ``[n]``, much faster than with the standard deviation."""
        at = self._model.at(sigma_w=sigma_w, sigma_b=sigma_b, depth=depth)
        return np.asarray(self._model.above_boundary(self._model.level_set.mean(at), depth))

    def draws(self, sigma_w: np.ndarray, sigma_b: np.ndarray, depth: np.ndarray, count: int) -> np.ndarray:
        """Return ``[count, n]``: margins at n points, drawn jointly from the posterior."""
        at = self._model.at(sigma_w=sigma_w, sigma_b=sigma_b, depth=depth)
        margins = self._model.above_boundary(self._model.level_set.sample(at, count), depth)
        return np.asarray(margins + self._boundary_draws(count))

    def _boundary_draws(self, count: int) -> np.ndarray:
        """Return ``[count, 1]``: how far below the most probable calibration the boundary is, drawn at random."""
        draws = np.random.default_rng(self.spec.seed).standard_normal((count, 1))
        return self.calibration.deviation * draws

    @cached_property
    def expected_error(self) -> float:
        """The share of the searched range that is expected to be on the wrong side of the boundary.

        In a sweep that trains, the boundary is that of the truth. NaN if there are too few points.
        """
        return self._search.level_set.expected_error() if self.has_estimates else math.nan

    @property
    def sigma_w(self) -> np.ndarray:
        """The values of sigma_w at which curves are evaluated."""
        return np.linspace(*self.spec.sigma_w, _SIGMA_W_STEPS)

    @property
    def sigma_b(self) -> np.ndarray:
        """The values of sigma_b at which curves are evaluated; one value if the axis is fixed."""
        low, high = self.spec.sigma_b
        return np.array([low]) if low == high else np.linspace(low, high, _SIGMA_B_STEPS)

    @property
    def depths(self) -> list[int]:
        """A few depths, evenly spaced on a log scale."""
        low, high = self.spec.depth
        return sorted({round(d) for d in np.geomspace(low, high, _DEPTH_COUNT)})

    def _draws(self, sigma_b: float, depth: float) -> np.ndarray:
        """Return ``[draws, sigma_w]``: margins at one sigma_b and depth, the same draws in every call."""
        key = sigma_b, None if self._model.through_depth else depth
        if key not in self._slices:
            at = self._model.at(sigma_w=self.sigma_w, sigma_b=sigma_b, depth=depth)
            self._slices[key] = self._model.level_set.sample(at, _DRAW_COUNT)
        return np.asarray(self._model.above_boundary(self._slices[key], depth))

    def critical_line(self, sigma_b: Sequence[float] | None = None) -> pd.DataFrame:
        """Return the critical line: the sigma_w where the horizon (or score) is largest, for each sigma_b.

        Parameters
        ----------
        sigma_b:
            Values of sigma_b; by default those of the property `sigma_b`.

        Returns
        -------
        pandas.DataFrame
            Columns ``sigma_b``, ``sigma_w`` and its 90 % interval, ``lower`` and ``upper``. Where the horizon is beyond
            what a probe could see, sigma_w is the middle of that band. Empty if there are too few points or sigma_w is
            fixed.
        """
        rows = []
        if self.has_estimates and "sigma_w" in self.free:
            for b in self.sigma_b if sigma_b is None else sigma_b:
                low, median, high = np.quantile(self._highest(self._draws(b, self.spec.depth[1])), (0.05, 0.5, 0.95))
                rows.append((b, median, low, high))
        return pd.DataFrame(rows, columns=["sigma_b", "sigma_w", "lower", "upper"], dtype=float)

    def _highest(self, margins: np.ndarray) -> np.ndarray:
        """Return the sigma_w ``[n]`` where each row of margins ``[n, sigma_w]`` of the deepest networks is largest."""
        deepest = self.spec.depth[1]
        model = self._model
        cap = model.above_boundary(model.max_visible(deepest), deepest) if self.spec.by_horizon else math.inf
        margins = np.minimum(margins, cap)
        top = margins >= margins.max(1, keepdims=True) - 1e-9
        return np.asarray((top * self.sigma_w).sum(1) / top.sum(1))

    def outline(self) -> Outline | None:
        """Return a coarse phase diagram over the first two free axes, or None if there are too few points or axes."""
        if not self.has_estimates or len(self.free) < 2:
            return None
        from scipy.special import ndtr

        across, up = self.free[:2]
        (left, right), (bottom, top) = (getattr(self.spec, a) for a in (across, up))
        x, y = np.linspace(left, right, _OUTLINE_SHAPE[0]), np.linspace(bottom, top, _OUTLINE_SHAPE[1])
        fixed = {a: getattr(self.spec, a)[0] for a in AXES}
        at = fixed | {across: np.tile(x, len(y)), up: np.repeat(y, len(x))}
        free_depth = "depth" in self.free[2:]
        low, deepest = self.spec.depth
        count = _OUTLINE_DEPTHS[not self._model.through_depth]
        depths = np.unique(np.geomspace(low, deepest, count).round()) if free_depth else [at["depth"]]
        probabilities, margins = list[np.ndarray](), dict[int | None, np.ndarray]()
        for d in depths:
            if not probabilities or not self._model.through_depth:  # else one evaluation gives all depths
                (evaluated, deviation), evaluated_at = self.margin(**{**at, "depth": d}), d
            mean = evaluated + self._model.shift(evaluated_at) - self._model.shift(d)
            probabilities.append(ndtr(mean / np.maximum(deviation, 1e-9)))
            margins[int(d) if free_depth else None] = mean.reshape(len(y), len(x))
        critical = np.full(len(y), math.nan)
        if across == "sigma_w":
            along = {**fixed, up: np.repeat(y, _SIGMA_W_STEPS), "depth": deepest, across: np.tile(self.sigma_w, len(y))}
            critical = self._highest(self.mean(**along).reshape(len(y), -1))
        with_boundary = [d for d, m in margins.items() if (m >= 0).any() and (m < 0).any()]
        shown = dict.fromkeys((with_boundary[len(with_boundary) // 3], with_boundary[-1]) if with_boundary else ())
        trainable = np.mean(probabilities, 0).reshape(len(y), len(x))
        return Outline((across, up), x, y, trainable, {d: margins[d] for d in shown}, critical)

    def boundary(self, depths: Sequence[int] | None = None) -> pd.DataFrame:
        """Return the ``boundary`` table: where the margin crosses zero, for each depth and each sigma_b.

        Parameters
        ----------
        depths:
            Depths of networks, in layers; by default those of the property `depths`.

        Returns
        -------
        pandas.DataFrame
            ``lower`` and ``upper`` are the ends in sigma_w of the trainable band; with the suffixes ``_5`` and ``_95``,
            the ends of their 90 % intervals. They are NaN where at least half of the draws have no such crossing within
            the range. Empty if there are too few points or sigma_w is fixed.
        """
        if not self.has_estimates or "sigma_w" not in self.free:
            return pd.DataFrame(columns=list(COLUMNS["boundary"]), dtype=float).astype({"depth": int})
        critical = self.critical_line()[["sigma_w", "lower", "upper"]].to_numpy()
        theory = theory_line(self.spec, self.sigma_b)
        rows = []
        for depth in depths or self.depths:
            for b, c, t in zip(self.sigma_b, critical, theory, strict=True):
                draws = self._draws(b, depth) + self._boundary_draws(_DRAW_COUNT)
                ends = outer_crossings(self.sigma_w, draws)
                ends[draws[:, [0, -1]] >= 0] = math.nan  # the band continues beyond the range
                lower, upper = (_quantiles(end) for end in ends.T)
                rows.append((depth, b, *lower, *upper, float((draws >= 0).mean()), *c, t))
        return pd.DataFrame(rows, columns=list(COLUMNS["boundary"])).astype({"depth": int})


def history(spec: Experiment, points: pd.DataFrame, steps: int = _HISTORY_LENGTH) -> pd.DataFrame:
    """Return how the expected error of the boundary fell with the number of points.

    Parameters
    ----------
    spec:
        The sweep's specification.
    points:
        The sweep's ``points`` table.
    steps:
        Largest number of rows.

    Returns
    -------
    pandas.DataFrame
        Columns ``points``, numbers of points evenly spaced on a log scale up to 10,000, and ``expected_error``, the
        share of the range that is expected to be on the wrong side of the boundary, given so many points in the order
        in which they finished. Empty if there are too few points.
    """
    measured = points[np.isfinite(points["margin"])].sort_values(["finished", *AXES, "seed"])
    rows = []
    if len(measured) >= MIN_POINTS and spec.free_axes:
        for count in np.unique(np.geomspace(MIN_POINTS, min(len(measured), _MAX_POINTS), steps).round().astype(int)):
            rows.append((count, PhaseModel(spec, measured.iloc[:count]).expected_error))
    frame = pd.DataFrame(rows, columns=["points", "expected_error"]).astype({"points": int, "expected_error": float})
    frame.attrs["columns"] = {"points": "measured", "expected_error": "share of the range on the boundary's wrong side"}
    return frame


def theory_line(spec: Network, sigma_b: np.ndarray) -> np.ndarray:
    """Return mean field's critical sigma_w at each sigma_b; NaN if the theory does not describe the architecture."""
    if not spec.has_theory:
        return np.full(len(sigma_b), math.nan)
    return np.asarray(critical_sigma_w(np.asarray(sigma_b, dtype=float), spec.activation))


def _quantiles(values: np.ndarray) -> np.ndarray:
    """Return the median and the 5 % and 95 % quantiles of finite values; NaN if at least half of the values are not."""
    good = values[np.isfinite(values)]
    if len(good) * 2 <= len(values):
        return np.full(3, math.nan)
    return np.quantile(good, (0.5, 0.05, 0.95))
