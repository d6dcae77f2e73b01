"""The choice of the kernel of a Gaussian process.

=======  ==============================================================================  ==============  ==========
symbol   meaning                                                                         shape           source
=======  ==============================================================================  ==============  ==========
theta    logarithms of l, s^2 and the fitted part of the noise of `gaussian_process`,    ``[axes + 2]``
         which is eta of `sides`
Z        probability of the observations: the marginal likelihood                        scalar          GPML 5.8
W        ``K^-1 - alpha alpha^T`` with the covariance K of the observations, or of the   ``[n, n]``      GPML 5.9,
         sites: the derivative of ``-2 log Z`` by K                                                      5.27
=======  ==============================================================================  ==============  ==========

The kernel maximises Z times log-normal priors of l, s^2 and the noise, by scipy's L-BFGS-B. Of sides, s^2 is 1, since
they do not tell on which scale the function varies.

References
----------
GPML: Rasmussen and Williams 2006, see `gaussian_process`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from scipy.linalg import cho_solve, cholesky
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from sweep.levelset.gaussian_process import JITTER, Kernel, Observations
from sweep.levelset.sides import Sides, propagate

_Priors = dict[str, tuple[float, float, tuple[float, float]]]
# Normal priors of the logarithms: mean and standard deviation; and the range of the values themselves.
_VALUE_PRIORS: _Priors = {
    "length": (math.log(0.5), 1.2, (0.02, 30.0)),
    "signal": (0.0, 3.0, (1e-2, 1e4)),
    "noise": (math.log(1e-3), 3.0, (1e-7, 2.0)),
}
_SIDE_PRIORS: _Priors = {
    "length": (math.log(0.5), 1.2, (0.02, 30.0)),
    "signal": (0.0, 3.0, (1.0, 1.0)),
    "noise": (math.log(3e-2), 2.0, (1e-4, 1e2)),
}
_START_LENGTHS = (0.3, 1.0)  # where the searches for the best kernel begin
_ONE_START_FROM = 100  # observations from which on the first start is enough
_MIN_VALUES_TO_FIT = 8  # observations that are no bounds, for a kernel to be fitted
_CURVATURE_STEP = 1e-3  # step in theta for finite differences of the gradient
_MAX_FIT_STEPS = 40  # of L-BFGS-B


def fit_kernels(data: Observations, alternatives: int = 0) -> list[Kernel]:
    """Return the kernel that fits the data best, followed by alternatives that fit nearly as well.

    Parameters
    ----------
    data:
        Observations.
    alternatives:
        Number of further kernels, drawn from an approximate posterior distribution of the kernel.

    Returns
    -------
    list of Kernel
        ``1 + alternatives`` kernels, the same for the same arguments.

    Notes
    -----
    Lower bounds are left out, since different bounds at one position would be mistaken for noise. If fewer than 8
    observations remain, all kernels are the default one, whose lengths are the medians of their priors.
    """
    if data.bound.any():
        data = data[~data.bound]
        if len(data) < _MIN_VALUES_TO_FIT:
            return [Kernel(np.full(data.x.shape[1], 0.5 * math.sqrt(data.x.shape[1])))] * (1 + alternatives)
    loss = _ValueLoss(data)
    best = _minimise(loss, _START_LENGTHS if len(data) < _ONE_START_FROM else _START_LENGTHS[:1])
    return [loss.kernel(theta) for theta in [best, *_draw_near(loss, best, alternatives)]]


def fit_side_kernels(data: Sides, alternatives: int = 0) -> list[Kernel]:
    """Return the kernel that fits sides best, followed by alternatives, as `fit_kernels` does for values."""
    loss = side_loss(data)
    best = _minimise(loss, _START_LENGTHS if len(data) < _ONE_START_FROM else _START_LENGTHS[:1])
    return [loss.kernel(theta) for theta in [best, *_draw_near(loss, best, alternatives)]]


def side_loss(data: Sides) -> "_Loss":
    """Return the loss that `fit_side_kernels` minimises: a function of theta that returns its value and gradient."""
    return _SideLoss(data)


class _Loss(ABC):
    """Loss of a kernel: minus the logarithm of its posterior density, up to a constant.

    A call with theta ``[axes + 2]`` returns the loss and its gradient ``[axes + 2]`` (GPML 5.8, 5.9, and the priors).
    """

    def __init__(self, x: np.ndarray, features: np.ndarray, priors: _Priors) -> None:
        self._axes = x.shape[1]
        self._squares = np.stack([np.subtract.outer(c, c) ** 2 for c in x.T])
        self._linear = features @ features.T
        names = ["length"] * self._axes + ["signal", "noise"]
        self._mean, self.width = (np.array([priors[n][i] for n in names]) for i in (0, 1))
        # Distances grow with the number of axes, so lengths are expected to grow alike.
        self._mean[: self._axes] += 0.5 * math.log(self._axes)
        self.bounds = np.log([priors[n][2] for n in names])

    def __call__(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        axes = self._axes
        scaled = self._squares * (5 * np.exp(-2 * theta[:axes]))[:, None, None]
        r = np.sqrt(scaled.sum(0))
        decay = math.exp(theta[axes]) * np.exp(-r)
        signal = (1 + r + r * r / 3) * decay
        try:
            value, weight, by_noise = self._of_covariance(signal + self._linear, math.exp(theta[-1]))
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(theta)
        slope = weight * (1 + r) * decay / 3
        gradient = np.array([*(0.5 * (slope * s).sum() for s in scaled), 0.5 * (weight * signal).sum(), by_noise])
        off = (theta - self._mean) / self.width
        return float(value + 0.5 * off @ off), gradient + off / self.width

    @abstractmethod
    def _of_covariance(self, covariance: np.ndarray, noise: float) -> tuple[float, np.ndarray, float]:
        """Return ``-log Z``, W, and the derivative of ``-log Z`` by the logarithm of the noise."""

    def within_bounds(self, theta: np.ndarray) -> np.ndarray:
        return np.clip(theta, *self.bounds.T)

    def start(self, length: float) -> np.ndarray:
        return self.within_bounds(np.array([*[math.log(length)] * self._axes, 0.0, math.log(1e-2)]))

    def kernel(self, theta: np.ndarray) -> Kernel:
        return Kernel(np.exp(theta[: self._axes]), math.exp(theta[self._axes]), math.exp(theta[-1]))


class _ValueLoss(_Loss):
    """Loss of a kernel for values."""

    def __init__(self, data: Observations) -> None:
        super().__init__(data.x, data.features, _VALUE_PRIORS)
        self._data = data

    def _of_covariance(self, covariance: np.ndarray, noise: float) -> tuple[float, np.ndarray, float]:
        covariance[np.diag_indices_from(covariance)] += noise + self._data.variance + JITTER
        factor = cholesky(covariance, lower=True, overwrite_a=True, check_finite=False)
        alpha = cho_solve((factor, True), self._data.y, check_finite=False)
        value = 0.5 * self._data.y @ alpha + np.log(np.diag(factor)).sum()
        inverse = dpotri(factor, lower=1, overwrite_c=1)[0]
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        inverse -= np.outer(alpha, alpha)
        return float(value), inverse, float(0.5 * noise * inverse.trace())


class _SideLoss(_Loss):
    """Loss of a kernel for sides."""

    def __init__(self, data: Sides) -> None:
        super().__init__(data.x, data.features, _SIDE_PRIORS)
        self._data = data
        self._sites: tuple[np.ndarray, np.ndarray] | None = None

    def _of_covariance(self, covariance: np.ndarray, noise: float) -> tuple[float, np.ndarray, float]:
        # Sites of a kernel tried before are a good start; whatever they were, the end is the same within tolerance.
        found = propagate(covariance, self._data, noise, self._sites)
        self._sites = found.precision, found.shift
        weight = found.inverse - np.outer(found.alpha, found.alpha)
        return -found.log_evidence, weight, -found.noise_slope


def _minimise(loss: _Loss, lengths: Sequence[float]) -> np.ndarray:
    """Return the theta of least loss that searches from several start lengths reach."""
    best = None
    for length in lengths:
        with threadpool_limits(1):  # threads would slow down work on many small matrices
            end = minimize(
                loss,
                loss.start(length),
                jac=True,
                method="L-BFGS-B",
                bounds=loss.bounds,
                options={"maxiter": _MAX_FIT_STEPS, "ftol": 1e-6},
            )
        if best is None or end.fun < best.fun - 1e-6:
            best = end
    assert best is not None
    return np.asarray(best.x)


def _draw_near(loss: _Loss, best: np.ndarray, count: int) -> np.ndarray:
    """Draw thetas ``[count, axes + 2]`` from the normal distribution around the best (Laplace's approximation)."""
    if not count:
        return np.empty((0, len(best)))
    steps = _CURVATURE_STEP * np.eye(len(best))
    curvature = np.stack([(loss(best + s)[1] - loss(best - s)[1]) / (2 * _CURVATURE_STEP) for s in steps])
    stiffness, directions = np.linalg.eigh((curvature + curvature.T) / 2)
    # No direction may be less certain than the widest prior.
    root = directions / np.sqrt(np.maximum(stiffness, 1 / loss.width.max() ** 2))
    normal = np.random.default_rng(0).standard_normal((count, len(best)))
    return loss.within_bounds(best + normal @ root.T)
