"""Merging of neighbouring observations, so that a model of many observations stays affordable."""

import numpy as np

from sweep.levelset.gaussian_process import Kernel, Observations
from sweep.levelset.sides import Sides


def merge_nearest(data: Observations, kernel: Kernel, max_count: int) -> tuple[Observations, np.ndarray]:
    """Merge neighbouring observations until at most ``max_count`` are left.

    Observations in the same cell of a grid become their mean, weighted by one over their noise. The cells are as small
    as the limit allows; their sides are in proportion to the lengths of the kernel. A lower bound and a value are never
    merged.

    Parameters
    ----------
    data:
        n observations.
    kernel:
        Kernel that gives the lengths and the fitted noise.
    max_count:
        Largest number of observations to keep.

    Returns
    -------
    merged:
        Observations, `data` itself if there are few enough. A merged ``variance`` may be negative: the noise of a
        mean, ``kernel.noise + variance``, may be less than that of one observation.
    row:
        ``[n]``: the row of `merged` that each observation has become part of.
    """
    if len(data) <= max_count:
        return data, np.arange(len(data))
    cell = _cells(data.x / kernel.length, data.bound, max_count)
    noise = kernel.noise + data.variance
    weight = 1 / noise
    total = np.bincount(cell, weight)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.stack([np.bincount(cell, weight * v) / total for v in values.T], 1)

    merged = Observations(
        mean(data.x),
        mean(data.y[:, None])[:, 0],
        1 / total - kernel.noise,
        np.bincount(cell, data.bound) > 0,
        mean(data.features),
    )
    return merged, cell


def merge_nearest_sides(data: Sides, kernel: Kernel, max_count: int) -> tuple[Sides, np.ndarray]:
    """Merge neighbouring observations of sides, as `merge_nearest` does those of values.

    The counts in a cell are added up, and the other quantities averaged.
    """
    if len(data) <= max_count:
        return data, np.arange(len(data))
    cell = _cells(data.x / kernel.length, np.zeros(len(data)), max_count)
    weight = data.count.sum(0)
    total = np.bincount(cell, weight)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.stack([np.bincount(cell, weight * v) / total for v in values.T], 1)

    count = np.stack([np.bincount(cell, c) for c in data.count])
    return Sides(mean(data.x), mean(data.features), count, mean(data.variance[:, None])[:, 0]), cell


def _cells(x: np.ndarray, kind: np.ndarray, max_count: int) -> np.ndarray:
    """Return ``[n]``: the number of the cell that holds each observation, of at most ``max_count`` cells.

    The cells are those of a grid over x, in units of the lengths; observations of different kinds share none.
    """

    def cells(size: float) -> np.ndarray:
        grid = np.column_stack([np.floor(x / size), kind])
        return np.unique(grid, axis=0, return_inverse=True)[1].ravel()

    low, high = 0.0, 1.0
    while cells(high).max() >= max_count:
        high *= 2
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if cells(middle).max() >= max_count else (low, middle)
    return cells(high)
