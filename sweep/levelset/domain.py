"""The domain in which a level set is searched: a box of axes, mapped to the unit cube."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import qmc

Features = Callable[[np.ndarray], np.ndarray]
_SURVEY = 1024  # places


@dataclass(frozen=True)
class Axis:
    """A real or integer axis from ``low`` to ``high`` (``low < high``), searched on a log scale if ``log``."""

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
        """Values -> [0, 1]."""
        if self.log:
            return (np.log(values) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (np.asarray(values, dtype=float) - self.low) / (self.high - self.low)

    def from_unit(self, u: np.ndarray) -> np.ndarray:
        """[0, 1] -> values, rounded on an integer axis."""
        if self.log:
            values = np.exp(math.log(self.low) + u * (math.log(self.high) - math.log(self.low)))
        else:
            values = self.low + u * (self.high - self.low)
        values = np.clip(values, self.low, self.high)
        return np.round(values) if self.integer else values


class Domain:
    """Axes, and the functions over them that the one that is searched may resemble.

    Parameters
    ----------
    axes:
        One to four.
    features:
        ``[n, axes] -> [n, features]``: the known functions.
    seed:
        Of the places that are spread over it.

    Attributes
    ----------
    survey:
        ``[1024, axes]`` places of the unit cube, spread evenly.
    spacing:
        Their distance from each other along an axis, roughly.
    """

    def __init__(self, axes: Sequence[Axis], features: Features | None, seed: int) -> None:
        self.axes, self._known, self._seed = list(axes), features, seed
        self.survey = self.spread(_SURVEY)
        self.spacing = _SURVEY ** (-1 / len(self.axes))
        self._mean, self._deviation = np.empty(0), np.empty(0)

    def to_unit(self, points: np.ndarray) -> np.ndarray:
        """Map points ``[n, axes]`` to the unit cube."""
        return np.stack([a.to_unit(points[:, i]) for i, a in enumerate(self.axes)], 1)

    def from_unit(self, x: np.ndarray) -> np.ndarray:
        """Map places ``[n, axes]`` of the unit cube to points, rounded on integer axes."""
        return np.stack([a.from_unit(x[:, i]) for i, a in enumerate(self.axes)], 1)

    def spread(self, count: int) -> np.ndarray:
        """Return the first places of a scrambled Sobol sequence in the unit cube."""
        sobol = qmc.Sobol(len(self.axes), scramble=True, rng=np.random.default_rng([self._seed, 1]))
        return np.asarray(sobol.random_base2(max(0, math.ceil(math.log2(max(1, count)))))[:count])

    def rescale_features(self) -> None:
        """Take the known functions as they are now: they may change as more is learnt."""
        raw = self._raw_features(self.from_unit(self.survey))
        self._mean, self._deviation = raw.mean(0), np.where(raw.std(0) > 0, raw.std(0), 1.0)

    def features(self, points: np.ndarray) -> np.ndarray:
        """Return the constant 1, then each known function, of mean 0 and standard deviation 1 over the domain."""
        scaled = (self._raw_features(points) - self._mean) / self._deviation
        return np.hstack([np.ones((len(points), 1)), scaled])

    def features_at(self, x: np.ndarray) -> np.ndarray:
        """Return `features` at places of the unit cube."""
        return self.features(self.from_unit(x))

    def _raw_features(self, points: np.ndarray) -> np.ndarray:
        if self._known is None:
            return np.empty((len(points), 0))
        values = np.asarray(self._known(points), dtype=float)
        return np.nan_to_num(values.reshape(len(points), -1), nan=0.0, posinf=1e6, neginf=-1e6)
