"""The boundary of the truth as a surface over the axes of a sweep."""

import math

import numpy as np
import pandas as pd

from sweep.levelset.domain import Axis
from sweep.levelset.level_set import LevelSet
from sweep.model.crossings import outer_crossings
from sweep.spec.experiment import Experiment
from sweep.spec.parts import Space

MIN_POINTS = 12  # trained, and both outcomes among them, before anything is said
GRID = 64


class Surface:
    """A smooth function of (sigma_w, sigma_b, depth) through values at points, all on log scales but sigma_b.

    Parameters
    ----------
    spec:
        Whose free axes it is over.
    points, values:
        Rows with the columns of the axes, and as many numbers.
    """

    def __init__(self, spec: Space, points: pd.DataFrame, values: np.ndarray) -> None:
        self._free = spec.free_axes
        ends = {a: getattr(spec, a) for a in self._free}
        axes = [Axis(a, low, high, log=a != "sigma_b") for a, (low, high) in ends.items()]
        self._model = LevelSet(axes, seed=spec.seed)
        self._model.tell(points[self._free].to_numpy(float), list(values))

    def _at(self, places: dict[str, np.ndarray]) -> np.ndarray:
        return np.stack([places[a].ravel() for a in self._free], 1)

    def __call__(self, places: dict[str, np.ndarray]) -> np.ndarray:
        """At places of one shape each, in that shape."""
        flat = self._at(places)
        parts = [self._model.mean(flat[i : i + 5000]) for i in range(0, len(flat), 5000)]
        return np.concatenate(parts).reshape(next(iter(places.values())).shape)

    def resampled(self, places: dict[str, np.ndarray], weights: np.ndarray) -> np.ndarray:
        """The same ``[draws, ...]`` had every point counted with a weight of ``[draws, points]``."""
        found = self._model.reweighted(self._at(places), weights)
        return found.reshape(len(weights), *next(iter(places.values())).shape)


def truth_surface(spec: Experiment, points: pd.DataFrame) -> Surface:
    """Through +1 where a network was trained above the level and -1 where it was not.

    In a sweep that trained the boundary only, the points that it left out count as what was predicted of them.
    """
    known = points["trainable"].notna()
    sign = np.where(points["trainable"].fillna(points["margin"] >= 0).astype(bool), 1.0, -1.0)
    use = (known | ((spec.train == "boundary") & points["margin"].notna())).to_numpy()
    return Surface(spec, points[use], sign[use])


def depth_planes(spec: Space, size: int) -> dict[str, np.ndarray]:
    """``[depths, sigma_b, sigma_w]`` places: a plane for each of a few depths."""
    low, high = spec.depth
    depths = np.unique(np.geomspace(low, high, 4).round())
    ends = [(getattr(spec, a), size if a in spec.free_axes else 1) for a in ("sigma_b", "sigma_w")]
    sides = [np.linspace(low, high, count) for (low, high), count in ends]
    d, b, w = np.meshgrid(depths, *sides, indexing="ij")
    return {"sigma_w": w, "sigma_b": b, "depth": d}


def distance_to_boundary(truth: Surface, points: pd.DataFrame, spec: Space) -> np.ndarray:
    """``|log(sigma_w / nearest sigma_w of the true boundary)|`` at a point's sigma_b and depth; infinite if none."""
    sigma_w = np.geomspace(*spec.sigma_w, 161)
    shape = (len(points), len(sigma_w))
    places = {a: np.broadcast_to(points[a].to_numpy(float)[:, None], shape) for a in ("sigma_b", "depth")}
    ends = outer_crossings(sigma_w, truth({**places, "sigma_w": np.broadcast_to(sigma_w, shape)}))
    distance = np.abs(np.log(points["sigma_w"].to_numpy(float)[:, None] / ends))
    return np.nan_to_num(distance, nan=math.inf).min(1)
