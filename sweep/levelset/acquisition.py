"""The choice of the points to observe next among many candidates.

==========  ===================================================================  =========================  ==========
symbol      meaning                                                              shape                      source
==========  ===================================================================  =========================  ==========
m, s        posterior mean and standard deviation of the function, without       ``[targets]`` or           GPML 2.25,
            noise                                                                ``[candidates]``           2.26
z           ``(m - level) / s``                                                  ``[targets]``
p           probability that the function is above the level: ``Phi(z)``         ``[targets]``              Bect et al.
rho^2       share of s^2 at a target that one observation at a candidate         ``[candidates, targets]``
            explains: ``cov^2 / ((s_c^2 + v) s^2)``
cov         posterior covariance of the function at candidate and target         ``[candidates, targets]``
s_c, v      s at the candidate, variance of the noise of an observation there    ``[candidates]``
==========  ===================================================================  =========================  ==========

Most points come from one of two criteria, in turn:

- The *look-ahead* takes the point after which the boundary is expected to be known best: the one that makes the
  integral of ``p (1 - p)`` over the domain and the levels fall most. This is the stepwise uncertainty reduction of Bect
  et al. in the closed form of Chevalier et al. At one target, ``p (1 - p)`` is expected to fall by::

      p (1 - p) - E[p' (1 - p')] = 1 / (2 pi) int_0^arcsin(rho^2) exp(-z^2 / (1 + sin t)) dt

  where p' is p after the observation. The integral over the domain is a weighted sum over targets, which are drawn
  where ``p (1 - p)`` may be large (`targets`).
- The *straddle* takes the point where ``1.96 s - |m - level|`` is largest (Bryan et al.).

The look-ahead is better where there is much noise; the straddle trusts the model less and is better where there is
little. In addition, of the first n points about 1.6 sqrt(n) are placed in the largest gap between observations,
whatever the model predicts, so that regions which nobody has looked at are found.

The ridge, where the function is largest along one axis, is searched for in the same way, but by the variance that an
observation explains where the ridge may run.

Pending points, and those chosen before in the same batch, narrow s as if they had been observed at their mean.

References
----------
Bect et al. 2012, "Sequential design of computer experiments for the estimation of a probability of failure", Statistics
and Computing 22, arXiv:1009.5177. Chevalier et al. 2014, "Fast parallel kriging-based stepwise uncertainty reduction
with application to the identification of an excursion set", Technometrics 56(4). Bryan et al. 2005, "Active learning
for identifying function threshold boundaries", NIPS 18. GPML: Rasmussen and Williams 2006, see `gaussian_process`.
"""

import math

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from sweep.levelset.domain import Domain
from sweep.levelset.gaussian_process import Posterior
from sweep.levelset.targets import Targets, candidates

_GAP_FILLING_FACTOR = 1.6  # of the first n points this times sqrt(n) fill gaps
_STRADDLE_PERIOD = 2  # one point in so many is chosen by straddle, the others by looking ahead
_MIN_DISTANCE = 1e-3  # between two points, in units of the range
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(2)  # two nodes are exact enough to rank candidates


