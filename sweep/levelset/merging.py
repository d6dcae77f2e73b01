"""Merging of observations that are near each other, so that a model of many stays affordable."""

import numpy as np

from sweep.levelset.gaussian_process import Kernel, Observations


def merge_nearest(data: Observations, kernel: Kernel, most: int) -> tuple[Observations, np.ndarray]:
    """At most so many observations, and which of them each has become part of.

    The nearest to each other, in lengths of the kernel, become their mean.
    """
    if len(data) <= most:
        return data, np.arange(len(data))
    x = data.x / kernel.length

    def cells(size: float) -> np.ndarray:
        """``[n]``: which of the occupied cells of a grid each is in; a bound and a value are never in one."""
        grid = np.column_stack([np.floor(x / size), data.bound])
        return np.unique(grid, axis=0, return_inverse=True)[1].ravel()

    low, high = 0.0, 1.0
    while cells(high).max() >= most:
        high *= 2
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if cells(middle).max() >= most else (low, middle)
    cell = cells(high)
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
