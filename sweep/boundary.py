r"""Level-set estimation with a Gaussian process: pure ask / tell, no ray, no optuna.

========  ======================================================================  ==================
symbol    meaning                                                                 shape
========  ======================================================================  ==================
x         points, each axis mapped to [0, 1]                                      ``[n, axes]``
y         observed values, less the trend; standardised for the fit               ``[n]``
K         Matern-5/2 kernel of x, one length per axis                             ``[n, n]``
noise     variance of an observation about the function                           scalar
m, s      posterior mean and standard deviation of the function (noise-free)      ``[candidates]``
========  ======================================================================  ==================

The boundary is where the value crosses ``level``. New points maximise the straddle score ``1.96 s - |m - level|``
(Bryan et al. 2005); every fourth maximises s alone, so that regions nobody has seen are found. Pending points
narrow s as if their value were known to be the mean.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.special import log_ndtr
from scipy.stats import qmc

__all__ = ["Axis", "LevelSet"]

_CANDIDATES = 1024
_EXPLORE_EVERY = 4
_REFIT_GROWTH = 1.15  # fit the kernel anew when there are this many times more observations
_CENSORING_ROUNDS = 5  # of filling in what lies beyond a bound; more change little
_FIT_AT_MOST = 400  # observations that the kernel is fitted to
_CONDITION_AT_MOST = 2000  # observations that the model is conditioned on: the newest


@dataclass(frozen=True)
class Axis:
    """A real or integer axis from ``low`` to ``high`` (``low < high``), searched on a log scale if ``log``."""

    name: str
    low: float
    high: float
    log: bool = False
    integer: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"`{self.name}` must have low < high, got {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"`{self.name}` must be positive on a log scale, got {self.low}")

    def to_unit(self, values: np.ndarray) -> np.ndarray:
        """Values -> [0, 1]."""
        if self.log:
            return (np.log(values) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (np.asarray(values, dtype=float) - self.low) / (self.high - self.low)

    def from_unit(self, u: np.ndarray) -> np.ndarray:
        """[0, 1] -> values, rounded on an integer axis."""
        if self.log:
            values = np.exp(math.log(self.low) + u * (math.log(self.high) - math.log(self.low)))
        else:
            values = self.low + u * (self.high - self.low)
        values = np.clip(values, self.low, self.high)
        return np.round(values) if self.integer else values


class LevelSet:
    """A model of a noisy function and of where it crosses a level.

    Parameters
    ----------
    axes:
        One to a few; points are arrays ``[n, len(axes)]`` in natural units.
    level:
        The value that the boundary is at.
    trend:
        Known part of the function, ``[n, axes] -> [n]``; the process models the rest.
    seed:
        Of the initial design and of the candidates. The same seed and history give the same points.
    """

    def __init__(
        self,
        axes: Sequence[Axis],
        *,
        level: float = 0.0,
        trend: Callable[[np.ndarray], np.ndarray] | None = None,
        seed: int = 0,
    ) -> None:
        if not axes:
            raise ValueError("`axes` must hold at least one axis, got none")
        self.axes, self.level, self.seed = list(axes), level, seed
        self._trend = trend or (lambda points: np.zeros(len(points)))
        self._points = np.empty((0, len(axes)))
        self._values = np.empty(0)
        self._censored = np.empty(0, dtype=bool)
        self._fitted_at = 0
        self._length = np.full(len(axes), 0.5)
        self._signal, self._noise = 1.0, 0.1
        self._ready = False

    def __len__(self) -> int:
        """Observations told."""
        return len(self._values)

    @property
    def initial(self) -> int:
        """Observations before the model is trusted to choose points."""
        return 4 * len(self.axes)

    def tell(self, points: np.ndarray, values: Sequence[float], censored: Sequence[bool] | None = None) -> None:
        """Add observations ``[n, axes]``, ``[n]``; a censored value is a lower bound. Non-finite ones are ignored."""
        points = np.atleast_2d(np.asarray(points, dtype=float))
        y = np.asarray(values, dtype=float)
        flags = np.zeros(len(y), dtype=bool) if censored is None else np.asarray(censored, dtype=bool)
        if points.shape != (len(y), len(self.axes)) or flags.shape != y.shape:
            raise ValueError(f"`points` must be [{len(y)}, {len(self.axes)}], got {list(points.shape)}")
        good = np.isfinite(y) & np.isfinite(points).all(1)
        self._points = np.vstack([self._points, points[good]])
        self._values = np.append(self._values, y[good])
        self._censored = np.append(self._censored, flags[good])
        self._ready = False

    def ask(self, count: int, pending: np.ndarray | None = None) -> np.ndarray:
        """``[count, axes]`` new points; ``pending [n, axes]`` are under way and not repeated."""
        waiting = np.empty((0, len(self.axes))) if pending is None else np.atleast_2d(pending)
        chosen: list[np.ndarray] = []
        while len(chosen) < count and len(self) + len(waiting) + len(chosen) < self.initial:
            chosen.append(self._initial_point(len(self) + len(waiting) + len(chosen)))
        if len(chosen) < count and len(self) == 0:
            taken = len(waiting) + len(chosen)
            chosen += [self._initial_point(taken + i) for i in range(count - len(chosen))]
        if len(chosen) < count:
            busy = np.vstack([waiting, *[c[None] for c in chosen]])
            chosen += list(self._straddle(count - len(chosen), busy))
        return np.array(chosen)

    def mean_and_deviation(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Posterior mean and standard deviation of the function (without noise) at ``[n, axes]``."""
        mean, root = self._posterior(self._unit(points))
        deviation = np.sqrt(np.maximum(self._signal - (root**2).sum(0), 1e-12)) * self._scale
        return mean * self._scale + self._offset + self._trend(np.atleast_2d(points)), deviation

    def sample(self, points: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
        """``[count, n]`` functions drawn from the posterior, jointly at ``[n, axes]``."""
        x = self._unit(points)
        mean, root = self._posterior(x)
        covariance = self._kernel(x, x) - root.T @ root
        covariance[np.diag_indices_from(covariance)] += 1e-6 * self._signal
        factor = cholesky(covariance, lower=True)
        draws = np.random.default_rng([self.seed, seed]).standard_normal((count, len(x))) @ factor.T
        return (mean + draws) * self._scale + self._offset + self._trend(np.atleast_2d(points))

    def reweighted(self, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """``[draws, n]`` means at ``[n, axes]`` had every observation a weight of ``[draws, observations]``.

        An observation of weight 2 is as good as two: half the noise. The kernel stays.
        """
        self._condition()
        if weights.shape[1:] != self._y.shape:
            raise ValueError(f"`weights` must be [draws, {len(self._y)}], got {list(weights.shape)}")
        kernel, cross = self._kernel(self._x, self._x), self._kernel(self._x, self._unit(points))
        found = np.empty((len(weights), cross.shape[1]))
        for i, w in enumerate(weights):
            covariance = kernel.copy()
            covariance[np.diag_indices_from(covariance)] += self._noise / np.maximum(w, 1e-6) + 1e-8
            found[i] = cross.T @ cho_solve(cho_factor(covariance, lower=True), self._y)
        return found * self._scale + self._offset + self._trend(np.atleast_2d(points))

    def _unit(self, points: np.ndarray) -> np.ndarray:
        points = np.atleast_2d(np.asarray(points, dtype=float))
        return np.stack([a.to_unit(points[:, i]) for i, a in enumerate(self.axes)], 1)

    def _natural(self, x: np.ndarray) -> np.ndarray:
        return np.stack([a.from_unit(x[:, i]) for i, a in enumerate(self.axes)], 1)

    def _initial_point(self, index: int) -> np.ndarray:
        sobol = qmc.Sobol(len(self.axes), scramble=True, rng=np.random.default_rng([self.seed, 1]))
        if index:
            sobol.fast_forward(index)
        return self._natural(sobol.random(1))[0]

    def _kernel(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        squares = np.zeros((len(a), len(b)))
        for i, length in enumerate(self._length):
            squares += (np.subtract.outer(a[:, i], b[:, i]) / length) ** 2
        r = np.sqrt(5 * squares)
        return self._signal * (1 + r + r * r / 3) * np.exp(-r)

    def _condition(self) -> None:
        """Bring the model up to date with what was told."""
        if self._ready:
            return
        if not len(self):
            raise ValueError("the model has no observations yet")
        newest = slice(max(0, len(self) - _CONDITION_AT_MOST), None)
        points, censored = self._points[newest], self._censored[newest]
        x, y = self._unit(points), self._values[newest] - self._trend(points)
        self._offset, self._scale = float(y.mean()), float(y.std()) or 1.0
        y = (y - self._offset) / self._scale
        if len(self) >= max(self.initial, self._fitted_at * _REFIT_GROWTH):
            self._fit(x, y)
        covariance = self._kernel(x, x)
        covariance[np.diag_indices_from(covariance)] += self._noise + 1e-8
        self._factor = cho_factor(covariance, lower=True)
        self._x, self._y = x, self._uncensored(y, censored)
        self._alpha = cho_solve(self._factor, self._y)
        self._ready = True

    def _fit(self, x: np.ndarray, y: np.ndarray) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
        from threadpoolctl import threadpool_limits

        if len(x) > _FIT_AT_MOST:
            keep = np.random.default_rng([self.seed, 2]).permutation(len(x))[:_FIT_AT_MOST]
            x, y = x[keep], y[keep]
        kernel = ConstantKernel(self._signal, (1e-2, 1e3)) * Matern(
            np.clip(self._length, 0.06, 9), (0.05, 10), nu=2.5
        ) + WhiteKernel(np.clip(self._noise, 2e-5, 0.9), (1e-5, 1))
        model = GaussianProcessRegressor(kernel, n_restarts_optimizer=1, random_state=self.seed % 2**32)
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x, y)
        fitted = model.kernel_
        self._signal = float(fitted.k1.k1.constant_value)
        self._length = np.broadcast_to(fitted.k1.k2.length_scale, (len(self.axes),)).astype(float)
        self._noise = float(fitted.k2.noise_level)
        self._fitted_at = len(self)

    def _uncensored(self, y: np.ndarray, censored: np.ndarray) -> np.ndarray:
        """Replace each censored value by its expectation above its bound, given all the others."""
        if not censored.any() or censored.all():
            return y
        precision = cho_solve(self._factor, np.eye(len(y)))
        variance = 1 / np.diag(precision)
        hidden, seen = np.flatnonzero(censored), np.flatnonzero(~censored)
        # Given what was seen in full; then one by one given all others, each above its bound.
        block = np.linalg.solve(precision[np.ix_(hidden, hidden)], precision[np.ix_(hidden, seen)] @ y[seen])
        filled = y.copy()
        filled[hidden] = np.maximum(y[hidden], -block)
        for _ in range(_CENSORING_ROUNDS):
            for i in hidden:
                mean = filled[i] - (precision[i] @ filled) * variance[i]
                deviation = math.sqrt(variance[i])
                z = (y[i] - mean) / deviation
                filled[i] = max(y[i], mean + deviation * math.exp(_log_density(z) - log_ndtr(-z)))
        return filled

    def _posterior(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Standardised mean at unit points, and the root R of what the data explain: R^T R."""
        self._condition()
        cross = self._kernel(self._x, x)
        return cross.T @ self._alpha, solve_triangular(self._factor[0], cross, lower=True)

    def _straddle(self, count: int, busy: np.ndarray) -> np.ndarray:
        self._condition()
        rng = np.random.default_rng([self.seed, 3, len(self), len(busy)])
        points = self._natural(rng.random((_CANDIDATES, len(self.axes))))
        x = self._unit(points)
        mean, root = self._posterior(x)
        gap = np.abs(mean * self._scale + self._offset + self._trend(points) - self.level) / self._scale
        covariance = self._kernel(x, x) - root.T @ root
        if len(busy):
            at = self._unit(busy)
            _, root_busy = self._posterior(at)
            among = self._kernel(at, at) - root_busy.T @ root_busy
            among[np.diag_indices_from(among)] += self._noise + 1e-8
            toward = self._kernel(at, x) - root_busy.T @ root
            covariance -= toward.T @ cho_solve(cho_factor(among, lower=True), toward)
        known = {tuple(p) for p in np.vstack([self._points, busy])}
        free = np.array([tuple(p) not in known for p in points])
        free |= not free.any()  # every value of an integer axis is taken: repeat
        chosen: list[int] = []
        for i in range(count):
            deviation = np.sqrt(np.maximum(np.diag(covariance), 0))
            explore = (len(self) + len(busy) + i) % _EXPLORE_EVERY == 0
            score = deviation if explore else 1.96 * deviation - gap
            best = int(np.argmax(np.where(free, score, -np.inf)))
            chosen.append(best)
            free[best] = False
            column = covariance[:, best]
            covariance -= np.outer(column, column) / (column[best] + self._noise + 1e-8)
        return points[chosen]


def _log_density(z: float) -> float:
    return -0.5 * z * z - 0.5 * math.log(2 * math.pi)
