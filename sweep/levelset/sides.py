"""Observations of which only the side of the level counts: the probit likelihood by expectation propagation.

==========  ========================================================================  ====================  ============
symbol      meaning                                                                   shape                 source
==========  ========================================================================  ====================  ============
f           the function at the positions of the observations                         ``[n]``
K           its prior covariance, as in `gaussian_process`                            ``[n, n]``
eta         the fitted part of the noise                                              scalar
v           variance of the noise: eta, and what is known; an observation lies above   ``[n]``               GPML 3.9
            0 with probability ``Phi(f / sqrt(v))``
c           number of observations above and below                                    ``[2, n]``
tau, nu     sites, the normal factors that stand in for the observations of a         ``[n]``               GPML 3.52
            position: precision, and precision times mean
cavity      posterior of f at a position without the observations there               ``[n]``               GPML 3.56
Z           probability of the observations of a position under its cavity; of a      ``[n]``               GPML 3.58
            single one, ``Phi(z)``, ``z = +-mean / sqrt(variance + v)``
R, alpha    ``(K + 1/tau)^-1`` and ``R nu / tau``                                     ``[n, n]``, ``[n]``   GPML 3.64
==========  ========================================================================  ====================  ============

All sites are updated at once. Observations at one position share f, and one site.

References
----------
GPML: Rasmussen and Williams 2006, "Gaussian Processes for Machine Learning", MIT Press. Minka 2001, "A family of
algorithms for approximate Bayesian inference", PhD thesis, MIT. Walker and Ni 2011, "Anderson acceleration for
fixed-point iterations", SIAM Journal on Numerical Analysis 49(4).
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky
from scipy.linalg.lapack import dpotri, dtrtri
from scipy.special import log_ndtr

from sweep.levelset.gaussian_process import JITTER, Kernel, Observations, Posterior

_MIN_PRECISION = 1e-8  # of a site; rounding would make some negative
_MAX_ROUNDS = 60  # of expectation propagation
_FIRST_STEP = 0.5  # part of the sites that each position would have on its own
_STEP, _MIXED, _MAX_STEP = 0.6, 4, 6.0  # of the mixing: part of a full step, rounds that are mixed, longest step
_TOLERANCE = 1e-2  # of expectation propagation where no gradient is needed
_MODE_STEPS = 6  # of Newton's method to where the product of cavity and likelihood is largest
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(20)
_EDGES = np.linspace(-9, 9, 721)  # of the cells of normal variables over which integrals are summed
_LOG_WEIGHTS = np.log(_WEIGHTS / _WEIGHTS.sum())
_LOG_ROOT_2_PI = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True)
class Sides:
    """Observations of the side on which a noisy function lies, in the notation of the module.

    Attributes
    ----------
    x:
        ``[n, axes]``: positions.
    features:
        ``[n, features]``, as in `gaussian_process`.
    count:
        ``[2, n]``: c.
    variance:
        ``[n]``: the known part of v.
    """

    x: np.ndarray
    features: np.ndarray
    count: np.ndarray
    variance: np.ndarray

    def __len__(self) -> int:
        """Return the number of positions."""
        return len(self.x)

    def __getitem__(self, keep: np.ndarray) -> "Sides":
        """Return the observations that a mask or an array of indices selects."""
        return Sides(self.x[keep], self.features[keep], self.count[:, keep], self.variance[keep])


@dataclass(frozen=True)
class Propagated:
    """The result of expectation propagation, in the notation of the module.

    Attributes
    ----------
    precision, shift:
        ``[n]``: tau and nu.
    alpha:
        ``[n]``.
    inverse:
        ``[n, n]``: R.
    log_side:
        ``[n]``: log Z.
    log_evidence:
        Logarithm of the probability of all sides.
    noise_slope:
        Derivative of the evidence's logarithm by log(eta).
    """

    precision: np.ndarray
    shift: np.ndarray
    alpha: np.ndarray
    inverse: np.ndarray
    log_side: np.ndarray
    log_evidence: float
    noise_slope: float


def propagate(
    prior: np.ndarray,
    data: Sides,
    noise: float,
    start: tuple[np.ndarray, np.ndarray] | None = None,
    tolerance: float = 1e-3,
) -> Propagated:
    """Approximate the posterior of the function by expectation propagation.

    Parameters
    ----------
    prior:
        ``[n, n]``: K.
    data:
        The observations.
    noise:
        eta.
    start:
        tau and nu to start from, of a similar kernel; by default, sites that say next to nothing.
    tolerance:
        Change of the means, in standard deviations, and of the logarithms of the variances at which the iteration ends.

    Returns
    -------
    Propagated
        After 60 rounds at most.
    """
    likelihood = _Likelihood(data, noise)
    if start is None:
        alone = likelihood.moments(np.zeros(len(data)), np.diag(prior))
        start = _FIRST_STEP * alone.precision, _FIRST_STEP * alone.shift
    (precision, shift), mixing, before = start, _Mixing(), None
    for _ in range(_MAX_ROUNDS):
        state = _State(prior, likelihood, precision, shift)
        if before and state.change_since(before) < tolerance:
            break
        before = state
        wanted = _coordinates(state.moments.precision, state.moments.shift)
        log_precision, scaled = np.split(mixing.next(_coordinates(precision, shift), wanted), 2)
        precision = np.exp(log_precision)
        shift = scaled * np.sqrt(precision)
    return state.result()


def _coordinates(precision: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return ``[2 n]`` coordinates of sites in which steps of one size are as good everywhere."""
    return np.concatenate([np.log(precision), shift / np.sqrt(precision)])


