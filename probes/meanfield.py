r"""Mean field theory of infinitely wide random networks.

========  ==============================================================  =======================
symbol    meaning                                                         source
========  ==============================================================  =======================
sigma_w   standard deviation of the weights, times sqrt(fan_in)
sigma_b   standard deviation of the biases
q         variance of the pre-activations of a layer; the next layer's
          is ``V(q) = sigma_w^2 E[phi(sqrt(q) z)^2] + sigma_b^2``         Poole et al. eq. 3
q_star    fixed point of the variance, ``q = V(q)``                       Poole et al. eq. 3
c         correlation of the pre-activations of two inputs
c_star    stable fixed point of c                                         Poole et al. eq. 5
chi(c)    slope of the map of c from layer to layer, at q_star:
          ``sigma_w^2 E[phi'(u1) phi'(u2)]``, where u1 and u2 have
          variance q_star and correlation c
chi_1     ``chi(1)``, which is 1 on the critical line                     Schoenholz et al. eq. 5
xi_c      depth scale of correlations, ``1 / |ln chi(c_star)|``, layers   Schoenholz et al. eq. 9
xi_q      depth scale of the variance, in layers:
          ``1 / |ln(chi_1 + sigma_w^2 E[phi'' phi])|``                    Schoenholz et al. eq. 7
========  ==============================================================  =======================

Every symbol is a scalar in double precision; E is an average over normally distributed z or u, see `probes.kernels`.

It holds for every initialisation of `probes.initialisations`. With independent weights (normal, uniform, truncated
normal) the pre-activations of infinitely wide layers are normally distributed, and only the variance of the weights
enters. An orthogonal matrix keeps exactly those lengths and angles that independent weights keep on average, and any
few of its pre-activations are normal in the limit, too: V, chi(c) and hence chi_1, xi_c and the critical line are the
same. What differs is beyond this theory: chi_1 is the mean squared singular value of a layer's Jacobian, and orthogonal
weights let all singular values of a deep network stay near their mean (dynamical isometry: with tanh and the like at
small q_star, never with relu), so that gradients of all directions behave alike.

References
----------
Poole et al. 2016, arXiv:1606.05340; Schoenholz et al. 2017, arXiv:1611.01232; Pennington, Schoenholz and Ganguli 2017,
arXiv:1711.04735, for orthogonal weights.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from probes.kernels import KERNELS, Kernel

_WITHOUT_THEORY = ("resnet",)  # skip connections need another theory
LARGEST_Q = 1e12  # a larger variance counts as growing without limit


def applies_to(architecture: str) -> bool:
    """Return whether this theory describes the networks of an architecture."""
    return architecture not in _WITHOUT_THEORY


@dataclass(frozen=True)
class MeanField:
    """The predictions of mean field theory for one (sigma_w, sigma_b).

    Attributes
    ----------
    sigma_w, sigma_b:
        Standard deviations of the weights (times sqrt(fan_in)) and of the biases.
    q_star:
        Variance of the pre-activations in deep layers; infinite where it grows without limit.
    chi_1:
        Slope of the correlation map at 1: below 1 in the ordered phase, 1 on the critical line, above 1 in the chaotic
        phase.
    c_star:
        Correlation that the pre-activations of two inputs tend to.
    xi_c, xi_q:
        Depth scales of the correlation and of the variance, in layers; infinite where they diverge.
    """

    sigma_w: float
    sigma_b: float
    q_star: float
    chi_1: float
    c_star: float
    xi_c: float
    xi_q: float


def kernel_of(activation: str) -> Kernel:
    """Return the kernel of an activation; raises ValueError if there is none of that name."""
    try:
        return KERNELS[activation]
    except KeyError:
        raise ValueError(f"`activation` must be one of {', '.join(KERNELS)}, got {activation!r}") from None


def _depth_scale(multiplier: float) -> float:
    """Return after how many layers a perturbation has changed by a factor e, given its factor per layer."""
    if multiplier <= 0:
        return 0.0
    return math.inf if multiplier == 1 else abs(1 / math.log(multiplier))


def fixed_point(kernel: Kernel, sigma_w: float, sigma_b: float) -> float:
    """Return q_star: 0 where signals vanish, infinity where they grow without limit."""
    if not kernel.grows_evenly:
        return _limit(kernel, sigma_w, sigma_b)
    if kernel.homogeneous and sigma_b > 0 and sigma_w**2 * kernel.slope(1.0) >= 1:
        return math.inf  # where a small bias would be lost in the rounding of q

    def gap(q: float) -> float:
        return sigma_w**2 * kernel.second_moment(q) + sigma_b**2 - q

    low = 0.0 if sigma_b > 0 else 1e-12  # without biases 0 is always a fixed point, but not always the stable one
    if gap(low) <= 0:
        return 0.0
    high = 1.0
    while gap(high) > 0:
        high *= 2
        if high > LARGEST_Q:
            return math.inf
    return root(gap, low, high)


def _limit(kernel: Kernel, sigma_w: float, sigma_b: float) -> float:
    """Return the limit of the variance from layer to layer if it is 1 in the first one.

    V increases with q. So the limit is the next fixed point above 1 if V(1) > 1, and the next one below 1 otherwise.
    """

    def gap(q: float) -> float:
        return (sigma_w**2 * kernel.second_moment(q) - q) + sigma_b**2

    q = 1.0
    if gap(q) > 0:
        while gap(q) > 0:
            q *= 2
            if q > LARGEST_Q:
                return math.inf
        return root(gap, q / 2, q)
    while gap(q) <= 0:
        if q == 0:
            return 0.0
        q = q / 2 if q > 1e-12 else 0.0
    return root(gap, q, max(2 * q, 2e-12))


@lru_cache(maxsize=65536)
def mean_field(sigma_w: float, sigma_b: float, activation: str = "tanh") -> MeanField:
    """Return the fixed points and depth scales of mean field theory at one (sigma_w, sigma_b).

    Parameters
    ----------
    sigma_w:
        Standard deviation of the weights, times sqrt(fan_in); positive.
    sigma_b:
        Standard deviation of the biases; not negative.
    activation:
        One of `probes.activations.NAMES`.

    Returns
    -------
    MeanField
        The fixed points and depth scales.

    Raises
    ------
    ValueError
        ``sigma_w`` is not positive, ``sigma_b`` is negative, either is not finite, or ``activation`` is unknown.

    Notes
    -----
    Where the variance has no finite fixed point (relu with sigma_w^2 >= 2 and a bias), q_star is infinite, and chi_1 is
    its limit. The correlation of two inputs then tends to 1 algebraically (or stays as it is, if phi is linear for
    large numbers): c_star is 1 and xi_c is infinite.

    Where there are several fixed points of the variance (tanhshrink, gelu), q_star is the one that a variance of 1 in
    the first layer tends to.

    With any activation the map of c is a power series without negative coefficients. So it is convex from 0 to 1, and
    has a fixed point below 1, the stable one, if and only if chi_1 is above 1.
    """
    if not (math.isfinite(sigma_w) and sigma_w > 0):
        raise ValueError(f"`sigma_w` must be positive and finite, got {sigma_w}")
    if not (math.isfinite(sigma_b) and sigma_b >= 0):
        raise ValueError(f"`sigma_b` must be finite and not negative, got {sigma_b}")
    kernel = kernel_of(activation)
    q = fixed_point(kernel, sigma_w, sigma_b)
    if math.isinf(q):
        chi = sigma_w**2 * kernel.slope(LARGEST_Q**2)
        return MeanField(sigma_w, sigma_b, q, chi, 1.0, math.inf, _depth_scale(chi))
    chi_1 = sigma_w**2 * kernel.slope(q)
    c_star = _correlation(kernel, q, chi_1, sigma_w, sigma_b)
    # At c = 1 the double average is a simple one, which is exact to rounding.
    chi_c = chi_1 if c_star == 1 else sigma_w**2 * kernel.slope_covariance(q, c_star)
    xi_q = _depth_scale(chi_1 + sigma_w**2 * kernel.curvature(q))
    return MeanField(sigma_w, sigma_b, q, chi_1, c_star, _depth_scale(chi_c), xi_q)


def root(f: Callable[[float], float], low: float, high: float) -> float:
    """Return a root of f between two ends where f has opposite signs, to double precision.

    Chandrupatla's method (1997): inverse quadratic interpolation where it is safe, bisection elsewhere.
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
        xi, phi = (a - b) / (c - b), (fa - fb) / ((fc - fb) or math.inf)  # bisection where f is rounding alone
        if fc != fb and phi**2 < xi and (1 - phi) ** 2 < 1 - xi:
            t = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
        else:
            t = 0.5
        t = min(1 - limit, max(limit, t))


def _correlation(kernel: Kernel, q: float, chi_1: float, sigma_w: float, sigma_b: float) -> float:
    """Return c_star, the stable fixed point of the correlation."""
    if chi_1 <= 1 or q == 0:
        return 1.0

    def gap(c: float) -> float:
        return (sigma_w**2 * kernel.covariance(q, c) + sigma_b**2) / q - c

    # Just above chi_1 = 1 the root is close to 1, where the gap is of the order of the distance squared. The distance
    # is of the order of chi_1 - 1, or of its square if phi' jumps.
    distance = min(0.1, (chi_1 - 1) / 100)
    while gap(1 - distance) >= 0:
        distance /= 8
        if not kernel.kinks or distance < 1e-12:
            return 1.0
    high = 1 - distance
    if gap(0.0) <= 0:  # with an odd activation and no bias, uncorrelated inputs stay uncorrelated
        return 0.0
    return root(gap, 0.0, high)
