"""Averages over normal variables, for functions with kinks.

===========  =======================================================================  ===================
symbol       meaning                                                                  shape
===========  =======================================================================  ===================
s            standard deviation of the normal variables u, u1, u2                     scalar
c            correlation of u1 and u2                                                 scalar
r, t         radius and angle of two standard normal variables: with
             ``cos(2 a) = c``, ``u1 = s r cos(t - a)`` and ``u2 = s r cos(t + a)``    ``[angles, radii]``
===========  =======================================================================  ===================

All sums are composite Gauss-Legendre ones in double precision, whose panels end at the kinks. In the plane, kinks at 0
are rays and other kinks straight lines. So in polar coordinates each kink is at a known angle or radius, whatever the
correlation, and nothing has to be resolved more finely as the correlation tends to 1. Averages over two variables are
exact to 1e-7 for s up to 3, to 1e-5 for s = 8 where there are kinks; those over one to 1e-11.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]  # elementwise

_HALF_WIDTH = 9.0  # beyond so many standard deviations the density is below 1e-17
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(10)
_PLANE_NODES, _PLANE_WEIGHTS = np.polynomial.legendre.leggauss(8)
_STEPS = np.linspace(-_HALF_WIDTH, _HALF_WIDTH, 37)  # edges for the density
# Edges for the function: activations change around 0, on a scale of 1, and have simple tails.
_TAIL = 8 * 1.5 ** np.arange(1, 60)
_AROUND_0 = np.concatenate([-_TAIL[::-1], np.linspace(-8, 8, 33), _TAIL])
_RADII = np.array([0, 0.3, 0.7, 1.2, 1.8, 2.5, 3.3, 4.3, 5.5, 7, _HALF_WIDTH])  # closer near 0, as the function changes
# Edges of panels between the angles at which u1 or u2 is 0, where a kink that is not at 0 moves fast with the angle.
_TOWARDS_0 = np.array([0, 0.25, 0.5, 0.7, 0.85, 0.95, 1])
_BETWEEN_0 = np.array([0, 0.05, 0.2, 0.5, 0.8, 0.95, 1])


def _panels(edges: np.ndarray, nodes: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights of a sum over panels, ``[..., panels x order]``, between edges ``[..., panels + 1]``."""
    start, step = edges[..., :-1, None], np.diff(edges)[..., None]
    flat = (*edges.shape[:-1], -1)
    return (start + step * (nodes + 1) / 2).reshape(flat), (step / 2 * weights).reshape(flat)


def line(s: float, kinks: Sequence[float] = ()) -> tuple[np.ndarray, np.ndarray]:
    """Return values of a normal variable u of standard deviation s, and weights, so that E[f(u)] is ``weights @ f(u)``.

    ``f`` may have kinks at 0 and at ``kinks``.
    """
    own = np.concatenate([_AROUND_0, kinks]) / s
    z, w = _panels(np.sort(np.concatenate([_STEPS, own[abs(own) < _HALF_WIDTH]])), _NODES, _WEIGHTS)
    return s * z, w * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def plane(s: float, c: float, kinks: Sequence[float] = ()) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values of two normal variables of standard deviation s and correlation c, and weights.

    Parameters
    ----------
    s, c:
        Standard deviation, and correlation from -1 to 1.
    kinks:
        Where the functions have kinks.

    Returns
    -------
    tuple of three numpy.ndarray
        u1, u2 and weights, ``[angles, radii]``: E[f(u1) f(u2)] is the sum of ``weights * f(u1) * f(u2)``.
    """
    a = math.acos(min(1.0, max(-1.0, c))) / 2
    # Half of the plane is enough, because t and -t exchange u1 and u2.
    first = math.pi / 2 - a  # the angle at which u2 is 0; u1 is 0 at the second, 2 a later
    sectors = first * _TOWARDS_0, first + 2 * a * _BETWEEN_0, math.pi - first * _TOWARDS_0[::-1]
    t, wt = _panels(np.concatenate([sectors[0], sectors[1][1:], sectors[2][1:]]), _PLANE_NODES, _PLANE_WEIGHTS)
    rates = s * np.cos(np.stack([t - a, t + a]))  # of u1 and u2 along the rays, [2, angles]
    edges = np.broadcast_to(_RADII, (len(t), len(_RADII)))
    others = [k for k in kinks if k]
    if others:
        with np.errstate(divide="ignore"):
            met = np.concatenate([k / rates for k in others]).T
        edges = np.sort(np.concatenate([edges, np.where((met > 0) & (met < _HALF_WIDTH), met, 0.0)], 1), 1)
    r, w = _panels(edges, _PLANE_NODES, _PLANE_WEIGHTS)
    w = w * wt[:, None] * r * np.exp(-r * r / 2) / math.pi
    return rates[0][:, None] * r, rates[1][:, None] * r, w
