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
over [-9, 9] with an edge between panels at 0. They are exact to 1e-9 in chi_1 at sigma_w = 3, where Gauss-Hermite sums
of fixed order are wrong by 2e-4.

References
----------
Williams 1998, Computation with infinite neural networks, Neural Computation 10, 1203. Cho and Saul 2009, Kernel methods
for deep learning, Advances in Neural Information Processing Systems 22.
"""

import math
from collections.abc import Callable

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]  # elementwise


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
    """

    def __init__(self, phi: Function, dphi: Function, ddphi: Function) -> None:
        self.phi, self.dphi, self.ddphi = phi, dphi, ddphi

    def second_moment(self, q: float) -> float:
        """Return E[phi(sqrt(q) z)^2]."""
        return float(_W @ self.phi(math.sqrt(q) * _Z) ** 2)

    def slope(self, q: float) -> float:
        """Return E[phi'(sqrt(q) z)^2]."""
        return float(_W @ self.dphi(math.sqrt(q) * _Z) ** 2)

    def curvature(self, q: float) -> float:
        """Return E[phi''(sqrt(q) z) phi(sqrt(q) z)]."""
        u = math.sqrt(q) * _Z
        return float(_W @ (self.ddphi(u) * self.phi(u)))

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


class ReluKernel(Kernel):
    """The kernel of phi(x) = max(x, 0): the arc-cosine kernels of order 1 and 0 of Cho and Saul 2009."""

    def __init__(self) -> None:
        super().__init__(lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0, np.zeros_like)

    def second_moment(self, q: float) -> float:
        """Return E[relu(sqrt(q) z)^2], which is q/2."""
        return q / 2

    def slope(self, q: float) -> float:
        """Return E[relu'(sqrt(q) z)^2], which is 1/2."""
        return 0.5

    def curvature(self, q: float) -> float:
        """Return E[relu'' relu], which is 0: the second derivative is a delta function where relu vanishes."""
        return 0.0

    def covariance(self, q: float, c: float) -> float:
        """Return E[relu(u1) relu(u2)], which is q/(2 pi) (sin t + (pi - t) cos t) with cos t = c."""
        angle = math.acos(min(1.0, max(-1.0, c)))
        return q / (2 * math.pi) * (math.sin(angle) + (math.pi - angle) * math.cos(angle))

    def slope_covariance(self, q: float, c: float) -> float:
        """Return E[relu'(u1) relu'(u2)], which is (pi - t)/(2 pi) with cos t = c."""
        return (math.pi - math.acos(min(1.0, max(-1.0, c)))) / (2 * math.pi)


KERNELS: dict[str, Kernel] = {
    "tanh": Kernel(
        np.tanh,
        lambda x: 1 - np.tanh(x) ** 2,
        lambda x: -2 * np.tanh(x) * (1 - np.tanh(x) ** 2),
    ),
    "relu": ReluKernel(),
    "erf": ErfKernel(),
    "arctan": Kernel(
        np.arctan,
        lambda x: 1 / (1 + x * x),
        lambda x: -2 * x / (1 + x * x) ** 2,
    ),
}
