"""Zero crossings of curves, by linear interpolation between the values of x at which they are known."""

import numpy as np


def rises(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return where curves ``y [..., n]`` over ascending ``x [n]`` rise through zero.

    The result is ``[..., n - 1]``: one entry for each step of ``x``, NaN where the step holds no rise.
    """
    return _interpolated(x, y, (y[..., :-1] < 0) & (y[..., 1:] >= 0))


def falls(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return where curves ``y [..., n]`` over ascending ``x [n]`` fall through zero.

    The result is ``[..., n - 1]``: one entry for each step of ``x``, NaN where the step holds no fall.
    """
    return _interpolated(x, y, (y[..., :-1] >= 0) & (y[..., 1:] < 0))


def outer_crossings(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the first rise and the last fall through zero of curves ``y [..., n]`` over ascending ``x [n]``.

    The result is ``[..., 2]``, NaN where a curve has no such crossing.
    """
    return np.stack([np.fmin.reduce(rises(x, y), -1), np.fmax.reduce(falls(x, y), -1)], -1)


def _interpolated(x: np.ndarray, y: np.ndarray, crosses: np.ndarray) -> np.ndarray:
    left, right = y[..., :-1], y[..., 1:]
    share = left / np.where(crosses, left - right, 1)
    return np.where(crosses, x[:-1] + share * np.diff(x), np.nan)
