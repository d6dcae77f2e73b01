"""Which of many candidates to observe next.

==========  ====================================================================  ==================
symbol      meaning                                                               shape
==========  ====================================================================  ==================
m, s        posterior mean and standard deviation of the function (noise-free)    ``[places]``
z           (m - level) / s                                                       ``[places]``
p           probability that the function is above the level: Phi(z)              ``[places]``
rho^2       share of s^2 at a place that an observation at a candidate explains   ``[candidates, places]``
==========  ====================================================================  ==================

Half of the points are those after which the boundary is expected to be known best: the integral of p (1 - p) over the
domain and the levels falls most (the stepwise uncertainty reduction of Bect et al. 2012, arXiv:1009.5177, in the closed
form of Chevalier et al. 2014). With r = sin t it falls at a place by

    p (1 - p) - E[p' (1 - p')] = 1 / (2 pi) int_0^arcsin(rho^2) exp(-z^2 / (1 + sin t)) dt.

The integral is over places drawn where p (1 - p) may be large, and weighted accordingly (`targets`). The other half
maximise the straddle 1.96 s - |m - level| (Bryan et al. 2005), which trusts the model less: the first is better where
there is much noise, the second where there is little. 1.6 times the square root of their number go where the largest
gap between observations is, whatever the model thinks, so that regions nobody has seen are found. The ridge (where the
function is largest along one axis) is found in the same way: by how much of the variance is explained where it may run.

Points of a batch, and pending ones, narrow s as if they had been observed at their mean.
"""

import math

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from sweep.levelset.domain import Domain
from sweep.levelset.gaussian_process import JITTER, Posterior
from sweep.levelset.targets import Targets, candidates

_EXPLORE = 1.6  # times the square root of their number: points that fill gaps
_STRADDLE_EVERY = 2  # else the look ahead
_APART = 1e-3  # of the range: no two points are nearer
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(2)


def choose(
    posterior: Posterior,
    domain: Domain,
    levels: np.ndarray,
    targets: Targets,
    count: int,
    told: np.ndarray,
    busy: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return ``[count, axes]`` points, one after another the candidate that is worth most.

    ``told`` and ``busy [n, axes]`` are the points observed and under way, ``levels`` are in units of the posterior.
    """
    points = candidates(posterior, domain, targets, rng)
    joint = _Joint(posterior, domain, points, targets)
    joint.expect(busy)
    x = domain.to_unit(points)
    distance = np.min([((x - k) ** 2).sum(1) for k in domain.to_unit(np.vstack([told, busy]))], 0)
    first = len(told) + len(busy)
    chosen: list[int] = []
    for turn in range(first, first + count):
        if int(_EXPLORE * math.sqrt(turn + 1)) > int(_EXPLORE * math.sqrt(turn)):
            score = distance
        elif targets.level is None:
            score = _ridge(joint, targets.weight)
        elif turn % _STRADDLE_EVERY == 0:
            score = _straddle(joint, levels)
        else:
            score = _look_ahead(joint, targets.level, targets.weight)
        # Where every value of an integer axis is taken, one is repeated.
        free = distance > _APART**2
        best = int(np.argmax(np.where(free, score, -np.inf) if free.any() else score))
        chosen.append(best)
        joint.expect_candidate(best)
        distance = np.minimum(distance, ((x - x[best]) ** 2).sum(1))
    return points[chosen]


class _Joint:
    """What is believed of the function at the candidates and the targets, jointly.

    ``mean [candidates + targets]``, ``covariance [candidates, candidates + targets]``; `variance` is of the targets,
    `own` of the candidates.
    """

    def __init__(self, posterior: Posterior, domain: Domain, points: np.ndarray, targets: Targets) -> None:
        self._posterior, self._domain, self.n = posterior, domain, len(points)
        self._x = np.vstack([domain.to_unit(points), targets.x])
        self._f = domain.features(np.vstack([points, domain.from_unit(targets.x)]))
        self.mean, self._root = posterior.mean_and_root(self._x, self._f)
        n, kernel = self.n, posterior.kernel
        self.covariance = kernel(self._x[:n], self._x, self._f[:n], self._f) - self._root[:, :n].T @ self._root
        self._variance = (kernel.variance(self._f) - (self._root**2).sum(0))[n:]
        self.noise = kernel.noise + JITTER

    @property
    def own(self) -> np.ndarray:
        return np.maximum(np.diag(self.covariance[:, : self.n]), 0)

    @property
    def variance(self) -> np.ndarray:
        return np.maximum(self._variance, 1e-10)

    @property
    def explained(self) -> np.ndarray:
        """Return rho^2."""
        return np.minimum(self.covariance[:, self.n :] ** 2 / np.outer(self.own + self.noise, self.variance), 0.9999)

    def expect(self, points: np.ndarray) -> None:
        """Narrow the belief as if points ``[n, axes]`` had been observed at their mean."""
        if not len(points):
            return
        kernel, n = self._posterior.kernel, self.n
        x, f = self._domain.to_unit(points), self._domain.features(points)
        _, root = self._posterior.mean_and_root(x, f)
        among = kernel(x, x, f, f) - root.T @ root
        among[np.diag_indices_from(among)] += self.noise
        toward = kernel(x, self._x, f, self._f) - root.T @ self._root
        half = solve_triangular(cholesky(among, lower=True), toward, lower=True)
        self.covariance -= half[:, :n].T @ half
        self._variance -= (half[:, n:] ** 2).sum(0)

    def expect_candidate(self, i: int) -> None:
        """Narrow the belief as if a candidate had been observed at its mean."""
        row = self.covariance[i] / math.sqrt(self.own[i] + self.noise)
        self._variance = self._variance - row[self.n :] ** 2
        self.covariance -= np.outer(row[: self.n], row)


def _look_ahead(joint: _Joint, level: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return by how much an observation of each candidate is expected to settle on which side the targets are."""
    gap = joint.mean[joint.n :] - level
    return np.asarray(expected_gain(joint.explained, gap * gap / joint.variance) @ weight)


def _straddle(joint: _Joint, levels: np.ndarray) -> np.ndarray:
    """Return 1.96 s - |m - level| of each candidate, with the level that is nearest."""
    return 1.96 * np.sqrt(joint.own) - np.abs(np.subtract.outer(joint.mean[: joint.n], levels)).min(1)


def _ridge(joint: _Joint, weight: np.ndarray) -> np.ndarray:
    """Return how much of the variance where the ridge may run an observation of each candidate explains."""
    return np.asarray((joint.explained * joint.variance) @ weight)


def expected_gain(explained: np.ndarray, z2: np.ndarray) -> np.ndarray:
    """Return the integral over t above, from rho^2 ``[candidates, places]`` and z^2 ``[places]``."""
    half = 0.5 * np.arcsin(explained.astype(np.float32))  # single precision: a ranking needs no more
    z2 = z2.astype(np.float32)
    total = np.zeros_like(half)
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        total += np.float32(weight) * np.exp(-z2 / (1 + np.sin(half * np.float32(1 + node))))
    return total * half
