"""What is told of a function, and how a model sees it: as values with noise, or as sides of the level.

The sides are the better view where an outcome is a yes or no, and where a function jumps: how far a value lies from the
level says little there about how far away the boundary is. A view translates between the units of the caller and those
of the model.

Yes-or-no outcomes
------------------
Two values in all, or shares of several yes-or-no observations, are taken for draws from ``low`` and ``high``. The
modelled function is their expectation, ``low + (high - low) Phi(f / sqrt(eta))`` in the notation of `sides`, and it may
cross several levels. Of other values, the side of the single level counts; ``low`` and ``high`` are then as far below
and above the level as the values are typically.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri

from sweep.levelset.domain import Domain
from sweep.levelset.fitting import fit_kernels, fit_side_kernels
from sweep.levelset.gaussian_process import JITTER, Kernel, Observations, Posterior
from sweep.levelset.merging import merge_nearest, merge_nearest_sides
from sweep.levelset.scaling import scale_of
from sweep.levelset.sides import SidePosterior, Sides, propagate

OUTCOMES = ("value", "side", "auto")
_MIN_TWO_VALUED = 8  # observations from which on two values in all are no chance
_MIN_GAIN = 2.0  # of the logarithm of the probability of the sides, for sides to be preferred to values
_MAX_NOISE = 1e6  # known variance of a side, in the units of the model, that is told apart from more


@dataclass(frozen=True)
class Told:
    """Observations as they were told.

    Attributes
    ----------
    points:
        ``[n, axes]``, in natural units.
    values:
        ``[n]``.
    variances:
        ``[n]``: known variances of the values.
    censored:
        ``[n]``: whether a value is a lower bound.
    counts:
        ``[n]``: number of yes-or-no observations that a value is the share of; 0 where it is no share.
    """

    points: np.ndarray
    values: np.ndarray
    variances: np.ndarray
    censored: np.ndarray
    counts: np.ndarray

    @classmethod
    def nothing(cls, axes: int) -> "Told":
        """Return no observations."""
        return cls(np.empty((0, axes)), np.empty(0), np.empty(0), np.empty(0, dtype=bool), np.empty(0))

    def __len__(self) -> int:
        """Return the number of observations."""
        return len(self.values)

    def __getitem__(self, keep: np.ndarray) -> "Told":
        """Return the observations that a mask or an array of indices selects."""
        return Told(*(getattr(self, f.name)[keep] for f in fields(self)))

    def __add__(self, other: "Told") -> "Told":
        """Return these observations followed by others."""
        return Told(*(np.concatenate([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)))

    def order(self) -> np.ndarray:
        """Return the indices that sort the observations, so that the order of telling changes nothing."""
        return np.lexsort((self.counts, self.censored, self.values, *self.points.T))


def codes(told: Told, levels: np.ndarray) -> tuple[float, float] | None:
    """Return the two values that yes-or-no outcomes are written as, or None if the values are no such outcomes."""
    if told.counts.any():
        return 0.0, 1.0
    values = np.unique(told.values)
    if len(told) < _MIN_TWO_VALUED or len(values) != 2 or not (values[0] < levels[0] and levels[-1] < values[1]):
        return None
    return float(values[0]), float(values[1])


class View(ABC):
    """A way to see the observations, with the kernel by which it is modelled.

    Parameters
    ----------
    told:
        The observations, in an order that does not depend on that of telling.
    domain:
        The domain that is searched.
    levels:
        Values of the function at the boundaries.

    Attributes
    ----------
    max_fitted:
        Number of observations that a kernel is fitted to; more would take long and change little.
    max_conditioned:
        Number of observations that a model is conditioned on; neighbours are merged beyond.
    """

    max_fitted: int
    max_conditioned: int

    def __init__(self, told: Told, domain: Domain, levels: np.ndarray) -> None:
        self._told, self._levels = told, levels

    @classmethod
    @abstractmethod
    def suits(cls, told: Told, levels: np.ndarray) -> bool:
        """Return whether observations can be seen in this way."""

    @abstractmethod
    def fit(self, rows: np.ndarray, alternatives: int = 0) -> list[Kernel]:
        """Return the kernel that fits some of the observations best, followed by alternatives."""

    @abstractmethod
    def posterior(self, kernel: Kernel, max_count: int) -> tuple[Posterior, np.ndarray]:
        """Return the posterior, and the row of its data that each observation became or -1 where it says nothing.

        Neighbouring observations are merged until there are at most ``max_count``.
        """

    @abstractmethod
    def log_sides(self, kernel: Kernel, rows: np.ndarray) -> float:
        """Return the log probability of the sides of some observations, each by the model of the others."""

    @abstractmethod
    def to_model(self, values: np.ndarray, kernel: Kernel) -> np.ndarray:
        """Return values of the function in the units of the model."""

    @abstractmethod
    def from_model(self, values: np.ndarray, kernel: Kernel) -> np.ndarray:
        """Return values of the function in the units of the caller."""

    @abstractmethod
    def deviation(self, mean: np.ndarray, deviation: np.ndarray, kernel: Kernel) -> np.ndarray:
        """Return standard deviations in the units of the caller, at means, both ``[n]``."""

    def distances(self, mean: np.ndarray, deviation: np.ndarray, kernel: Kernel) -> np.ndarray:
        """Return ``[levels, n]``: how many standard deviations ``[n]`` means ``[n]`` of the model are above levels."""
        return (mean - self.to_model(self._levels, kernel)[:, None]) / deviation


class ValueView(View):
    """Observations as values with normal noise."""

    max_fitted = 256
    max_conditioned = 2000

    def __init__(self, told: Told, domain: Domain, levels: np.ndarray) -> None:
        super().__init__(told, domain, levels)
        x, variances = domain.to_unit(told.points), told.variances
        if told.counts.any():
            # A share of n draws has this variance, with one more draw of either kind, lest it be 0.
            share = (np.clip(told.values, 0, 1) * told.counts + 1) / (told.counts + 2)
            variances = variances + np.where(told.counts > 0, share * (1 - share) / np.maximum(told.counts, 1), 0)
        self._scale = scale_of(told.values, levels, x)
        self.data = Observations(
            x,
            self._scale.values(told.values),
            self._scale.variances(told.values, variances),
            told.censored,
            domain.features(told.points),
        )

    @classmethod
    def suits(cls, told: Told, levels: np.ndarray) -> bool:
        """Return True: all observations can be seen as values."""
        return True

    def fit(self, rows: np.ndarray, alternatives: int = 0) -> list[Kernel]:
        """Return the kernel that fits some of the observations best, followed by alternatives."""
        return fit_kernels(self.data[rows], alternatives)

    def posterior(self, kernel: Kernel, max_count: int) -> tuple[Posterior, np.ndarray]:
        """Return the posterior, and the row of its data that each observation became."""
        data, row = merge_nearest(self.data, kernel, max_count)
        return Posterior(kernel, data), row

    def log_sides(self, kernel: Kernel, rows: np.ndarray) -> float:
        """Return the log probability of the sides of some values, each by the model of the others (GPML 5.12)."""
        data = self.data[rows[~self._told.censored[rows]]]
        covariance = kernel(data.x, data.x, data.features, data.features)
        covariance[np.diag_indices_from(covariance)] += kernel.noise + data.variance + JITTER
        inverse = np.linalg.inv(covariance)
        variance = 1 / np.diag(inverse)
        mean = data.y - inverse @ data.y * variance
        (level,) = self.to_model(self._levels, kernel)
        z = (mean - level) / np.sqrt(variance)
        count = _count(data.y, level)
        return float((count * log_ndtr(np.stack([z, -z]))).sum())

    def to_model(self, values: np.ndarray, kernel: Kernel) -> np.ndarray:
        """Return standardised values."""
        return self._scale.values(values)

    def from_model(self, values: np.ndarray, kernel: Kernel) -> np.ndarray:
        """Return values in the units of the caller; outliers stay drawn in."""
        return self._scale.back(values)

    def deviation(self, mean: np.ndarray, deviation: np.ndarray, kernel: Kernel) -> np.ndarray:
        """Return standard deviations in the units of the caller."""
        return self._scale.deviations_back(deviation)

    def distances(self, mean: np.ndarray, deviation: np.ndarray, kernel: Kernel) -> np.ndarray:
        """Return how many standard deviations means are above levels, without rounding of the levels."""
        return (self._scale.back(mean) - self._levels[:, None]) / self._scale.deviations_back(deviation)


class SideView(View):
    """Observations as sides of the level."""

    max_fitted = 200  # sides take several times as long as values, and each says less
    max_conditioned = 500

    def __init__(self, told: Told, domain: Domain, levels: np.ndarray) -> None:
        super().__init__(told, domain, levels)
        outcomes = codes(told, levels)
        if outcomes:
            self._low, self._high = outcomes
            above = (told.values - self._low) / (self._high - self._low)
            times = np.where(told.counts > 0, told.counts, 1)
            count = np.stack([above, 1 - above]) * times
        else:
            (level,) = levels
            distance = float(np.median(np.abs(told.values - level))) or 1.0
            self._low, self._high = level - distance, level + distance
            count = _count(told.values, level)
        known = _has_side(told, levels)
        count = np.where(told.censored, [[1.0], [0.0]], count)
        # One unit of the model is about as far as values lie from the level; the noise of a share is that of its draws.
        noise = np.where(told.counts > 0, 0.0, told.variances) / ((self._high - self._low) / 2) ** 2
        self._row = np.where(known, np.cumsum(known) - 1, -1)
        self._draws = float(np.median(np.maximum(told.counts, 1)))
        points = told.points[known]
        self.data = Sides(
            domain.to_unit(points), domain.features(points), count[:, known], np.minimum(noise[known], _MAX_NOISE)
        )

    @classmethod
    def suits(cls, told: Told, levels: np.ndarray) -> bool:
        """Return whether there is one level, or the values are a yes or no, and some side is known."""
        return bool(_has_side(told, levels).any()) and (len(levels) == 1 or codes(told, levels) is not None)

    def _rows(self, rows: np.ndarray) -> np.ndarray:
        return self._row[rows][self._row[rows] >= 0]

    def fit(self, rows: np.ndarray, alternatives: int = 0) -> list[Kernel]:
        """Return the kernel that fits some of the sides best, followed by alternatives."""
        return fit_side_kernels(self.data[self._rows(rows)], alternatives)

    def posterior(self, kernel: Kernel, max_count: int) -> tuple[Posterior, np.ndarray]:
        """Return the posterior, and the row of its data that each observation became, -1 if it has no side."""
        data, cell = merge_nearest_sides(self.data, kernel, max_count)
        return SidePosterior(kernel, data, self._draws), np.where(self._row >= 0, cell[self._row], -1)

    def log_sides(self, kernel: Kernel, rows: np.ndarray) -> float:
        """Return the log probability of some sides, each by the model of the others."""
        data = self.data[self._rows(rows[~self._told.censored[rows]])]
        found = propagate(kernel(data.x, data.x, data.features, data.features), data, kernel.noise)
        return float(found.log_side.sum())

    def to_model(self, values: np.ndarray, kernel: Kernel) -> np.ndarray:
        """Return the f at which values are expected."""
        return np.sqrt(kernel.noise) * ndtri((values - self._low) / (self._high - self._low))

    def from_model(self, values: np.ndarray, kernel: Kernel) -> np.ndarray:
        """Return the values that are expected where f is given."""
        return self._low + (self._high - self._low) * ndtr(values / np.sqrt(kernel.noise))

    def deviation(self, mean: np.ndarray, deviation: np.ndarray, kernel: Kernel) -> np.ndarray:
        """Return half of the width of the interval that one standard deviation of f either way gives."""
        width = self.from_model(mean + deviation, kernel) - self.from_model(mean - deviation, kernel)
        return np.maximum(width / 2, 1e-9 * (self._high - self._low))


def _has_side(told: Told, levels: np.ndarray) -> np.ndarray:
    """Return which observations lie on a known side; that of a lower bound is known above the highest level."""
    return ~told.censored | (told.values >= levels[-1])


def _count(values: np.ndarray, level: float) -> np.ndarray:
    """Return the numbers of values ``[2, n]`` above and below a level; a value at the level is half of each."""
    above = (1 + np.sign(values - level)) / 2
    return np.stack([above, 1 - above])


def suitable(told: Told, levels: np.ndarray, outcome: str) -> list[type[View]]:
    """Return the ways to see observations that an outcome, one of `OUTCOMES`, leaves open.

    Raises
    ------
    ValueError
        The outcome is ``side``, there are several levels, and the values are no yes or no.
    """
    if outcome == "value" or not SideView.suits(told, levels):
        if outcome == "side" and len(np.unique(told.values)) > 2:
            raise ValueError("`levels` must be one for an `outcome` of 'side', unless all values are yes or no")
        return [ValueView]
    return [SideView] if outcome == "side" or codes(told, levels) else [ValueView, SideView]


def better(views: list[tuple[View, Kernel]], rows: np.ndarray) -> tuple[View, Kernel]:
    """Return the first view, with its kernel, unless the second predicts sides clearly better from the others."""
    values, *others = views
    for sides in others:
        if sides[0].log_sides(sides[1], rows) > values[0].log_sides(values[1], rows) + _MIN_GAIN:
            return sides
    return values
