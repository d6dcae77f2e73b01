"""A Gaussian process: fit, condition, predict, draw. Observations may be noisy, unequally so, or lower bounds.

==========  ========================================================================  ===========================
symbol      meaning                                                                   shape
==========  ========================================================================  ===========================
x           places, each axis mapped to [0, 1]                                        ``[n, axes]``
y           observed values, standardised                                             ``[n]``
F           known functions (a theory, a cheaper measurement), each with an unknown   ``[n, features]``
            coefficient of unit variance; the first is the constant
l, s^2      lengths and variance of the Matern-5/2 kernel                             ``[axes]``, scalar
v           variance of an observation about the function: fitted plus what is given  ``[n]``
K           s^2 Matern(x, x') + F F^T                                                 ``[n, n]``
==========  ========================================================================  ===========================

Lengths, s^2 and the fitted part of v maximise the posterior (Rasmussen and Williams 2006, section 5.4, with log-normal
priors) by scipy's L-BFGS-B. Lower bounds enter by expectation propagation (section 3.6, with the probit's place taken
by "the observation lies above its bound").
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize
from scipy.special import log_ndtr
from threadpoolctl import threadpool_limits

JITTER = 1e-8  # variance added to every observation, so that a matrix is definite in spite of rounding
_MEANS = {"length": math.log(0.5), "signal": 0.0, "noise": math.log(1e-3)}  # of the priors, of logarithms
_WIDTHS = {"length": 1.2, "signal": 3.0, "noise": 3.0}
_BOUNDS = {"length": (0.02, 30.0), "signal": (1e-2, 1e4), "noise": (1e-7, 2.0)}
_STARTS = (0.3, 1.0)  # lengths that the search for the best begins with
_UNAMBIGUOUS = 100  # observations from which on the first start is enough
_SEEN_ENOUGH = 8  # observations that are no bounds, for a kernel to be fitted to them alone
_ROUNDS = 6  # of expectation propagation; more change little
_SETTLED = 0.01  # standard deviations that a mean may still move
_STEP = 1e-3  # of a logarithm, to see a curvature by
_FIT_ROUNDS = 40  # steps of L-BFGS-B at most
_BLOCK = 64  # rows of a kernel matrix made at a time: what fits into the cache


@dataclass(frozen=True)
class Observations:
    """What is known, as in the notation above.

    ``variance [n]`` is what is given of the noise, ``bound [n]`` whether y is a lower bound, ``features`` are F.
    """

    x: np.ndarray
    y: np.ndarray
    variance: np.ndarray
    bound: np.ndarray
    features: np.ndarray

    def __len__(self) -> int:
        """How many."""
        return len(self.y)

    def __getitem__(self, keep: np.ndarray) -> "Observations":
        """Some of them."""
        return Observations(*(a[keep] for a in (self.x, self.y, self.variance, self.bound, self.features)))


@dataclass(frozen=True)
class Kernel:
    """Hyper-parameters: ``length [axes]``, variances of the signal and of the noise."""

    length: np.ndarray
    signal: float = 1.0
    noise: float = 1e-2

    def __call__(self, a: np.ndarray, b: np.ndarray, fa: np.ndarray, fb: np.ndarray) -> np.ndarray:
        """``[len(a), len(b)]`` covariances of the function at two sets of places, with their features."""
        a, b = a * (math.sqrt(5) / self.length), b * (math.sqrt(5) / self.length)
        squares_b = (b * b).sum(1)
        out = np.empty((len(a), len(b)))
        for i in range(0, len(a), _BLOCK):
            rows = slice(i, i + _BLOCK)
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
        """``[n]`` prior variances of the function at places with these features."""
        return self.signal + (features * features).sum(1)


def fitted(data: Observations, others: int = 0) -> list[Kernel]:
    """Return the kernel that fits best, then ``others`` that fit nearly as well. They depend on nothing but the data.

    Lower bounds are left out: different bounds at one place would pass for noise. Where there is little else, it is the
    kernel to be expected before anything is known.
    """
    if data.bound.any():
        data = data[~data.bound]
        if len(data) < _SEEN_ENOUGH:
            return [Kernel(np.full(data.x.shape[1], 0.5 * math.sqrt(data.x.shape[1])))] * (1 + others)
    loss = _Loss(data)
    best = _minimum(loss, _STARTS if len(data) < _UNAMBIGUOUS else _STARTS[:1])
    return [loss.kernel(theta) for theta in [best, *_near(loss, best, others)]]


class _Loss:
    """Minus the log of the posterior density of a kernel, but for a constant, and its gradient.

    Its argument theta ``[axes + 2]`` holds the logarithms of the lengths, of s^2 and of the fitted part of v.
    """

    def __init__(self, data: Observations) -> None:
        self._data, self._axes = data, data.x.shape[1]
        self._squares = np.stack([np.subtract.outer(c, c) ** 2 for c in data.x.T])
        self._linear = data.features @ data.features.T
        names = ["length"] * self._axes + ["signal", "noise"]
        self._mean, self.width = (np.array([table[n] for n in names]) for table in (_MEANS, _WIDTHS))
        # Distances grow with the number of axes, and what varies along each of many varies slowly along one.
        self._mean[: self._axes] += 0.5 * math.log(self._axes)
        self.bounds = np.log([_BOUNDS[n] for n in names])

    def __call__(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        axes, data = self._axes, self._data
        scaled = self._squares * (5 * np.exp(-2 * theta[:axes]))[:, None, None]
        r = np.sqrt(scaled.sum(0))
        decay = math.exp(theta[axes]) * np.exp(-r)
        signal = (1 + r + r * r / 3) * decay
        noise = math.exp(theta[-1])
        covariance = signal + self._linear
        covariance[np.diag_indices_from(covariance)] += noise + data.variance + JITTER
        try:
            factor = cholesky(covariance, lower=True, overwrite_a=True, check_finite=False)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(theta)
        alpha = cho_solve((factor, True), data.y, check_finite=False)
        value = 0.5 * data.y @ alpha + np.log(np.diag(factor)).sum()
        inverse = dpotri(factor, lower=1, overwrite_c=1)[0]
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        inverse -= np.outer(alpha, alpha)
        slope = inverse * (1 + r) * decay / 3
        gradient = np.array(
            [*(0.5 * (slope * s).sum() for s in scaled), 0.5 * (inverse * signal).sum(), 0.5 * noise * inverse.trace()]
        )
        off = (theta - self._mean) / self.width
        return float(value + 0.5 * off @ off), gradient + off / self.width

    def within_bounds(self, theta: np.ndarray) -> np.ndarray:
        return np.clip(theta, *self.bounds.T)

    def start(self, length: float) -> np.ndarray:
        return self.within_bounds(np.array([*[math.log(length)] * self._axes, 0.0, math.log(1e-2)]))

    def kernel(self, theta: np.ndarray) -> Kernel:
        return Kernel(np.exp(theta[: self._axes]), math.exp(theta[self._axes]), math.exp(theta[-1]))


def _minimum(loss: _Loss, lengths: Sequence[float]) -> np.ndarray:
    """Return the best theta of several searches, each of which begins with a length."""
    best = None
    for length in lengths:
        with threadpool_limits(1):  # many small matrices: threads would wait for each other
            end = minimize(
                loss,
                loss.start(length),
                jac=True,
                method="L-BFGS-B",
                bounds=loss.bounds,
                options={"maxiter": _FIT_ROUNDS, "ftol": 1e-6},
            )
        if best is None or end.fun < best.fun - 1e-6:
            best = end
    assert best is not None
    return np.asarray(best.x)


def _near(loss: _Loss, best: np.ndarray, count: int) -> np.ndarray:
    """Draw thetas from the normal distribution that has the curvature of the posterior at its maximum."""
    if not count:
        return np.empty((0, len(best)))
    steps = _STEP * np.eye(len(best))
    curvature = np.stack([(loss(best + s)[1] - loss(best - s)[1]) / (2 * _STEP) for s in steps])
    stiffness, directions = np.linalg.eigh((curvature + curvature.T) / 2)
    # No direction is less certain than the priors alone would have it.
    root = directions / np.sqrt(np.maximum(stiffness, 1 / loss.width.max() ** 2))
    normal = np.random.default_rng(0).standard_normal((count, len(best)))
    return loss.within_bounds(best + normal @ root.T)


class Posterior:
    """The process given the observations.

    Parameters
    ----------
    kernel:
        From `fitted`.
    data:
        At least one observation.
    """

    def __init__(self, kernel: Kernel, data: Observations) -> None:
        self.kernel = kernel
        if data.bound.any():
            data = _without_bounds(kernel, data)
        self.data = data
        self._factor = _factor(kernel, data)
        self._alpha = cho_solve((self._factor, True), data.y, check_finite=False)

    def mean(self, x: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Of the function, ``[n]``."""
        return np.asarray(self.kernel(x, self.data.x, features, self.data.features) @ self._alpha)

    def mean_and_root(self, x: np.ndarray, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean ``[n]``, and the root R ``[observations, n]`` of the covariance that the data explain: R^T R."""
        cross = self.kernel(self.data.x, x, self.data.features, features)
        root = solve_triangular(self._factor, cross, lower=True, check_finite=False)
        return cross.T @ self._alpha, root

    def mean_and_deviation(self, x: np.ndarray, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of the function, without noise, ``[n]`` each."""
        mean, root = self.mean_and_root(x, features)
        explained = np.einsum("ij,ij->j", root, root)
        return mean, np.sqrt(np.maximum(self.kernel.variance(features) - explained, 1e-12))

    def sample(self, x: np.ndarray, features: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """``[count, n]`` functions, drawn jointly at ``n`` places."""
        mean, root = self.mean_and_root(x, features)
        covariance = self.kernel(x, x, features, features) - root.T @ root
        factor = _root(covariance, 1e-10 * self.kernel.signal)
        return mean + rng.standard_normal((count, len(x))) @ factor.T

    def reweighted(self, x: np.ndarray, features: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """``[draws, n]`` means had every observation a weight of ``[draws, observations]``: 2 halves its noise."""
        d = self.data
        kernel, cross = self.kernel(d.x, d.x, d.features, d.features), self.kernel(d.x, x, d.features, features)
        found = np.empty((len(weights), len(x)))
        for i, w in enumerate(weights):
            covariance = kernel.copy()
            noise = (self.kernel.noise + d.variance) / np.maximum(w, 1e-6) + JITTER
            covariance[np.diag_indices_from(covariance)] += noise
            factor = cholesky(covariance, lower=True, overwrite_a=True, check_finite=False)
            found[i] = cross.T @ cho_solve((factor, True), d.y, check_finite=False)
        return found


def _root(covariance: np.ndarray, jitter: float) -> np.ndarray:
    """Lower Cholesky factor of a matrix that rounding may have made indefinite, with as little jitter as it takes."""
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
    """Each lower bound as an observation of a value with a variance, such as expectation propagation finds."""
    seen, hidden = data[~data.bound], data[data.bound]
    prior, mean = kernel(hidden.x, hidden.x, hidden.features, hidden.features), np.zeros(len(hidden))
    if len(seen):
        mean, root = Posterior(kernel, seen).mean_and_root(hidden.x, hidden.features)
        prior -= root.T @ root
    prior[np.diag_indices_from(prior)] += JITTER
    noise = kernel.noise + hidden.variance
    precision = np.full(len(hidden), 1e-6)  # of the sites
    shift = np.zeros(len(hidden))  # precision times mean
    for _ in range(_ROUNDS):
        # The marginals of N(mean, prior) times the sites, by the well-conditioned I + S^1/2 prior S^1/2.
        root_precision = np.sqrt(precision)
        inner = root_precision[:, None] * prior * root_precision
        inner[np.diag_indices_from(inner)] += 1
        half = solve_triangular(cholesky(inner, lower=True), root_precision[:, None] * prior, lower=True)
        covariance = prior - half.T @ half
        center = mean + covariance @ (shift - precision * mean)
        marginal = np.maximum(np.diag(covariance), 1e-12)
        cavity = 1 / np.maximum(1 / marginal - precision, 1e-12)
        cavity_mean = cavity * (center / marginal - shift)
        spread = np.sqrt(cavity + noise)
        z = (cavity_mean - hidden.y) / spread
        hazard = np.exp(-0.5 * z * z - 0.5 * math.log(2 * math.pi) - log_ndtr(z))
        tilted_mean = cavity_mean + cavity * hazard / spread
        tilted = np.maximum(cavity - cavity**2 * hazard * (z + hazard) / spread**2, 1e-3 * cavity)
        precision = np.maximum(1 / tilted - 1 / cavity, 1e-6)
        shift = tilted_mean / tilted - cavity_mean / cavity
        if np.all(np.abs(tilted_mean - center) < _SETTLED * np.sqrt(marginal)):
            break
    y, variance = data.y.copy(), data.variance.copy()
    y[data.bound], variance[data.bound] = shift / precision, np.maximum(1 / precision - kernel.noise, 0.0)
    return replace(data, y=y, variance=variance, bound=np.zeros(len(data), dtype=bool))
