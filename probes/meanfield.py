r"""Mean field theory of infinitely wide random networks.

========  ==============================================================  =====================
symbol    meaning                                                         source
========  ==============================================================  =====================
q         variance of the pre-activations of a layer                      Poole et al. eq. 3
q_star    its fixed point, ``q = V(q)``                                   Poole et al. eq. 3
c_star    stable fixed point of the correlation of two inputs             Poole et al. eq. 5
chi_1     slope of the correlation map at c = 1; 1 on the critical line   Schoenholz et al. eq. 5
xi_c      depth scale of correlations, ``-1/ln chi(c_star)``, in layers    Schoenholz et al. eq. 9
xi_q      depth scale of the variance, in layers                          Schoenholz et al. eq. 7
sigma_w   standard deviation of the weights, times sqrt(fan_in)
sigma_b   standard deviation of the biases
========  ==============================================================  =====================

Poole et al. 2016, arXiv:1606.05340; Schoenholz et al. 2017, arXiv:1611.01232. Everything here is a scalar
in double precision; V and chi are Gaussian averages, see `probes.kernels`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from probes.kernels import KERNELS, Kernel, ReluKernel

_OTHERS = ("resnet",)  # skip connections have a theory of their own


def applies_to(architecture: str) -> bool:
    """Whether this theory is that of an architecture's networks."""
    return architecture not in _OTHERS


@dataclass(frozen=True)
class MeanField:
    """What mean field theory says of one (sigma_w, sigma_b); infinite where a quantity diverges."""

    sigma_w: float
    sigma_b: float
    q_star: float
    chi_1: float
    c_star: float
    xi_c: float
    xi_q: float


def _kernel(activation: str) -> Kernel:
    try:
        return KERNELS[activation]
    except KeyError:
        raise ValueError(f"`activation` must be one of {', '.join(KERNELS)}, got {activation!r}") from None


def _depth_scale(multiplier: float) -> float:
    """Layers after which a perturbation multiplied by ``multiplier`` a layer has changed by a factor e."""
    if multiplier <= 0:
        return 0.0
    return math.inf if multiplier == 1 else abs(1 / math.log(multiplier))


def _fixed_point(kernel: Kernel, sigma_w: float, sigma_b: float) -> float:
    def gap(q: float) -> float:
        return sigma_w**2 * kernel.second_moment(q) + sigma_b**2 - q

    low = 0.0 if sigma_b > 0 else 1e-12
    if gap(low) <= 0:
        return 0.0
    high = 1.0
    while gap(high) > 0:
        high *= 2
        if high > 1e12:
            return math.inf
    return _root(gap, low, high)


@lru_cache(maxsize=65536)
def mean_field(sigma_w: float, sigma_b: float, activation: str = "tanh") -> MeanField:
    """Fixed points and depth scales at one (sigma_w, sigma_b).

    Where the variance has no finite fixed point (relu with sigma_w^2 >= 2 and a bias) q_star is infinite; the
    correlation of two inputs then tends to 1 algebraically: c_star = 1 and xi_c is infinite.

    Raises
    ------
    ValueError
        ``sigma_w`` not positive, ``sigma_b`` negative, either not finite, or ``activation`` unknown.
    """
    if not (math.isfinite(sigma_w) and sigma_w > 0):
        raise ValueError(f"`sigma_w` must be positive, got {sigma_w}")
    if not (math.isfinite(sigma_b) and sigma_b >= 0):
        raise ValueError(f"`sigma_b` must not be negative, got {sigma_b}")
    kernel = _kernel(activation)
    q = _fixed_point(kernel, sigma_w, sigma_b)
    if math.isinf(q):
        chi = sigma_w**2 * kernel.slope(1.0)  # scale-free: only relu gets here
        return MeanField(sigma_w, sigma_b, q, chi, 1.0, math.inf, _depth_scale(chi))
    chi_1 = sigma_w**2 * kernel.slope(q)
    c_star = _correlation(kernel, q, chi_1, sigma_w, sigma_b)
    # At c = 1 the one-dimensional sum is exact to rounding; use it rather than the double one.
    chi_c = chi_1 if c_star == 1 else sigma_w**2 * kernel.slope_covariance(q, c_star)
    xi_q = _depth_scale(chi_1 + sigma_w**2 * kernel.curvature(q))
    return MeanField(sigma_w, sigma_b, q, chi_1, c_star, _depth_scale(chi_c), xi_q)


def _root(f: Callable[[float], float], low: float, high: float) -> float:
    """Where f, of opposite signs at the ends, is zero: Chandrupatla 1997, to double precision.

    Inverse quadratic interpolation where it is safe, bisection elsewhere.
    """
    a, b = high, low
    fa, fb = f(a), f(b)
    c, fc, t = a, fa, 0.5
    while True:
        x = a + t * (b - a)
        fx = f(x)
        if (fx > 0) == (fa > 0):
            c, fc = a, fa
        else:
            c, fc, b, fb = b, fb, a, fa
        a, fa = x, fx
        best, smallest = (a, fa) if abs(fa) < abs(fb) else (b, fb)
        limit = (4e-16 * abs(best) + 1e-15) / abs(b - c)
        if smallest == 0 or limit > 0.5:
            return best
        xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
        if phi**2 < xi and (1 - phi) ** 2 < 1 - xi:
            t = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
        else:
            t = 0.5
        t = min(1 - limit, max(limit, t))


def _correlation(kernel: Kernel, q: float, chi_1: float, sigma_w: float, sigma_b: float) -> float:
    if chi_1 <= 1 or q == 0:
        return 1.0

    def gap(c: float) -> float:
        return (sigma_w**2 * kernel.covariance(q, c) + sigma_b**2) / q - c

    # Just above chi_1 = 1 the root is close to 1, where the gap is of the order of the distance squared.
    high = 1.0 - min(0.1, (chi_1 - 1) / 100)
    if gap(high) >= 0:
        return 1.0
    if gap(0.0) <= 0:  # no bias and an odd activation: uncorrelated stays uncorrelated
        return 0.0
    return _root(gap, 0.0, high)


def _critical(sigma_b: float, activation: str) -> float:
    kernel = _kernel(activation)
    if not (math.isfinite(sigma_b) and sigma_b >= 0):
        raise ValueError(f"`sigma_b` must not be negative, got {sigma_b}")
    if isinstance(kernel, ReluKernel):
        return math.sqrt(2.0)  # chi_1 = sigma_w^2 / 2 whatever the variance

    # On the critical line sigma_w^2 = 1 / E[phi'^2]; then q = V(q) gives sigma_b as a function of q alone.
    def gap(q: float) -> float:
        return q - kernel.second_moment(q) / kernel.slope(q) - sigma_b**2

    if sigma_b == 0:
        return 1 / math.sqrt(kernel.slope(0.0))
    high = 1.0
    while gap(high) < 0:
        high *= 2
        if high > 1e12:
            raise ValueError(f"`sigma_b` = {sigma_b} has no critical sigma_w for {activation}")
    return 1 / math.sqrt(kernel.slope(_root(gap, 0.0, high)))


def critical_sigma_w(sigma_b: Any, activation: str = "tanh") -> Any:
    """The sigma_w where chi_1 = 1, for a scalar or an array of sigma_b (of the same shape).

    Raises
    ------
    ValueError
        A negative or non-finite ``sigma_b``, an unknown ``activation``, or no critical line there.
    """
    values = np.vectorize(lambda b: _critical(float(b), activation), otypes=[float])(sigma_b)
    return float(values) if np.ndim(sigma_b) == 0 else values
