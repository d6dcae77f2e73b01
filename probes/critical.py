"""The critical line of mean field theory, where chi_1 = 1; symbols as in `probes.meanfield`.

At chi_1 = 1 sigma_w^2 is ``1 / E[phi'(sqrt(q) z)^2]``. If q is a fixed point, too, sigma_b^2 is
``q - E[phi^2] / E[phi'^2]``: both are functions of q alone. For tanh and its like this curve is the critical line. For
other activations q need not be the fixed point that networks tend to. With gelu and small biases, for instance, q_star
jumps at some sigma_w from a small value to infinity, and chi_1 jumps over 1. That sigma_w is the critical one then.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np

from probes.kernels import Kernel
from probes.meanfield import LARGEST_Q, fixed_point, kernel_of, root

_Q = np.geomspace(1e-8, 1e6, 169)  # grid of variances, 1 among them
_SIGMA_W = np.geomspace(0.05, 50, 401)  # grid on which a jump of chi_1 is looked for
_ROUNDING = 1e-11  # of sigma_b^2, relative to q
_TOLERANCE = 1e-7  # relative width of the interval in which a jump is found


def critical_sigma_w(sigma_b: Any, activation: str = "tanh") -> Any:
    """Return the critical sigma_w, where chi_1 = 1.

    Parameters
    ----------
    sigma_b:
        Standard deviation of the biases, a number or an array of any shape; not negative.
    activation:
        One of `probes.activations.NAMES`.

    Returns
    -------
    float or numpy.ndarray
        The critical sigma_w of each ``sigma_b``, of the same shape: the smallest at which chi_1 reaches 1 or, where
        q_star jumps, jumps over it. NaN if there is none.

    Raises
    ------
    ValueError
        A ``sigma_b`` is negative or not finite, or ``activation`` is unknown.
    """
    values = np.vectorize(lambda b: _critical(float(b), activation), otypes=[float])(sigma_b)
    return float(values) if np.ndim(sigma_b) == 0 else values


@lru_cache(maxsize=65536)
def _critical(sigma_b: float, activation: str) -> float:
    """Return the critical sigma_w at one sigma_b, or NaN."""
    kernel = kernel_of(activation)
    if not (math.isfinite(sigma_b) and sigma_b >= 0):
        raise ValueError(f"`sigma_b` must be finite and not negative, got {sigma_b}")
    if kernel.homogeneous:
        return math.sqrt(1 / kernel.slope(1.0))  # whatever the variance
    if not kernel.grows_evenly:
        return _first(activation, sigma_b)
    if sigma_b == 0:
        return 1 / math.sqrt(kernel.slope(0.0))
    high = 1.0
    while _bias(kernel, high) < sigma_b**2:
        high *= 2
        if high > LARGEST_Q:
            return math.nan
    return 1 / math.sqrt(kernel.slope(root(lambda q: _bias(kernel, q) - sigma_b**2, 0.0, high)))


def _bias(kernel: Kernel, q: float) -> float:
    """Return sigma_b^2 where chi_1 is 1 and q is a fixed point; negative where that cannot be."""
    return q - kernel.second_moment(q) / max(kernel.slope(q), 1e-300)


def _first(activation: str, sigma_b: float) -> float:
    """Return the smallest sigma_w at which chi_1 reaches 1 or jumps over it, or NaN."""
    reached = _reached(activation, sigma_b)
    kernel, (moments, slopes) = kernel_of(activation), _table(activation)
    above = np.flatnonzero(_chi_1_on_grid(moments, slopes, sigma_b) > 1)

    def is_above(sigma_w: float) -> bool:
        q = min(fixed_point(kernel, sigma_w, sigma_b), LARGEST_Q**2)
        return sigma_w**2 * kernel.slope(q) > 1

    # The grid of q is coarse, so the first value above 1 is found by trying.
    i = int(above[0]) if len(above) else len(_SIGMA_W)
    while i < len(_SIGMA_W) and not reached <= _SIGMA_W[i] and not is_above(_SIGMA_W[i]):
        i += 1
    if i == len(_SIGMA_W) or reached <= _SIGMA_W[i]:
        return reached
    while i > 0 and is_above(_SIGMA_W[i - 1]):
        i -= 1
    low, high = float(_SIGMA_W[max(i - 1, 0)]), float(_SIGMA_W[i])
    while high - low > _TOLERANCE * high:
        middle = (low + high) / 2
        low, high = (low, middle) if is_above(middle) else (middle, high)
    return high


def _reached(activation: str, sigma_b: float) -> float:
    """Return the smallest sigma_w at which chi_1 is 1 at q_star, or NaN."""
    kernel, (moments, slopes) = kernel_of(activation), _table(activation)
    excess = _Q - moments / np.maximum(slopes, 1e-300) - sigma_b**2
    excess[abs(excess) < _ROUNDING * _Q] = 0
    places = np.flatnonzero((excess[:-1] < 0) != (excess[1:] < 0))
    roots = (root(lambda q: _bias(kernel, q) - sigma_b**2, float(_Q[i]), float(_Q[i + 1])) for i in places)
    known = ((q, kernel.slope(q)) for q in (0.0, *roots, LARGEST_Q**2))
    found = (1 / math.sqrt(slope) for q, slope in known if slope > 0 and _tends_to(kernel, q, slope, sigma_b))
    return min(found, default=math.nan)


@lru_cache(maxsize=64)
def _table(activation: str) -> tuple[np.ndarray, np.ndarray]:
    """Return E[phi^2] and E[phi'^2] at each q of the grid."""
    kernel = kernel_of(activation)
    return np.array([kernel.second_moment(q) for q in _Q]), np.array([kernel.slope(q) for q in _Q])


def _chi_1_on_grid(moments: np.ndarray, slopes: np.ndarray, sigma_b: float) -> np.ndarray:
    """Return chi_1 at each sigma_w of the grid, from the q of the grid that is nearest to q_star."""
    grows = _SIGMA_W[:, None] ** 2 * moments + sigma_b**2 > _Q  # [sigma_w, q]
    one = int(np.argmin(abs(_Q - 1)))
    above = one + np.argmin(np.pad(grows[:, one:], ((0, 0), (0, 1))), 1)  # the first q from 1 that does not grow
    below = one - np.argmax(np.pad(grows[:, one::-1], ((0, 0), (0, 1)), constant_values=True), 1)  # the last that does
    return _SIGMA_W**2 * slopes[np.where(grows[:, one], np.minimum(above, len(_Q) - 1), np.maximum(below, 0))]


def _tends_to(kernel: Kernel, q: float, slope: float, sigma_b: float) -> bool:
    """Return whether q is q_star at the sigma_w where chi_1 would be 1 with E[phi'^2] = slope."""
    # At q = 0 the variance is the slower to vanish, the nearer sigma_w is to the critical one.
    q_star = fixed_point(kernel, (1 - 1e-6 * (q == 0)) / math.sqrt(slope), sigma_b)
    return q > LARGEST_Q if math.isinf(q_star) else math.isclose(q, q_star, rel_tol=1e-3, abs_tol=1e-9)
