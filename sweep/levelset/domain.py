"""The domain of a level-set search: a box spanned by axes, mapped to the unit cube."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import qmc

Features = Callable[[np.ndarray], np.ndarray]
_SURVEY_SIZE = 1024  # positions; a power of two, so that Sobol points are balanced


@dataclass(frozen=True)
class Axis:
    """A real or integer axis of the domain.

    Parameters
    ----------
    name:
        Name of the axis, for messages and for ``along``.
    low, high:
        Ends of the range that is searched, ``low < high``.
    log:
        Whether the axis is searched on a log scale; then ``low`` must be positive.
    integer:
        Whether only whole numbers are proposed.

    Raises
    ------
    ValueError
        An end is not finite, ``low`` is not below ``high``, or ``low`` is not positive on a log scale.
    """

    name: str
    low: float
    high: float
    log: bool = False
    integer: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"`{self.name}` must have low < high, got {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"`{self.name}` must be positive on a log scale, got {self.low}")

    def to_unit(self, values: np.ndarray) -> np.ndarray:
        """Map values to [0, 1]."""
        if self.log:
            return (np.log(values) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (np.asarray(values, dtype=float) - self.low) / (self.high - self.low)

    def from_unit(self, u: np.ndarray) -> np.ndarray:
        """Map numbers in [0, 1] to values, rounded on an integer axis."""
        if self.log:
            values = np.exp(math.log(self.low) + u * (math.log(self.high) - math.log(self.low)))
        else:
            values = self.low + u * (self.high - self.low)
        values = np.clip(values, self.low, self.high)
        return np.round(values) if self.integer else values


class Domain:
    """The box that is searched, with the known functions over it that the searched function may resemble.

    Points are in natural units, positions in the unit cube; both are arrays ``[n, axes]``.

    Parameters
    ----------
    axes:
        One to six axes.
    features:
        Known functions: maps points ``[n, axes]`` to values ``[n, features]``.
    seed:
        Seed of the positions that are spread over the domain.

    Attributes
    ----------
    survey:
        ``[1024, axes]``: positions spread evenly over the unit cube.
    spacing:
        Rough distance along an axis between neighbouring positions of the survey.
    """

    def __init__(self, axes: Sequence[Axis], features: Features | None, seed: int) -> None:
        self.axes, self._known, self._seed = list(axes), features, seed
        self.survey = self.spread(_SURVEY_SIZE)
        self.spacing = _SURVEY_SIZE ** (-1 / len(self.axes))
        self._mean, self._deviation = np.empty(0), np.empty(0)

    def to_unit(self, points: np.ndarray) -> np.ndarray:
        """Map points ``[n, axes]`` to the unit cube."""
        return np.stack([a.to_unit(points[:, i]) for i, a in enumerate(self.axes)], 1)

    def from_unit(self, x: np.ndarray) -> np.ndarray:
        """Map positions ``[n, axes]`` in the unit cube to points, rounded on integer axes."""
        return np.stack([a.from_unit(x[:, i]) for i, a in enumerate(self.axes)], 1)

    def spread(self, count: int) -> np.ndarray:
        """Return the first ``count`` positions of a scrambled Sobol sequence, always the same for one seed."""
        sobol = qmc.Sobol(len(self.axes), scramble=True, rng=np.random.default_rng([self._seed, 1]))
        return np.asarray(sobol.random_base2(max(0, math.ceil(math.log2(max(1, count)))))[:count])

    def rescale_features(self) -> None:
        """Scale the known functions anew, since they may change as more is learnt."""
        raw = self._raw_features(self.from_unit(self.survey))
        self._mean, self._deviation = raw.mean(0), np.where(raw.std(0) > 0, raw.std(0), 1.0)

    def features(self, points: np.ndarray) -> np.ndarray:
        """Return the features ``[n, 1 + features]`` of points ``[n, axes]``.

        The first is the constant 1. The known functions follow, and each integer axis, all scaled to mean 0 and
        standard deviation 1 over the domain.
        """
        scaled = (self._raw_features(points) - self._mean) / self._deviation
        return np.hstack([np.ones((len(points), 1)), scaled])

    def features_at(self, x: np.ndarray) -> np.ndarray:
        """Return the features of positions ``[n, axes]`` in the unit cube."""
        return self.features(self.from_unit(x))

    def _raw_features(self, points: np.ndarray) -> np.ndarray:
        # What is counted, such as layers or repetitions, has a trend as a rule.
        trends = [a.to_unit(points[:, i]) for i, a in enumerate(self.axes) if a.integer]
        linear = np.stack(trends, 1) if trends else np.empty((len(points), 0))
        if self._known is None:
            return linear
        values = np.asarray(self._known(points), dtype=float)
        known = np.nan_to_num(values.reshape(len(points), -1), nan=0.0, posinf=1e6, neginf=-1e6)
        return np.hstack([known, linear])
