"""Gaussian averages of activations and of their derivatives, from which mean field theory is computed.

=================  =============================================================  ===================================
symbol             meaning                                                        in a closed form
=================  =============================================================  ===================================
phi, phi', phi''   activation and its derivatives
z                  standard normal variable
q                  variance of the pre-activations
c                  correlation of the pre-activations of two inputs
u1, u2             normal variables of variance q and correlation c:
                   ``sqrt(q) z1``, ``sqrt(q) (c z1 + sqrt(1 - c^2) z2)``
second moment      ``E[phi(sqrt(q) z)^2]``                                        covariance at c = 1
slope              ``E[phi'(sqrt(q) z)^2]``                                       slope covariance at c = 1
curvature          ``E[phi''(sqrt(q) z) phi(sqrt(q) z)]``                         0 for relu
covariance         ``E[phi(u1) phi(u2)]``                                         erf: Williams; relu: Cho, Saul, n = 1
slope covariance   ``E[phi'(u1) phi'(u2)]``                                       relu: Cho, Saul, n = 0
=================  =============================================================  ===================================

All symbols are scalars in double precision. Where there is no closed form, averages are composite Gauss-Legendre sums
over [-9, 9]. Those of tanh and arctan have an edge between panels at 0. They are exact to 1e-9 in chi_1 at sigma_w = 3,
where Gauss-Hermite sums of fixed order are wrong by 2e-4. Those of leaky_relu, identity and sin follow from those of
relu and of exponentials. Those of other activations are sums of `probes.quadrature`.

References
----------
Williams 1998, Computation with infinite neural networks, Neural Computation 10, 1203. Cho and Saul 2009, Kernel methods
for deep learning, Advances in Neural Information Processing Systems 22.
"""

import math
from functools import lru_cache

import numpy as np

from probes.activations import DECLARED, Activation
from probes.quadrature import Function, line, plane


