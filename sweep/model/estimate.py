"""Estimates of the boundary and the critical line, with intervals, from measured points.

The model is that of the search (`margin.MarginModel`). Estimates are medians over functions drawn from its posterior;
intervals run from their 5 % to their 95 % quantile. Margins are calibrated: they are positive where at least half of
the networks train (`sweep.model.calibration`). In a sweep over learning rates, which no probe sees, the modelled
outcome of training takes the place of the margin: from -1, at chance, to 1. Mean field theory is given for comparison
only, unless the sweep uses it as a prior.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from probes.critical import critical_sigma_w
from sweep.model.calibration import Calibration, calibration_of
from sweep.model.crossings import outer_crossings
from sweep.model.margin import MIN_POINTS, MarginModel, SearchModel, TruthModel
from sweep.spec.columns import COLUMNS
from sweep.spec.design import evenly
from sweep.spec.experiment import Experiment
from sweep.spec.network import Network

NORMAL_90 = 1.645  # standard deviations on either side of the mean that hold 90 % of a normal distribution

_SIGMA_W_STEPS = 241
_SIGMA_B_STEPS = 20
_SIGMA_B_STRIDE = 3  # of them, in tables for several places of further axes
_DRAW_COUNT = 200
_DEPTH_COUNT = 4
_FURTHER_COUNT = 3  # values of each further axis in the table of the boundary
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
        self._model: MarginModel | TruthModel = self._search.margin
        if self.spec.trains_over_rates:
            assert self._search.truth is not None
            self._model = self._search.truth
        self._slices: dict[Any, np.ndarray] = {}  # at one place of the further axes
        self._sliced_at: dict[str, float] = {}
        # The estimates must not depend on the order in which points were measured.
        measured = measured.sort_values([*self.spec.axes, "seed"])
        accuracy, chance = (measured.get(name, math.nan) for name in ("accuracy", "chance"))
        censored = measured["margin_censored"].astype(bool)
        calibration = calibration_of(self.spec, measured["margin"], censored, accuracy, chance)
        if len(measured) > _MAX_POINTS:
            measured = measured.sample(_MAX_POINTS, random_state=self.spec.seed)
        columns = [*self.spec.axes, "margin", "margin_censored", "accuracy", "chance"]
        rows: list[Any] = measured.reindex(columns=columns).to_dict("records")
        self._search.tell(rows)
        self._search.margin.calibration = calibration  # by all points

    @property
    def calibration(self) -> Calibration:
        """The calibration by the trainings among the points; there must be estimates."""
        return self._search.margin.calibration

    @property
    def is_of_truth(self) -> bool:
        """Whether the modelled outcome of training takes the place of the margin; there must be estimates."""
        return self._model is self._search.truth

    @property
    def through_depth(self) -> bool:
        """Whether one point informs all depths; there must be estimates."""
        return self._model.through_depth

    @property
    def _deviation(self) -> float:
        """The standard deviation of the margin at which the boundary is."""
        return 0.0 if self.is_of_truth else self.calibration.deviation

    def margin(self, /, **axes: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and standard deviation of the margin at points, ``[n]`` each.

        ``axes`` are values of the axes by name, numbers or arrays; those left out are as of `Space.place_at`.
        """
        place = self.spec.place_at(**axes)
        mean, deviation = self._model.level_set.mean_and_deviation(self._model.at(**place))
        return self._model.above_boundary(mean, place["depth"]), np.hypot(deviation, self._deviation)

    def mean(self, /, **axes: Any) -> np.ndarray:
        """Return the mean of the margin at points, ``[n]``, much faster than with the standard deviation."""
        place = self.spec.place_at(**axes)
        values = self._model.level_set.mean(self._model.at(**place))
        return np.asarray(self._model.above_boundary(values, place["depth"]))

    def draws(self, count: int, /, **axes: Any) -> np.ndarray:
        """Return ``[count, n]``: margins at n points, drawn jointly from the posterior."""
        place = self.spec.place_at(**axes)
        values = self._model.level_set.sample(self._model.at(**place), count)
        return np.asarray(self._model.above_boundary(values, place["depth"]) + self._boundary_draws(count))

    def _boundary_draws(self, count: int) -> np.ndarray:
        """Return ``[count, 1]``: how far below the most probable calibration the boundary is, drawn at random."""
        draws = np.random.default_rng(self.spec.seed).standard_normal((count, 1))
        return self._deviation * draws

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

    @property
    def further(self) -> list[dict[str, float]]:
        """A few places of the further axes, by name: all combinations of three values of each, or one if it is fixed.

        Without further axes there is one place, which is empty.
        """
        sides = {a.name: a.spread(_FURTHER_COUNT) for a in self.spec.further_axes}
        return [dict(zip(sides, values, strict=True)) for values in itertools.product(*sides.values())]

    def _draws(self, sigma_b: float, depth: float, further: Mapping[str, float]) -> np.ndarray:
        """Return ``[draws, sigma_w]``: margins at one place of the other axes, the same draws in every call."""
        key, at = (sigma_b, None if self.through_depth else depth), self.spec.further_at(**further)
        if at != self._sliced_at:
            self._slices, self._sliced_at = {}, at  # those of many places would take much memory
        if key not in self._slices:
            place = self.spec.place_at(**at, sigma_w=self.sigma_w, sigma_b=sigma_b, depth=depth)
            self._slices[key] = self._model.level_set.sample(self._model.at(**place), _DRAW_COUNT)
        return np.asarray(self._model.above_boundary(self._slices[key], depth))

    def critical_line(
        self, sigma_b: Sequence[float] | np.ndarray | None = None, further: Mapping[str, float] | None = None
    ) -> pd.DataFrame:
        """Return the critical line: the sigma_w where the horizon (or score) is largest, for each sigma_b.

        Parameters
        ----------
        sigma_b:
            Values of sigma_b; by default those of the property `sigma_b`.
        further:
            Values of further axes by name; those left out are in the middle of their range.

        Returns
        -------
        pandas.DataFrame
            Columns ``sigma_b``, ``sigma_w`` and its 90 % interval, ``lower`` and ``upper``. Where the horizon is beyond
            what a probe could see, sigma_w is the middle of that band. Empty if there are too few points or sigma_w is
            fixed.
        """
        rows, deepest, at = [], self.spec.depth[1], further or {}
        if self.has_estimates and "sigma_w" in self.free:
            for b in self.sigma_b if sigma_b is None else sigma_b:
                low, median, high = np.quantile(self._highest(self._draws(b, deepest, at)), (0.05, 0.5, 0.95))
                rows.append((b, median, low, high))
        return pd.DataFrame(rows, columns=["sigma_b", "sigma_w", "lower", "upper"], dtype=float)

    def _highest(self, margins: np.ndarray) -> np.ndarray:
        """Return the sigma_w ``[n]`` where each row of margins ``[n, sigma_w]`` of the deepest networks is largest."""
        deepest = self.spec.depth[1]
        model, cap = self._search.margin, math.inf
        if self.spec.by_horizon and not self.is_of_truth:
            cap = model.above_boundary(model.max_visible(deepest), deepest)
        margins = np.minimum(margins, cap)
        top = margins >= margins.max(1, keepdims=True) - 1e-9
        return np.asarray((top * self.sigma_w).sum(1) / top.sum(1))

    def outline(self) -> Outline | None:
        """Return a coarse phase diagram over the first two free axes, or None if there are too few points or axes."""
        if not self.has_estimates or len(self.free) < 2:
            return None
        from scipy.special import ndtr

        across, up = self.free[:2]
        x, y = (evenly(self.spec.axes[a], count) for a, count in zip((across, up), _OUTLINE_SHAPE, strict=True))
        fixed = self.spec.place_at()
        at = fixed | {across: np.tile(x, len(y)), up: np.repeat(y, len(x))}
        free_depth = "depth" in self.free[2:]
        low, deepest = self.spec.depth
        count = _OUTLINE_DEPTHS[not self.through_depth]
        depths = np.unique(np.geomspace(low, deepest, count).round()) if free_depth else [at["depth"]]
        probabilities, margins = list[np.ndarray](), dict[int | None, np.ndarray]()
        for d in depths:
            if not probabilities or not self.through_depth:  # else one evaluation gives all depths
                (evaluated, deviation), evaluated_at = self.margin(**{**at, "depth": d}), d
            mean = evaluated + self._model.shift(evaluated_at) - self._model.shift(d)
            probabilities.append(ndtr(mean / np.maximum(deviation, 1e-9)))
            margins[int(d) if free_depth else None] = mean.reshape(len(y), len(x))
        critical = np.full(len(y), math.nan)
        if across == "sigma_w":  # which has a linear scale
            along = {**fixed, up: np.repeat(y, _SIGMA_W_STEPS), "depth": deepest, across: np.tile(self.sigma_w, len(y))}
            critical = self._highest(self.mean(**along).reshape(len(y), -1))
        with_boundary = [d for d, m in margins.items() if (m >= 0).any() and (m < 0).any()]
        shown = dict.fromkeys((with_boundary[len(with_boundary) // 3], with_boundary[-1]) if with_boundary else ())
        trainable = np.mean(probabilities, 0).reshape(len(y), len(x))
        return Outline((across, up), x, y, trainable, {d: margins[d] for d in shown}, critical)

    def boundary(
        self,
        depths: Sequence[int] | None = None,
        further: Mapping[str, float] | None = None,
        sigma_b: Sequence[float] | None = None,
    ) -> pd.DataFrame:
        """Return the ``boundary`` table: where the margin crosses zero, for each depth and each sigma_b.

        With further axes, it has rows for a few values of each, for every third sigma_b, and they are columns of it.

        Parameters
        ----------
        depths:
            Depths of networks, in layers; by default those of the property `depths`.
        further:
            Values of further axes by name, for which alone there are rows; by default those of the property `further`.
        sigma_b:
            Values of sigma_b; by default those of the property `sigma_b`, or every third of them.

        Returns
        -------
        pandas.DataFrame
            ``lower`` and ``upper`` are the ends in sigma_w of the trainable band; with the suffixes ``_5`` and ``_95``,
            the ends of their 90 % intervals. They are NaN where at least half of the draws have no such crossing within
            the range. Empty if there are too few points or sigma_w is fixed.
        """
        names = [*COLUMNS["boundary"], *self.spec.further_names]
        if not self.has_estimates or "sigma_w" not in self.free:
            return pd.DataFrame(columns=names, dtype=float).astype({"depth": int})
        at = self.further if further is None else [self.spec.further_at(**further)]
        if sigma_b is None:
            sigma_b = self.sigma_b[:: _SIGMA_B_STRIDE if len(at) > 1 else 1].tolist()
        heights = np.asarray(sigma_b, dtype=float)
        rows = [row for place in at for row in self._boundary_rows(depths or self.depths, heights, place)]
        return pd.DataFrame(rows, columns=names).astype({"depth": int})

    def _boundary_rows(
        self, depths: Sequence[int], sigma_b: np.ndarray, further: Mapping[str, float]
    ) -> Iterator[tuple[float, ...]]:
        """Yield the rows of the table of the boundary at one place of the further axes."""
        critical = self.critical_line(sigma_b, further)[["sigma_w", "lower", "upper"]].to_numpy()
        theory = theory_line(self.spec, sigma_b)
        for depth in depths:
            for b, c, t in zip(sigma_b, critical, theory, strict=True):
                draws = self._draws(b, depth, further) + self._boundary_draws(_DRAW_COUNT)
                ends = outer_crossings(self.sigma_w, draws)
                ends[draws[:, [0, -1]] >= 0] = math.nan  # the band continues beyond the range
                lower, upper = (_quantiles(end) for end in ends.T)
                yield (depth, b, *lower, *upper, float((draws >= 0).mean()), *c, t, *further.values())


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
    measured = points[np.isfinite(points["margin"])].sort_values(["finished", *spec.axes, "seed"])
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
