"""Where curves cross zero, by linear interpolation between the places that they are known at."""

import numpy as np


def rises(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return where curves ``y [..., n]`` over ascending ``x [n]`` rise through zero.

    The result is ``[..., n - 1]``: one entry for each step of ``x``, NaN where the step holds no rise.
    """
    return _interpolated(x, y, (y[..., :-1] < 0) & (y[..., 1:] >= 0))


def falls(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return where curves fall through zero; as `rises`."""
    return _interpolated(x, y, (y[..., :-1] >= 0) & (y[..., 1:] < 0))


def outer_crossings(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the first rise and the last fall through zero of curves ``y [..., n]``: ``[..., 2]``, NaN for none."""
    return np.stack([np.fmin.reduce(rises(x, y), -1), np.fmax.reduce(falls(x, y), -1)], -1)


def _interpolated(x: np.ndarray, y: np.ndarray, crosses: np.ndarray) -> np.ndarray:
    left, right = y[..., :-1], y[..., 1:]
    share = left / np.where(crosses, left - right, 1)
    return np.where(crosses, x[:-1] + share * np.diff(x), np.nan)