def _gauss_legendre(half_width: float, panels: int, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights of a sum that approximates averages over z within [-half_width, half_width].

    Parameters
    ----------
    half_width:
        Largest absolute value of z that is taken into account.
    panels:
        Number of panels on either side of 0.
    order:
        Number of nodes in each panel.

    Returns
    -------
    tuple of two numpy.ndarray
        Nodes and weights, ``[2 x panels x order]``.
    """
    nodes, weights = np.polynomial.legendre.leggauss(order)
    edges = np.linspace(-half_width, half_width, 2 * panels + 1)
    step = edges[1] - edges[0]
    z = (edges[:-1, None] + step * (nodes + 1) / 2).ravel()
    w = np.tile(weights * step / 2, 2 * panels) * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    return z, w


_Z, _W = _gauss_legendre(9.0, 200, 8)  # for averages over one variable; fine enough for sigma_w in the tens
_Z2, _W2 = _gauss_legendre(9.0, 18, 8)  # for each of two variables; gives c* to 1e-9 for sigma_w up to 3, to 1 % at 20


class Kernel:
    """The Gaussian averages of one activation and of its derivatives, by quadrature.

    Parameters
    ----------
    phi, dphi, ddphi:
        Activation, and its first and second derivative, applied elementwise.

    Attributes
    ----------
    kinks:
        Where phi or one of its derivatives is not smooth, as far as the averages are sums.
    homogeneous:
        Whether phi(s x) is s phi(x) for all s > 0, so that the slope is the same at every q.
    grows_evenly:
        Whether the variance has one stable fixed point at most, because the second moment is a concave function of q,
        and chi_1 is 1 at one sigma_w.
    """

    kinks: tuple[float, ...] = ()
    homogeneous = False
    grows_evenly = True

    def __init__(self, phi: Function, dphi: Function, ddphi: Function) -> None:
        self.phi, self.dphi, self.ddphi = phi, dphi, ddphi

    def _line(self, q: float) -> tuple[np.ndarray, np.ndarray]:
        """Return values of a variable of variance q, and their weights in an average."""
        return math.sqrt(q) * _Z, _W

    def second_moment(self, q: float) -> float:
        """Return E[phi(sqrt(q) z)^2]."""
        u, w = self._line(q)
        return float(w @ self.phi(u) ** 2)

    def slope(self, q: float) -> float:
        """Return E[phi'(sqrt(q) z)^2]."""
        u, w = self._line(q)
        return float(w @ self.dphi(u) ** 2)

    def curvature(self, q: float) -> float:
        """Return E[phi''(sqrt(q) z) phi(sqrt(q) z)]."""
        u, w = self._line(q)
        return float(w @ (self.ddphi(u) * self.phi(u)))

    def _product_average(self, f: Function, q: float, c: float) -> float:
        """Return E[f(u1) f(u2)]."""
        u = math.sqrt(q) * _Z2
        mixed = c * u[:, None] + math.sqrt(max(0.0, 1 - c * c)) * u[None, :]
        return float((_W2 * f(u)) @ (f(mixed) @ _W2))

    def covariance(self, q: float, c: float) -> float:
        """Return E[phi(u1) phi(u2)] for u1, u2 of variance q and correlation c."""
        return self._product_average(self.phi, q, c)

    def slope_covariance(self, q: float, c: float) -> float:
        """Return E[phi'(u1) phi'(u2)] for u1, u2 of variance q and correlation c."""
        return self._product_average(self.dphi, q, c)


class ErfKernel(Kernel):
    """The kernel of phi(x) = erf(x): the arcsine kernel of Williams 1998."""

    def __init__(self) -> None:
        scale = 2 / math.sqrt(math.pi)
        super().__init__(
            np.vectorize(math.erf, otypes=[float]),
            lambda x: scale * np.exp(-x * x),
            lambda x: -2 * scale * x * np.exp(-x * x),
        )

    def second_moment(self, q: float) -> float:
        """Return E[erf(sqrt(q) z)^2]."""
        return self.covariance(q, 1.0)

    def slope(self, q: float) -> float:
        """Return E[erf'(sqrt(q) z)^2]."""
        return self.slope_covariance(q, 1.0)

    def covariance(self, q: float, c: float) -> float:
        """Return E[erf(u1) erf(u2)], which is 2/pi arcsin(2 q c / (1 + 2 q))."""
        return 2 / math.pi * math.asin(2 * q * c / (1 + 2 * q))

    def slope_covariance(self, q: float, c: float) -> float:
        """Return E[erf'(u1) erf'(u2)], which is the derivative of the covariance by c, divided by q."""
        return 4 / math.pi / math.sqrt((1 + 2 * q) ** 2 - (2 * q * c) ** 2)


class LeakyKernel(Kernel):
    """The kernel of a linear function with a kink at 0: phi(x) = x above 0 and ``a x`` below.

    It is ``a`` times the linear kernel plus ``(1 - a)^2`` times that of relu, which are the arc-cosine kernels of order
    1 and 0 of Cho and Saul 2009.

    Parameters
    ----------
    a:
        Slope below 0: 0 for relu, 1 for the identity.
    """

    homogeneous = True

    def __init__(self, a: float) -> None:
        super().__init__(
            lambda x: np.maximum(x, 0) + a * np.minimum(x, 0), lambda x: np.where(x > 0, 1.0, a), np.zeros_like
        )
        self._a = a

    def second_moment(self, q: float) -> float:
        """Return E[phi(sqrt(q) z)^2], which is (1 + a^2) q/2."""
        return (1 + self._a**2) * q / 2

    def slope(self, q: float) -> float:
        """Return E[phi'(sqrt(q) z)^2], which is (1 + a^2)/2."""
        return (1 + self._a**2) / 2

    def curvature(self, q: float) -> float:
        """Return E[phi'' phi], which is 0: the second derivative is a delta function where phi vanishes."""
        return 0.0

    def covariance(self, q: float, c: float) -> float:
        """Return E[phi(u1) phi(u2)], where relu's part is q/(2 pi) (sin t + (pi - t) cos t) with cos t = c."""
        angle = math.acos(min(1.0, max(-1.0, c)))
        relu = q / (2 * math.pi) * (math.sin(angle) + (math.pi - angle) * math.cos(angle))
        return self._a * q * c + (1 - self._a) ** 2 * relu

    def slope_covariance(self, q: float, c: float) -> float:
        """Return E[phi'(u1) phi'(u2)], where relu's part is (pi - t)/(2 pi) with cos t = c."""
        return self._a + (1 - self._a) ** 2 * (math.pi - math.acos(min(1.0, max(-1.0, c)))) / (2 * math.pi)


class SinKernel(Kernel):
    """The kernel of phi(x) = sin(x), from the averages of exp(i (u1 + u2)) and exp(i (u1 - u2))."""

    def __init__(self) -> None:
        super().__init__(np.sin, np.cos, lambda x: -np.sin(x))

    def second_moment(self, q: float) -> float:
        """Return E[sin(sqrt(q) z)^2]."""
        return self.covariance(q, 1.0)

    def slope(self, q: float) -> float:
        """Return E[cos(sqrt(q) z)^2]."""
        return self.slope_covariance(q, 1.0)

    def curvature(self, q: float) -> float:
        """Return E[phi'' phi], which is -E[sin(sqrt(q) z)^2]."""
        return -self.second_moment(q)

    def covariance(self, q: float, c: float) -> float:
        """Return E[sin(u1) sin(u2)], which is exp(-q) sinh(q c)."""
        return (math.exp(-q * (1 - c)) - math.exp(-q * (1 + c))) / 2

    def slope_covariance(self, q: float, c: float) -> float:
        """Return E[cos(u1) cos(u2)], which is exp(-q) cosh(q c)."""
        return (math.exp(-q * (1 - c)) + math.exp(-q * (1 + c))) / 2


class QuadratureKernel(Kernel):
    """The kernel of any activation: torch gives phi and, by autograd, phi'.

    Averages are those of `probes.quadrature`, whose panels end at the kinks. There is no phi'', which has delta
    functions where phi' jumps: by Stein's lemma, E[phi'^2 + phi'' phi] is E[z phi phi'] / sqrt(q).
    """

    grows_evenly = False

    def __init__(self, activation: Activation) -> None:
        super().__init__(self._phi, self._dphi, _no_second_derivative)
        self._activation, self.kinks = activation, activation.kinks
        self._at_one = lru_cache(16)(self._errors_at_one)

    def _phi(self, x: np.ndarray) -> np.ndarray:
        return self._values(x, derivative=False)

    def _dphi(self, x: np.ndarray) -> np.ndarray:
        return self._values(x, derivative=True)

    def _values(self, x: np.ndarray, *, derivative: bool) -> np.ndarray:
        import torch

        from probes.threads import one_thread, plain_modes

        phi = self._activation.phi
        with plain_modes(), one_thread(), torch.set_grad_enabled(derivative):
            u = torch.from_numpy(np.ascontiguousarray(x)).requires_grad_(derivative)
            out = torch.autograd.grad(phi(u).sum(), u)[0] if derivative else phi(u)
        return out.numpy()

    def _line(self, q: float) -> tuple[np.ndarray, np.ndarray]:
        return line(_deviation(q), self.kinks)

    def curvature(self, q: float) -> float:
        """Return E[phi''(sqrt(q) z) phi(sqrt(q) z)], which is E[z phi phi'] / sqrt(q) - E[phi'^2]."""
        u, w = self._line(q)
        slopes = self.dphi(u)
        return float(w @ (slopes * (u * self.phi(u) / _deviation(q) ** 2 - slopes)))

    def covariance(self, q: float, c: float) -> float:
        """Return E[phi(u1) phi(u2)] for u1, u2 of variance q and correlation c; the second moment at c = 1."""
        return self._product_average(self.phi, q, c) - self._at_one(q)[0]

    def slope_covariance(self, q: float, c: float) -> float:
        """Return E[phi'(u1) phi'(u2)] for u1, u2 of variance q and correlation c; the slope at c = 1."""
        return self._product_average(self.dphi, q, c) - self._at_one(q)[1]

    def _errors_at_one(self, q: float) -> tuple[float, float]:
        """Return the small errors of both double sums at c = 1.

        They are much the same at all c. Without them the map of c has its fixed point at 1 where it should be.
        """
        averages = (self._product_average(f, q, 1.0) for f in (self.phi, self.dphi))
        moment, slope = averages
        return moment - self.second_moment(q), slope - self.slope(q)

    def _product_average(self, f: Function, q: float, c: float) -> float:
        u1, u2, w = plane(_deviation(q), c, self.kinks)
        return float(np.sum(w * f(u1) * f(u2)))


def _no_second_derivative(x: np.ndarray) -> np.ndarray:
    raise NotImplementedError


def _deviation(q: float) -> float:
    """Return the standard deviation of the pre-activations, which is never 0, so that both sides of a kink count."""
    return math.sqrt(max(q, 1e-30))


# Kernels in closed form or from numpy; all others are sums of torch's values.
_SPECIAL: dict[str, Kernel] = {
    "tanh": Kernel(
        np.tanh,
        lambda x: 1 - np.tanh(x) ** 2,
        lambda x: -2 * np.tanh(x) * (1 - np.tanh(x) ** 2),
    ),
    "relu": LeakyKernel(0.0),
    "erf": ErfKernel(),
    "arctan": Kernel(
        np.arctan,
        lambda x: 1 / (1 + x * x),
        lambda x: -2 * x / (1 + x * x) ** 2,
    ),
    "identity": LeakyKernel(1.0),
    "leaky_relu": LeakyKernel(0.01),  # torch's default
    "sin": SinKernel(),
}
KERNELS = {name: _SPECIAL.get(name) or QuadratureKernel(activation) for name, activation in DECLARED.items()}
