"""Surfaces over the axes of a sweep, whose zeros are boundaries: of the truth, or of a score."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from sweep.levelset.level_set import LevelSet
from sweep.model.calibration import predicted_trainable
from sweep.model.crossings import outer_crossings
from sweep.model.margin import searched_axes
from sweep.spec.experiment import Experiment
from sweep.spec.space import Space

MIN_POINTS = 12  # trained points that a comparison needs, with both outcomes among them
GRID = 64  # places along each side of a plane


class Surface:
    """A smooth function over the free axes of a sweep, fitted to values at points.

    It is the mean of a Gaussian process, on the scales of the search: logarithmic ones of sigma_w and depth, a linear
    one of sigma_b.

    Parameters
    ----------
    spec:
        The specification with the axes.
    points, values:
        Rows with the columns of the axes, and a value for each row.
    """

    def __init__(self, spec: Space, points: pd.DataFrame, values: np.ndarray) -> None:
        self._free = spec.free_axes
        axes = [replace(axis, integer=False) for axis in searched_axes(spec, self._free)]
        self._model = LevelSet(axes, seed=spec.seed)
        self._model.tell(points[self._free].to_numpy(float), list(values))

    def _coordinates(self, places: dict[str, np.ndarray]) -> np.ndarray:
        return np.stack([places[a].ravel() for a in self._free], 1)

    def __call__(self, places: dict[str, np.ndarray]) -> np.ndarray:
        """Return the value at each place: ``places`` has an array for each axis, all of one shape, as the result."""
        flat = self._coordinates(places)
        parts = [self._model.mean(flat[i : i + 5000]) for i in range(0, len(flat), 5000)]
        return np.concatenate(parts).reshape(next(iter(places.values())).shape)

    def resampled(self, places: dict[str, np.ndarray], weights: np.ndarray) -> np.ndarray:
        """Return the values at places for each draw of a bootstrap, ``[draws, ...]``.

        ``weights`` ``[draws, points]`` say how often each point counts in each draw.
        """
        values = self._model.reweighted(self._coordinates(places), weights)
        return values.reshape(len(weights), *next(iter(places.values())).shape)


def truth_surface(spec: Experiment, points: pd.DataFrame) -> Surface:
    """Return a surface fitted to +1 where a network was trained successfully and to -1 where it was not.

    If a sweep trains networks near the boundary only, the others count as they are predicted.
    """
    known = points["trainable"].notna()
    sign = np.where(points["trainable"].fillna(predicted_trainable(points)).astype(bool), 1.0, -1.0)
    used = (known | ((spec.train == "boundary") & points["margin"].notna())).to_numpy()
    return Surface(spec, points[used], sign[used])


def depth_planes(spec: Space, size: int) -> dict[str, np.ndarray]:
    """Return a plane of places for each of a few depths: by axis, an array ``[depths, sigma_b, sigma_w]``.

    Further axes are in the middle of their ranges.
    """
    low, high = spec.depth
    depths = np.unique(np.geomspace(low, high, 4).round())
    ends = [(getattr(spec, a), size if a in spec.free_axes else 1) for a in ("sigma_b", "sigma_w")]
    sides = [np.linspace(low, high, count) for (low, high), count in ends]
    d, b, w = np.meshgrid(depths, *sides, indexing="ij")
    further = {name: np.full(w.shape, value) for name, value in spec.further_at().items()}
    return {"sigma_w": w, "sigma_b": b, "depth": d, **further}


def distance_to_boundary(truth: Surface, points: pd.DataFrame, spec: Space) -> np.ndarray:
    """Return the distance of each point from the true boundary at its sigma_b and depth, ``[points]``.

    It is ``|log(sigma_w / nearest sigma_w of the boundary)|``, and infinite if there is no boundary there.
    """
    sigma_w = np.geomspace(*spec.sigma_w, 161)
    shape = (len(points), len(sigma_w))
    places = {a: np.broadcast_to(points[a].to_numpy(float)[:, None], shape) for a in spec.axes if a != "sigma_w"}
    ends = outer_crossings(sigma_w, truth({**places, "sigma_w": np.broadcast_to(sigma_w, shape)}))
    distance = np.abs(np.log(points["sigma_w"].to_numpy(float)[:, None] / ends))
    return np.nan_to_num(distance, nan=math.inf).min(1)
