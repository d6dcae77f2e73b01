"""Measured points -> boundary and critical line with intervals. Theory is there for comparison, unless it is a prior.

The model is that of the search (`margin.MarginModel`); every estimate is a median over functions drawn from its
posterior, every interval their 5 % to 95 %.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from probes.meanfield import applies_to, critical_sigma_w
from sweep.model.crossings import outer_crossings
from sweep.model.margin import MIN_POINTS, SearchModel
from sweep.spec.columns import COLUMNS
from sweep.spec.experiment import Experiment
from sweep.spec.options import AXES
from sweep.spec.parts import Network

NORMAL_90 = 1.645  # standard deviations on either side of the mean that hold 90 % of a normal distribution

_SIGMA_W_STEPS = 241
_SIGMA_B_STEPS = 20
_DRAWS = 200
_DEPTHS = 4
_MOST = 10_000  # points
_HISTORY = 12  # moments
_OUTLINE = (48, 24)  # places across and up
_OUTLINE_DEPTHS = 24, 6  # that one evaluation tells of, that each take one


@dataclass(frozen=True, eq=False)
class Outline:
    """The phase diagram in few numbers, as it can be drawn in a terminal.

    ``axes`` are the names of what goes across (``x``) and up (``y``). ``trainable`` ``[y, x]`` is the expected share of
    the sweep's depths, on a log scale, that is trainable: where depth is fixed or an axis, the probability that a
    network is. ``margins`` ``[y, x]`` are those at one or two depths that have a boundary there (None: at that of the
    place), their zero; ``critical`` ``[y]`` is the critical line, NaN where there is none.
    """

    axes: tuple[str, str]
    x: np.ndarray
    y: np.ndarray
    trainable: np.ndarray
    margins: dict[int | None, np.ndarray]
    critical: np.ndarray


@dataclass
class PhaseModel:
    """A model of the margin over the free axes of a sweep.

    Parameters
    ----------
    spec:
        Of the sweep.
    points:
        Its ``points`` table; rows without a margin are left out. Of more than 10,000 a random 10,000 are taken, and
        from 2,000 on the model merges those that are nearest to each other.
    """

    spec: Experiment
    points: pd.DataFrame

    def __post_init__(self) -> None:
        measured = self.points[np.isfinite(self.points["margin"])] if len(self.points) else self.points
        self.free = self.spec.free_axes
        self.enough = len(measured) >= MIN_POINTS and bool(self.free)
        if not self.enough:
            return
        self._search = SearchModel(self.spec)
        self._model = self._search.margin
        self._slices: dict[Any, np.ndarray] = {}
        # The same order whatever order the points were measured in.
        measured = measured.sort_values([*AXES, "seed"])
        if len(measured) > _MOST:
            measured = measured.sample(_MOST, random_state=self.spec.seed)
        told = [*AXES, "margin", "margin_censored", "accuracy", "chance"]
        rows: list[Any] = measured.reindex(columns=told).to_dict("records")
        self._search.tell(rows)

    def margin(
        self, sigma_w: np.ndarray | float, sigma_b: np.ndarray | float, depth: np.ndarray | float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the margin at points ``[n]``."""
        at = self._model.at(sigma_w=sigma_w, sigma_b=sigma_b, depth=depth)
        mean, deviation = self._model.level_set.mean_and_deviation(at)
        return mean - self._model.shift(depth), deviation

    def mean(self, sigma_w: np.ndarray | float, sigma_b: np.ndarray | float, depth: np.ndarray | float) -> np.ndarray:
        """Mean of the margin at points ``[n]``: much faster than with its deviation."""
        at = self._model.at(sigma_w=sigma_w, sigma_b=sigma_b, depth=depth)
        return self._model.level_set.mean(at) - self._model.shift(depth)

    def draws(self, sigma_w: np.ndarray, sigma_b: np.ndarray, depth: np.ndarray, count: int) -> np.ndarray:
        """``[count, n]`` margins at points ``[n]``, drawn jointly from the posterior."""
        at = self._model.at(sigma_w=sigma_w, sigma_b=sigma_b, depth=depth)
        return self._model.level_set.sample(at, count) - self._model.shift(depth)

    @cached_property
    def expected_error(self) -> float:
        """Share of the range that is expected to be on the wrong side of the boundary; NaN for too few points.

        Of the boundary that is searched: that of the truth in a sweep that trains.
        """
        return self._search.level_set.expected_error() if self.enough else math.nan

    @property
    def sigma_w(self) -> np.ndarray:
        """The sigma_w that curves are evaluated at."""
        return np.linspace(*self.spec.sigma_w, _SIGMA_W_STEPS)

    @property
    def sigma_b(self) -> np.ndarray:
        """The sigma_b that curves are evaluated at; one, if the axis is fixed."""
        low, high = self.spec.sigma_b
        return np.array([low]) if low == high else np.linspace(low, high, _SIGMA_B_STEPS)

    @property
    def depths(self) -> list[int]:
        """A few depths, evenly spaced on a log scale."""
        low, high = self.spec.depth
        return sorted({round(d) for d in np.geomspace(low, high, _DEPTHS)})

    def _draws(self, sigma_b: float, depth: float) -> np.ndarray:
        """``[draws, sigma_w]`` margins; the same draws at every sigma_b and depth asked."""
        key = sigma_b, None if self._model.through_depth else depth
        if key not in self._slices:
            at = self._model.at(sigma_w=self.sigma_w, sigma_b=sigma_b, depth=depth)
            self._slices[key] = self._model.level_set.sample(at, _DRAWS)
        return self._slices[key] - self._model.shift(depth)

    def critical_line(self, sigma_b: Sequence[float] | None = None) -> pd.DataFrame:
        """``sigma_b, sigma_w, lower, upper``: where the horizon (or score) is largest, with its 90 % interval.

        At each sigma_b, by default `sigma_b`. Where it is beyond what a probe could see, the middle of that band. Empty
        as long as there are too few points or sigma_w is fixed.
        """
        rows = []
        if self.enough and "sigma_w" in self.free:
            for b in self.sigma_b if sigma_b is None else sigma_b:
                low, median, high = np.quantile(self._highest(self._draws(b, self.spec.depth[1])), (0.05, 0.5, 0.95))
                rows.append((b, median, low, high))
        return pd.DataFrame(rows, columns=["sigma_b", "sigma_w", "lower", "upper"], dtype=float)

    def _highest(self, margins: np.ndarray) -> np.ndarray:
        """The sigma_w where each row of margins ``[n, sigma_w]`` of the deepest networks is largest."""
        deepest = self.spec.depth[1]
        cap = self._model.sees(deepest) - self._model.shift(deepest) if self.spec.by_horizon else math.inf
        margins = np.minimum(margins, cap)
        top = margins >= margins.max(1, keepdims=True) - 1e-9
        return np.asarray((top * self.sigma_w).sum(1) / top.sum(1))

    def outline(self) -> Outline | None:
        """The diagram over the first two free axes: quickly; None for too few points, or if there are no two."""
        if not self.enough or len(self.free) < 2:
            return None
        from scipy.special import ndtr

        across, up = self.free[:2]
        (left, right), (bottom, top) = (getattr(self.spec, a) for a in (across, up))
        x, y = np.linspace(left, right, _OUTLINE[0]), np.linspace(bottom, top, _OUTLINE[1])
        fixed = {a: getattr(self.spec, a)[0] for a in AXES}
        at = fixed | {across: np.tile(x, len(y)), up: np.repeat(y, len(x))}
        free_depth = "depth" in self.free[2:]
        low, deepest = self.spec.depth
        count = _OUTLINE_DEPTHS[not self._model.through_depth]
        depths = np.unique(np.geomspace(low, deepest, count).round()) if free_depth else [at["depth"]]
        found, margins = list[np.ndarray](), dict[int | None, np.ndarray]()
        for d in depths:
            if not found or not self._model.through_depth:  # else all depths are known from one
                (measured, deviation), of = self.margin(**{**at, "depth": d}), d
            mean = measured + self._model.shift(of) - self._model.shift(d)
            found.append(ndtr(mean / np.maximum(deviation, 1e-9)))
            margins[int(d) if free_depth else None] = mean.reshape(len(y), len(x))
        critical = np.full(len(y), math.nan)
        if across == "sigma_w":
            along = {**fixed, up: np.repeat(y, _SIGMA_W_STEPS), "depth": deepest, across: np.tile(self.sigma_w, len(y))}
            critical = self._highest(self.mean(**along).reshape(len(y), -1))
        edged = [d for d, m in margins.items() if (m >= 0).any() and (m < 0).any()]
        shown = dict.fromkeys((edged[len(edged) // 3], edged[-1]) if edged else ())
        trainable = np.mean(found, 0).reshape(len(y), len(x))
        return Outline((across, up), x, y, trainable, {d: margins[d] for d in shown}, critical)

    def boundary(self, depths: Sequence[int] | None = None) -> pd.DataFrame:
        """The ``boundary`` table: for every depth (by default, a few) and sigma_b, where the margin crosses zero.

        ``lower`` and ``upper`` are the ends in sigma_w of the trainable band, with the ends ``_5`` and ``_95`` of
        their 90 % intervals; NaN where at least half of the draws have no such crossing within the range.
        """
        if not self.enough or "sigma_w" not in self.free:
            return pd.DataFrame(columns=list(COLUMNS["boundary"]), dtype=float).astype({"depth": int})
        critical = self.critical_line()[["sigma_w", "lower", "upper"]].to_numpy()
        theory = theory_line(self.spec, self.sigma_b)
        rows = []
        for depth in depths or self.depths:
            for b, c, t in zip(self.sigma_b, critical, theory, strict=True):
                draws = self._draws(b, depth)
                ends = outer_crossings(self.sigma_w, draws)
                ends[draws[:, [0, -1]] >= 0] = math.nan  # there the band goes on beyond the range
                lower, upper = (_quantiles(end) for end in ends.T)
                rows.append((depth, b, *lower, *upper, float((draws >= 0).mean()), *c, t))
        return pd.DataFrame(rows, columns=list(COLUMNS["boundary"])).astype({"depth": int})


def history(spec: Experiment, points: pd.DataFrame, moments: int = _HISTORY) -> pd.DataFrame:
    """``points, expected_error``: of the boundary by the first so many points that were stored.

    At numbers of points evenly spaced on a log scale, up to 10,000; empty as long as there are too few.
    """
    measured = points[np.isfinite(points["margin"])].sort_values(["finished", *AXES, "seed"])
    rows = []
    if len(measured) >= MIN_POINTS and spec.free_axes:
        for count in np.unique(np.geomspace(MIN_POINTS, min(len(measured), _MOST), moments).round().astype(int)):
            rows.append((count, PhaseModel(spec, measured.iloc[:count]).expected_error))
    frame = pd.DataFrame(rows, columns=["points", "expected_error"]).astype({"points": int, "expected_error": float})
    frame.attrs["columns"] = {"points": "measured", "expected_error": "share of the range on the boundary's wrong side"}
    return frame


def theory_line(spec: Network, sigma_b: np.ndarray) -> np.ndarray:
    """Mean field's critical sigma_w at each sigma_b; NaN for an architecture that it is not for."""
    if not applies_to(spec.architecture):
        return np.full(len(sigma_b), math.nan)
    return np.asarray(critical_sigma_w(np.asarray(sigma_b, dtype=float), spec.activation))


def _quantiles(values: np.ndarray) -> np.ndarray:
    """Median, 5 % and 95 %; NaN if at least half of the values are."""
    good = values[np.isfinite(values)]
    if len(good) * 2 <= len(values):
        return np.full(3, math.nan)
    return np.quantile(good, (0.5, 0.05, 0.95))