def choose(
    posterior: Posterior,
    domain: Domain,
    levels: np.ndarray,
    targets: Targets,
    count: int,
    observed: np.ndarray,
    pending: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the next points to observe, chosen one after another as the candidate that is worth most.

    Parameters
    ----------
    posterior:
        Model of the function.
    domain:
        Domain that is searched.
    levels:
        Levels of the boundaries, in the standardised units of the posterior.
    targets:
        Positions at which the function should be known better: near the boundary or, without levels, near the ridge.
    count:
        Number of points to choose.
    observed, pending:
        Points ``[n, axes]`` that were observed, and those whose observation is under way.
    rng:
        Source of randomness for the candidates.

    Returns
    -------
    numpy.ndarray
        Points ``[count, axes]`` in natural units.
    """
    points = candidates(posterior, domain, targets, rng)
    joint = _Joint(posterior, domain, points, targets)
    joint.expect(pending)
    x = domain.to_unit(points)
    distance = np.min([((x - k) ** 2).sum(1) for k in domain.to_unit(np.vstack([observed, pending]))], 0)
    first = len(observed) + len(pending)
    chosen: list[int] = []
    for turn in range(first, first + count):
        if int(_GAP_FILLING_FACTOR * math.sqrt(turn + 1)) > int(_GAP_FILLING_FACTOR * math.sqrt(turn)):
            score = distance
        elif targets.level is None:
            score = _ridge(joint, targets.weight)
        elif turn % _STRADDLE_PERIOD == 0:
            score = _straddle(joint, levels)
        else:
            score = _look_ahead(joint, targets.level, targets.weight)
        # Where every value of an integer axis is taken, one is repeated.
        free = distance > _MIN_DISTANCE**2
        best = int(np.argmax(np.where(free, score, -np.inf) if free.any() else score))
        chosen.append(best)
        joint.expect_candidate(best)
        distance = np.minimum(distance, ((x - x[best]) ** 2).sum(1))
    return points[chosen]


class _Joint:
    """Joint normal distribution of the function at the candidates and the targets.

    Attributes
    ----------
    n:
        Number of candidates.
    mean:
        ``[candidates + targets]``: m.
    covariance:
        ``[candidates, candidates + targets]``.
    """

    def __init__(self, posterior: Posterior, domain: Domain, points: np.ndarray, targets: Targets) -> None:
        self._posterior, self._domain, self.n = posterior, domain, len(points)
        self._x = np.vstack([domain.to_unit(points), targets.x])
        self._f = domain.features(np.vstack([points, domain.from_unit(targets.x)]))
        self.mean, self._root = posterior.mean_and_root(self._x, self._f)
        n, kernel = self.n, posterior.kernel
        self.covariance = kernel(self._x[:n], self._x, self._f[:n], self._f) - self._root[:, :n].T @ self._root
        self._variance = (kernel.variance(self._f) - (self._root**2).sum(0))[n:]

    @property
    def noise(self) -> np.ndarray:
        """The variances v ``[candidates]``."""
        return self._posterior.noise_at(self.mean[: self.n], self.candidate_variance)

    @property
    def candidate_variance(self) -> np.ndarray:
        """The variances s_c^2 ``[candidates]``."""
        return np.maximum(np.diag(self.covariance[:, : self.n]), 0)

    @property
    def target_variance(self) -> np.ndarray:
        """The variances s^2 ``[targets]``, bounded away from zero."""
        return np.maximum(self._variance, 1e-10)

    @property
    def explained(self) -> np.ndarray:
        """The shares rho^2 ``[candidates, targets]``, bounded away from one."""
        return np.minimum(
            self.covariance[:, self.n :] ** 2 / np.outer(self.candidate_variance + self.noise, self.target_variance),
            0.9999,
        )

    def expect(self, points: np.ndarray) -> None:
        """Reduce the covariances as if points ``[n, axes]`` had been observed at their mean."""
        if not len(points):
            return
        kernel, n = self._posterior.kernel, self.n
        x, f = self._domain.to_unit(points), self._domain.features(points)
        mean, root = self._posterior.mean_and_root(x, f)
        among = kernel(x, x, f, f) - root.T @ root
        among[np.diag_indices_from(among)] += self._posterior.noise_at(mean, np.maximum(np.diag(among), 0))
        toward = kernel(x, self._x, f, self._f) - root.T @ self._root
        half = solve_triangular(cholesky(among, lower=True), toward, lower=True)
        self.covariance -= half[:, :n].T @ half
        self._variance -= (half[:, n:] ** 2).sum(0)

    def expect_candidate(self, i: int) -> None:
        """Reduce the covariances as if candidate number ``i`` had been observed at its mean."""
        row = self.covariance[i] / math.sqrt(self.candidate_variance[i] + self.noise[i])
        self._variance = self._variance - row[self.n :] ** 2
        self.covariance -= np.outer(row[: self.n], row)


def _look_ahead(joint: _Joint, level: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the expected fall of the weighted sum of ``p (1 - p)``, for an observation of each candidate.

    The result ``[candidates]`` lacks the factor 1 / (2 pi), which changes no ranking.
    """
    gap = joint.mean[joint.n :] - level
    return np.asarray(expected_gain(joint.explained, gap * gap / joint.target_variance) @ weight)


def _straddle(joint: _Joint, levels: np.ndarray) -> np.ndarray:
    """Return ``1.96 s - |m - level|`` of each candidate, for the level nearest to m."""
    return 1.96 * np.sqrt(joint.candidate_variance) - np.abs(np.subtract.outer(joint.mean[: joint.n], levels)).min(1)


def _ridge(joint: _Joint, weight: np.ndarray) -> np.ndarray:
    """Return the variance where the ridge may run that an observation of each candidate explains."""
    return np.asarray((joint.explained * joint.target_variance) @ weight)


def expected_gain(explained: np.ndarray, z2: np.ndarray) -> np.ndarray:
    """Return the integral over t of the module's notation, by Gauss-Legendre quadrature.

    Parameters
    ----------
    explained:
        rho^2 ``[candidates, targets]``.
    z2:
        z^2 ``[targets]``.

    Returns
    -------
    numpy.ndarray
        ``[candidates, targets]``; divided by 2 pi it is the expected fall of ``p (1 - p)``.
    """
    half = 0.5 * np.arcsin(explained.astype(np.float32))  # single precision is enough for a ranking
    z2 = z2.astype(np.float32)
    total = np.zeros_like(half)
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        total += np.float32(weight) * np.exp(-z2 / (1 + np.sin(half * np.float32(1 + node))))
    return total * half
