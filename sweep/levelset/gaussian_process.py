"""Gaussian process regression: condition on observations, predict, and draw functions.

Observations may be noisy, each to its own degree, and some may be lower bounds only.

==========  ========================================================================  ====================  ============
symbol      meaning                                                                   shape                 source
==========  ========================================================================  ====================  ============
x           positions of the observations, each axis mapped to [0, 1]                 ``[n, axes]``
y           observed values, standardised                                             ``[n]``
F           features: known functions at x (a theory, a cheaper measurement), each    ``[n, features]``     GPML 2.40,
            with an unknown coefficient of unit variance; the first is the constant                         B = I
l, s^2      lengths and variance of the Matern-5/2 kernel                             ``[axes]``, scalar    GPML 4.17
r           distance of two positions after division by l / sqrt(5)                   ``[n, n]``
K           covariance of the function: ``s^2 (1 + r + r^2/3) exp(-r) + F F^T``       ``[n, n]``            GPML 4.17
v           variance of each observation about the function: a fitted part, the       ``[n]``
            same for all, and what is known of each
L           lower Cholesky factor of ``K + diag(v)``                                  ``[n, n]``
alpha       ``(K + diag(v))^-1 y``                                                    ``[n]``               GPML 2.25
K*          covariance of the function at the observations and at m new positions     ``[n, m]``
mean        ``K*^T alpha``                                                            ``[m]``               GPML 2.25
R           ``L^-1 K*``; the posterior covariance is ``K** - R^T R``                  ``[n, m]``            GPML 2.26
==========  ========================================================================  ====================  ============

Lower bounds enter by expectation propagation (GPML section 3.6), where the
likelihood "the noisy value lies above its bound" takes the place of the probit.

References
----------
GPML: Rasmussen and Williams 2006, "Gaussian Processes for Machine Learning", MIT Press.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.special import log_ndtr

JITTER = 1e-8  # variance added to every observation, so that matrices stay definite in spite of rounding
_MAX_EP_ROUNDS = 6  # of expectation propagation; more change little
_EP_TOLERANCE = 0.01  # standard deviations by which a mean may still move when expectation propagation ends
_BLOCK_ROWS = 64  # rows of a kernel matrix computed at a time, so that they fit into the cache


@dataclass(frozen=True)
class Observations:
    """Observations of a function, in the notation of the module.

    Attributes
    ----------
    x:
        ``[n, axes]``: positions.
    y:
        ``[n]``: values, or lower bounds.
    variance:
        ``[n]``: the known part of v.
    bound:
        ``[n]``: whether y is a lower bound.
    features:
        ``[n, features]``: F.
    """

    x: np.ndarray
    y: np.ndarray
    variance: np.ndarray
    bound: np.ndarray
    features: np.ndarray

    def __len__(self) -> int:
        """Return the number of observations."""
        return len(self.y)

    def __getitem__(self, keep: np.ndarray) -> "Observations":
        """Return the observations that a mask or an array of indices selects."""
        return Observations(*(a[keep] for a in (self.x, self.y, self.variance, self.bound, self.features)))


@dataclass(frozen=True)
class Kernel:
    """Kernel with given hyper-parameters.

    Attributes
    ----------
    length:
        ``[axes]``: l.
    signal:
        s^2.
    noise:
        The fitted part of v.
    """

    length: np.ndarray
    signal: float = 1.0
    noise: float = 1e-2

    def __call__(self, a: np.ndarray, b: np.ndarray, fa: np.ndarray, fb: np.ndarray) -> np.ndarray:
        """Return the covariances of the function at two sets of positions.

        Parameters
        ----------
        a, b:
            Positions ``[len(a), axes]`` and ``[len(b), axes]``.
        fa, fb:
            Their features, ``[len(a), features]`` and ``[len(b), features]``.

        Returns
        -------
        numpy.ndarray
            ``[len(a), len(b)]``.
        """
        a, b = a * (math.sqrt(5) / self.length), b * (math.sqrt(5) / self.length)
        squares_b = (b * b).sum(1)
        out = np.empty((len(a), len(b)))
        for i in range(0, len(a), _BLOCK_ROWS):
            rows = slice(i, i + _BLOCK_ROWS)
            r = a[rows] @ b.T
            r *= -2
            r += squares_b
            r += (a[rows] * a[rows]).sum(1)[:, None]
            np.sqrt(np.maximum(r, 0, out=r), out=r)
            decay = np.exp(-r)
            decay *= self.signal
            out[rows] = r
            r *= 1 / 3
            r += 1
            out[rows] *= r
            out[rows] += 1
            out[rows] *= decay
            out[rows] += fa[rows] @ fb.T
        return out

    def variance(self, features: np.ndarray) -> np.ndarray:
        """Return the prior variances ``[n]`` of the function at positions with features ``[n, features]``."""
        return self.signal + (features * features).sum(1)


class Posterior:
    """Gaussian process conditioned on observations.

    Parameters
    ----------
    kernel:
        Kernel, as by `fitting.fit_kernels`.
    data:
        At least one observation.

    Attributes
    ----------
    data:
        The observations, with every lower bound replaced by an equivalent noisy value.
    """

    def __init__(self, kernel: Kernel, data: Observations) -> None:
        self.kernel = kernel
        if data.bound.any():
            data = _without_bounds(kernel, data)
        self.data = data
        self._factor = _factor(kernel, data)
        self._alpha = cho_solve((self._factor, True), data.y, check_finite=False)

    def noise_at(self, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Return the variance ``[m]`` of the noise of an observation where mean and variance ``[m]`` are these."""
        return np.full(len(mean), self.kernel.noise + JITTER)

    def mean(self, x: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Return the posterior mean ``[m]`` at positions ``[m, axes]`` with features ``[m, features]``."""
        return np.asarray(self.kernel(x, self.data.x, features, self.data.features) @ self._alpha)

    def mean_and_root(self, x: np.ndarray, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the posterior mean ``[m]`` and R ``[n, m]``; the data explain R^T R of the prior covariance."""
        cross = self.kernel(self.data.x, x, self.data.features, features)
        root = solve_triangular(self._factor, cross, lower=True, check_finite=False)
        return cross.T @ self._alpha, root

    def mean_and_deviation(self, x: np.ndarray, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the posterior mean and standard deviation of the function without noise, ``[m]`` each."""
        mean, root = self.mean_and_root(x, features)
        explained = np.einsum("ij,ij->j", root, root)
        return mean, np.sqrt(np.maximum(self.kernel.variance(features) - explained, 1e-12))

    def sample(self, x: np.ndarray, features: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return ``[count, m]``: functions drawn from the posterior, jointly at m positions."""
        mean, root = self.mean_and_root(x, features)
        covariance = self.kernel(x, x, features, features) - root.T @ root
        factor = _root(covariance, 1e-10 * self.kernel.signal)
        return mean + rng.standard_normal((count, len(x))) @ factor.T

    def reweighted(self, x: np.ndarray, features: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the posterior means ``[draws, m]`` for other weights ``[draws, n]`` of the observations.

        A weight of 2 halves the noise of an observation, as if it had been made twice.
        """
        d = self.data
        kernel, cross = self.kernel(d.x, d.x, d.features, d.features), self.kernel(d.x, x, d.features, features)
        means = np.empty((len(weights), len(x)))
        for i, w in enumerate(weights):
            covariance = kernel.copy()
            noise = (self.kernel.noise + d.variance) / np.maximum(w, 1e-6) + JITTER
            covariance[np.diag_indices_from(covariance)] += noise
            factor = cholesky(covariance, lower=True, overwrite_a=True, check_finite=False)
            means[i] = cross.T @ cho_solve((factor, True), d.y, check_finite=False)
        return means


def _root(covariance: np.ndarray, jitter: float) -> np.ndarray:
    """Return the lower Cholesky factor of a covariance, with ten times more jitter until rounding does no harm."""
    while True:
        try:
            return np.asarray(cholesky(covariance + jitter * np.eye(len(covariance)), lower=True))
        except np.linalg.LinAlgError:
            jitter *= 10


def _factor(kernel: Kernel, data: Observations) -> np.ndarray:
    covariance = kernel(data.x, data.x, data.features, data.features)
    covariance[np.diag_indices_from(covariance)] += kernel.noise + data.variance + JITTER
    return cholesky(covariance, lower=True, overwrite_a=True, check_finite=False)


def _without_bounds(kernel: Kernel, data: Observations) -> Observations:
    """Return the observations with each lower bound replaced by a value and its variance.

    Expectation propagation chooses them so that the posterior has nearly the mean and variance that the bounds imply.
    """
    seen, hidden = data[~data.bound], data[data.bound]
    prior, mean = kernel(hidden.x, hidden.x, hidden.features, hidden.features), np.zeros(len(hidden))
    if len(seen):
        mean, root = Posterior(kernel, seen).mean_and_root(hidden.x, hidden.features)
        prior -= root.T @ root
    prior[np.diag_indices_from(prior)] += JITTER
    noise = kernel.noise + hidden.variance
    precision = np.full(len(hidden), 1e-6)  # of the sites, the normal factors that stand in for the bounds
    shift = np.zeros(len(hidden))  # precision times mean
    for _ in range(_MAX_EP_ROUNDS):
        # Marginals of N(mean, prior) times the sites, by the well-conditioned I + S^1/2 prior S^1/2 with the
        # diagonal matrix S of the precisions.
        root_precision = np.sqrt(precision)
        inner = root_precision[:, None] * prior * root_precision
        inner[np.diag_indices_from(inner)] += 1
        half = solve_triangular(cholesky(inner, lower=True), root_precision[:, None] * prior, lower=True)
        covariance = prior - half.T @ half
        center = mean + covariance @ (shift - precision * mean)
        marginal = np.maximum(np.diag(covariance), 1e-12)
        # The cavity: the same without the site itself (GPML 3.56).
        cavity = 1 / np.maximum(1 / marginal - precision, 1e-12)
        cavity_mean = cavity * (center / marginal - shift)
        spread = np.sqrt(cavity + noise)
        z = (cavity_mean - hidden.y) / spread
        # Mean and variance of the cavity times the likelihood (GPML 3.58), and the site that gives them (3.59).
        hazard = np.exp(-0.5 * z * z - 0.5 * math.log(2 * math.pi) - log_ndtr(z))
        tilted_mean = cavity_mean + cavity * hazard / spread
        tilted = np.maximum(cavity - cavity**2 * hazard * (z + hazard) / spread**2, 1e-3 * cavity)
        precision = np.maximum(1 / tilted - 1 / cavity, 1e-6)
        shift = tilted_mean / tilted - cavity_mean / cavity
        if np.all(np.abs(tilted_mean - center) < _EP_TOLERANCE * np.sqrt(marginal)):
            break
    y, variance = data.y.copy(), data.variance.copy()
    y[data.bound], variance[data.bound] = shift / precision, np.maximum(1 / precision - kernel.noise, 0.0)
    return replace(data, y=y, variance=variance, bound=np.zeros(len(data), dtype=bool))
