"""The margin over the plane of sigma_w and sigma_b at one depth, as the model has it."""

import math
from typing import Any

import numpy as np
import pandas as pd

from probes.point import Point
from sweep.levelset.level_set import LevelSet
from sweep.model.crossings import falls, rises
from sweep.model.margin import MarginModel

_STEPS = 121, 51  # values of sigma_w and of sigma_b
_FINE = 601  # values of sigma_w along a line


class Plane:
    """The modelled margin on a grid and along lines.

    Parameters
    ----------
    model:
        Model of the margin, which has been told what was measured.

    Attributes
    ----------
    sigma_w, sigma_b:
        Values of the grid: evenly spaced, those of sigma_w on a log scale. Of a fixed sigma_b there is one.
    """

    def __init__(self, model: MarginModel) -> None:
        self._model, self._depth = model, model.spec.depth[0]
        low, high = model.spec.sigma_b
        self.sigma_w = np.geomspace(*model.spec.sigma_w, _STEPS[0])
        self.sigma_b = np.linspace(low, high, _STEPS[1] if low < high else 1)

    def margins(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and the standard deviation of the margin on the grid, ``[sigma_b, sigma_w]`` each."""
        w, b = np.meshgrid(self.sigma_w, self.sigma_b)
        mean, deviation = self._at(w.ravel(), b.ravel())
        return mean.reshape(w.shape), deviation.reshape(w.shape)

    def smoothed(self, points: pd.DataFrame, values: pd.Series) -> np.ndarray:
        """Return a quantity that was measured at points on the grid, ``[sigma_b, sigma_w]``, by a model of its own.

        Parameters
        ----------
        points:
            Table with columns sigma_w and sigma_b.
        values:
            The quantity at these points; NaN teaches nothing.
        """
        known = self._model.level_set
        model = LevelSet(known.axes, seed=known.seed)
        model.tell(self._on_axes(points["sigma_w"], points["sigma_b"]), list(values))
        w, b = np.meshgrid(self.sigma_w, self.sigma_b)
        return model.mean(self._on_axes(w.ravel(), b.ravel())).reshape(w.shape)

    def place(self, row: int, column: int) -> tuple[float, float]:
        """Return sigma_w and sigma_b in a row and a column of the grid."""
        return float(self.sigma_w[column]), float(self.sigma_b[row])

    def distance(self, one: Point, other: Point) -> float:
        """Return the distance of two points, as a share of the ranges, sigma_w on a log scale."""
        across = math.log(one.sigma_w / other.sigma_w) / math.log(self.sigma_w[-1] / self.sigma_w[0])
        return math.hypot(across, (one.sigma_b - other.sigma_b) / (float(np.ptp(self.sigma_b)) or 1.0))

    def line(self, sigma_b: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return values of sigma_w, and the mean and the standard deviation of the margin there, at one sigma_b."""
        sigma_w = np.geomspace(*self._model.spec.sigma_w, _FINE)
        return sigma_w, *self._at(sigma_w, np.full(_FINE, sigma_b))

    def band(self, sigma_w: float, sigma_b: float) -> tuple[float | None, float | None] | None:
        """Return the ends in sigma_w of the trainable band around a place, each None if it is beyond the range.

        Without them, None means that the place is in no band.
        """
        x, mean, _ = self.line(sigma_b)
        if np.interp(sigma_w, x, mean) < 0:
            return None
        below, above = rises(x, mean), falls(x, mean)
        return (
            max((float(v) for v in below if v <= sigma_w), default=None),
            min((float(v) for v in above if v >= sigma_w), default=None),
        )

    def _at(self, sigma_w: np.ndarray, sigma_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at = self._on_axes(sigma_w, sigma_b)
        mean, deviation = self._model.level_set.mean_and_deviation(at)
        return self._model.above_boundary(mean, self._depth), deviation

    def _on_axes(self, sigma_w: Any, sigma_b: Any) -> np.ndarray:
        return self._model.at(sigma_w=sigma_w, sigma_b=sigma_b, depth=self._depth)
