"""The scale on which values are modelled, which outliers must not spoil.

========  =========================================================================  ===========
symbol    meaning                                                                    shape
========  =========================================================================  ===========
y         observed values                                                            ``[n]``
distance  of a value from the nearest level, at observations that are spread over    ``[spread]``
          the domain
w         twice the lower quartile of the distance: the unit near the level          scalar
u         distance of y above the highest level or below the lowest, divided by w    ``[n]``
========  =========================================================================  ===========

As a rule, values are standardised by their mean and standard deviation. A value more than 100 times the median distance
beyond the levels is an outlier: near it, a boundary is where the function jumps, and the standard deviation says
nothing about the rest. If there is one, all values with u > 1 are drawn in, to ``2 - 1 / u``. The order of values and
the side on which they lie stay; that is all that counts so far from a level.
"""

from dataclasses import dataclass

import numpy as np

_OUTLIER = 100.0  # times the median distance from which on a value is an outlier
_SPREAD = 8  # observations for each axis that are spread over the domain
_KNEE = 1.0  # u from which on values are drawn in where there are outliers
_EQUAL = 1e-9  # spread of the values, relative to the largest, below which they are equal but for rounding
_FAR = 30.0  # standard deviations between the values and the nearest level that are told apart from more
_HUGE = 1e100  # at which levels end, in units of the largest value
_MAX_EXPONENT = 1000  # of a power of two by which values are divided


@dataclass(frozen=True)
class Scale:
    """A map of values to the units of a model, and back.

    Attributes
    ----------
    exponent:
        Values are divided by 2 to this power first, which is exact.
    center, unit:
        Origin and unit in which values are drawn in.
    low, high:
        Lowest and highest level in this unit; infinite where nothing is drawn in.
    offset, scale:
        Mean and standard deviation in this unit.
    """

    exponent: int
    center: float
    unit: float
    low: float
    high: float
    offset: float
    scale: float

    def values(self, y: np.ndarray) -> np.ndarray:
        """Return values ``[n]`` in the units of the model."""
        return (self._drawn_in(y)[0] - self.offset) / self.scale

    def variances(self, y: np.ndarray, variances: np.ndarray) -> np.ndarray:
        """Return the variances ``[n]`` of the noise of values y in the units of the model."""
        variances = np.ldexp(variances, -2 * self.exponent)
        if self.unit == 1.0:
            return variances / self.scale**2
        deviations = np.sqrt(variances) * self._drawn_in(y)[1] / self.unit / self.scale
        return np.minimum(deviations, _HUGE) ** 2

    def back(self, values: np.ndarray) -> np.ndarray:
        """Return values of the model ``[n]`` in the units of the caller; outliers stay drawn in."""
        return np.ldexp((values * self.scale + self.offset) * self.unit + self.center, self.exponent)

    def deviations_back(self, deviations: np.ndarray) -> np.ndarray:
        """Return standard deviations of the model ``[n]`` in the units of the caller."""
        return np.ldexp(deviations * self.scale * self.unit, self.exponent)

    def _drawn_in(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return values in the inner unit, and the slope of the map there."""
        y = np.clip(np.ldexp(y, -self.exponent), -_HUGE, _HUGE)
        return _drawn_in((y - self.center) / self.unit, self.low, self.high)


def scale_of(y: np.ndarray, levels: np.ndarray, x: np.ndarray) -> Scale:
    """Return the scale for values.

    Parameters
    ----------
    y:
        ``[n]``: at least one value.
    levels:
        ``[levels]``, sorted.
    x:
        ``[n, axes]``: positions of the values.
    """
    exponent = int(np.clip(np.frexp(np.abs(y).max())[1], -_MAX_EXPONENT, _MAX_EXPONENT))
    y, levels = np.ldexp(y, -exponent), np.clip(np.ldexp(levels, -exponent), -_HUGE, _HUGE)
    distance = np.abs(np.subtract.outer(y, levels)).min(1)
    beyond = np.maximum(levels[0] - y, y - levels[-1]).max()
    between = np.ptp(levels) / 2
    # Where observations gather at the boundary, they are nearer to the level than the function is as a rule.
    if beyond > _OUTLIER * max(np.median(distance), between):
        spread = distance[_spread(x)]
        if beyond > _OUTLIER * max(np.median(spread), between):
            unit = max(2 * np.quantile(spread, 0.25), between) or float(spread[spread > 0].min())
            center = (levels[0] + levels[-1]) / 2
            low, high = (levels[0] - center) / unit, (levels[-1] - center) / unit
            y, levels = _drawn_in((y - center) / unit, low, high)[0], (levels - center) / unit
            return Scale(exponent, center, unit, low, high, *_mean_and_spread(y, levels))
    return Scale(exponent, 0.0, 1.0, -np.inf, np.inf, *_mean_and_spread(y, levels))


def _spread(x: np.ndarray) -> list[int]:
    """Return the indices of positions that are spread over the domain, each as far as possible from those before."""
    chosen = [int(((x - 0.5) ** 2).sum(1).argmin())]
    gap = np.full(len(x), np.inf)
    for _ in range(min(len(x), _SPREAD * x.shape[1]) - 1):
        gap = np.minimum(gap, ((x - x[chosen[-1]]) ** 2).sum(1))
        chosen.append(int(gap.argmax()))
    return chosen


def _drawn_in(y: np.ndarray, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Return values in units of w with outliers drawn in, and the slope of that map."""
    u = np.maximum(low - y, y - high)
    far = u > _KNEE
    if not far.any():
        return y, np.ones_like(y)
    u = np.where(far, u, _KNEE)
    near = _KNEE * (2 - _KNEE / u)
    return np.where(far, np.where(y > high, high + near, low - near), y), (_KNEE / u) ** 2


def _mean_and_spread(y: np.ndarray, levels: np.ndarray) -> tuple[float, float]:
    """Return the mean of values, and their standard deviation or what is in place of it."""
    offset, scale = float(y.mean()), float(y.std())
    if scale <= _EQUAL * np.abs(y).max():
        scale = float(np.abs(levels - offset).max()) or 1.0
    return offset, max(scale, float(np.abs(levels - offset).min()) / _FAR)