class _Mixing:
    """Anderson's mixing (Walker and Ni 2011), which ends the oscillations that updates of all sites at once cause."""

    def __init__(self) -> None:
        self._points: list[np.ndarray] = []
        self._residuals: list[np.ndarray] = []

    def next(self, point: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Return the next point, given the last one and the one that it leads to without mixing."""
        residual = wanted - point
        self._points = [*self._points, point][-_MIXED:]
        self._residuals = [*self._residuals, residual][-_MIXED:]
        plain = point + _STEP * residual
        if len(self._points) < _MIXED:
            return plain
        points, residuals = np.diff(self._points, axis=0).T, np.diff(self._residuals, axis=0).T
        share = np.linalg.lstsq(residuals, residual, rcond=1e-8)[0]
        mixed = plain - (points + _STEP * residuals) @ share
        return mixed if np.abs(mixed - point).max() < _MAX_STEP else plain


class _State:
    """The posterior, the cavities and what the likelihood makes of them, for given sites."""

    def __init__(self, prior: np.ndarray, likelihood: "_Likelihood", precision: np.ndarray, shift: np.ndarray) -> None:
        self._precision, self._shift = precision, shift
        root = np.sqrt(precision)
        # The well-conditioned I + T^1/2 K T^1/2; with its inverse B, the variances are (1 - diag(B)) / tau.
        inner = prior * root
        inner *= root[:, None]
        inner[np.diag_indices_from(inner)] += 1
        factor = cholesky(inner.T, lower=True, overwrite_a=True, check_finite=False)  # of the transpose: no copy
        self._log_determinant = 2 * float(np.log(np.diag(factor)).sum())
        self.alpha = root * cho_solve((factor, True), shift / root, check_finite=False)
        self.mean = prior @ self.alpha
        self._factor, self._root = factor, root
        self.variance = np.maximum((1 - (dtrtri(factor, lower=1)[0] ** 2).sum(0)) / precision, 1e-12)
        self._cavity = 1 / np.maximum(1 / self.variance - precision, 1e-3 / np.diag(prior))
        self._cavity_mean = self._cavity * (self.mean / self.variance - shift)
        self.moments = likelihood.moments(self._cavity_mean, self._cavity)

    def change_since(self, before: "_State") -> float:
        """Return the largest change of a mean, in standard deviations, or of the logarithm of a variance."""
        means = np.abs(self.mean - before.mean) / np.sqrt(self.variance)
        return float(np.maximum(means, np.abs(np.log(self.variance / before.variance))).max())

    def result(self) -> Propagated:
        """Return the sites with the evidence and what its gradient needs."""
        terms = self.moments.log_side + 0.5 * (
            self._cavity_mean**2 / self._cavity
            + np.log(self._cavity)
            - self.mean**2 / self.variance
            - np.log(self.variance)
        )
        evidence = 0.5 * (self.mean @ self._shift - self._log_determinant) + terms.sum()
        lower = dpotri(self._factor, lower=1, overwrite_c=1)[0]
        inverse = (np.tril(lower) + np.tril(lower, -1).T) * np.outer(self._root, self._root)
        return Propagated(
            self._precision,
            self._shift,
            self.alpha,
            inverse,
            self.moments.log_side,
            float(evidence),
            float(self.moments.noise_slope.sum()),
        )


@dataclass(frozen=True)
class _Moments:
    """What the likelihood makes of cavities.

    Attributes
    ----------
    log_side:
        ``[n]``: log Z.
    precision, shift:
        ``[n]``: tau and nu of the sites that give the product of cavity and likelihood its mean and variance.
    noise_slope:
        ``[n]``: derivative of log Z by log(eta).
    """

    log_side: np.ndarray
    precision: np.ndarray
    shift: np.ndarray
    noise_slope: np.ndarray


class _Likelihood:
    """Probability of the observations of each position, given the function there.

    Where they all lie on one side, ``Phi(z)^c`` is the distribution of the largest of c normal variables. It is taken
    for normal, which makes of c observations one with another level and less noise.
    """

    def __init__(self, data: Sides, noise: float) -> None:
        self._noise, self._v, self._count = noise, noise + data.variance, data.count
        self._sign = np.where(data.count[0] > data.count[1], 1.0, -1.0)
        self._many = data.count.min(0) > 0
        mean, variance = _largest_of(data.count.max(0))
        self._level, self._own = mean * np.sqrt(self._v), variance * self._v

    def moments(self, mean: np.ndarray, variance: np.ndarray) -> _Moments:
        """Return the moments for cavities with means and variances ``[n]``."""
        spread2 = variance + self._own
        z = (self._sign * mean - self._level) / np.sqrt(spread2)
        log_side, slope = _log_and_slope(z)
        first = self._sign * slope / np.sqrt(spread2)
        second = slope * (slope + z) / spread2
        left = np.maximum(1 - second * variance, 1e-6)
        by_noise = -0.5 * slope * (self._level / np.sqrt(spread2) + z * self._own / spread2)
        found = _Moments(log_side, second / left, (first + mean * second) / left, by_noise)
        if self._many.any():
            many = self._many
            part = _of_many(mean[many], variance[many], self._count[:, many], self._v[many])
            for name, values in vars(part).items():
                getattr(found, name)[many] = values
        np.maximum(found.precision, _MIN_PRECISION, out=found.precision)
        np.multiply(found.noise_slope, self._noise / self._v, out=found.noise_slope)
        return found


def _largest_of(count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the variance ``[n]`` of the largest of so many standard normal variables."""
    if (count == 1).all():
        return np.zeros_like(count), np.ones_like(count)
    different, back = np.unique(count, return_inverse=True)
    density = np.diff(np.exp(different[:, None] * log_ndtr(_EDGES)), axis=1)
    middle = (_EDGES[1:] + _EDGES[:-1]) / 2
    mean = density @ middle
    return mean[back], (density @ middle**2 - mean**2)[back]


def _of_many(mean: np.ndarray, variance: np.ndarray, count: np.ndarray, v: np.ndarray) -> _Moments:
    """Return the moments of observations on both sides, by Gauss-Hermite quadrature around the mode."""
    root = np.sqrt(v)
    center = mean
    for _ in range(_MODE_STEPS):
        z = center / root
        up, down = _log_and_slope(z)[1], _log_and_slope(-z)[1]
        curvature = 1 / variance + (count[0] * up * (up + z) + count[1] * down * (down - z)) / v
        center = center + ((mean - center) / variance + (count[0] * up - count[1] * down) / root) / curvature
    width = 1 / np.sqrt(curvature)
    f = center[:, None] + width[:, None] * _NODES
    z = f / root[:, None]
    (above, up), (below, down) = _log_and_slope(z), _log_and_slope(-z)
    above_count, below_count = count[:, :, None]
    log_weight = _LOG_WEIGHTS + 0.5 * (_NODES**2 - (f - mean[:, None]) ** 2 / variance[:, None])
    log_weight += above_count * above + below_count * below
    largest = log_weight.max(1)
    weight = np.exp(log_weight - largest[:, None])
    total = weight.sum(1)
    weight /= total[:, None]
    log_side = largest + np.log(total * width / np.sqrt(variance))
    first = (weight * f).sum(1)
    second = (weight * (f - first[:, None]) ** 2).sum(1)
    by_noise = -0.5 * (weight * z * (above_count * up - below_count * down)).sum(1)
    return _Moments(log_side, 1 / second - 1 / variance, first / second - mean / variance, by_noise)


def _log_and_slope(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``log(Phi(z))`` and its derivative by z."""
    log_side = log_ndtr(z)
    return log_side, np.exp(-0.5 * z * z - _LOG_ROOT_2_PI - log_side)


class SidePosterior(Posterior):
    """Gaussian process conditioned on sides, through sites that stand in for them as noisy values.

    Parameters
    ----------
    kernel:
        Kernel, as by `fit_side_kernels`.
    data:
        At least one observation.
    draws:
        Number of yes-or-no observations that the next observation of a point is expected to consist of.
    """

    def __init__(self, kernel: Kernel, data: Sides, draws: float = 1.0) -> None:
        prior = kernel(data.x, data.x, data.features, data.features)
        sites = propagate(prior, data, kernel.noise, tolerance=_TOLERANCE)
        self._draws = draws
        y, variance = sites.shift / sites.precision, 1 / sites.precision - kernel.noise
        super().__init__(kernel, Observations(data.x, y, variance, np.zeros(len(data), dtype=bool), data.features))

    def noise_at(self, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Return the variance of the noise of a value that would tell as much as the side.

        It is the one by which the variance of the function is expected to fall as much. With the probability p of the
        side above and the normal density phi at its z, it is ``(variance + eta) p (1 - p) / phi^2 - variance``.
        """
        spread2 = variance + self.kernel.noise
        z2 = mean * mean / spread2
        log_ratio = log_ndtr(np.sqrt(z2)) + log_ndtr(-np.sqrt(z2)) + z2 + 2 * _LOG_ROOT_2_PI
        return (spread2 * np.exp(np.minimum(log_ratio, 60.0)) - variance) / self._draws + JITTER
