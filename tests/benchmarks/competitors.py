"""What the boundary search is compared with, each set up as its users would.

A competitor is ``(axes, measure, count, batch, seed) -> Trace``: it measures at most ``count`` points ``[n, axes]`` in
natural units, ``batch`` at a time, to find where the function crosses 0. The same seed and values give the same points.
"""

import functools
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, TPESampler
from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator, RegularGridInterpolator
from scipy.spatial import QhullError
from scipy.stats import qmc
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Kernel, Matern, WhiteKernel

from sweep.levelset.domain import Axis

__all__ = ["COMPETITORS", "SLOW", "Trace"]

Function = Callable[[np.ndarray], np.ndarray]  # points [n, axes] in natural units -> values [n]

_CANDIDATES = 2000
_ALWAYS_FIT = 150  # points; beyond, the stock kernel is fitted anew after each growth by _REFIT_GROWTH
_REFIT_GROWTH = 1.25
_AWAY_FROM_BOUNDARY = 0.1  # adaptive's own factor on the loss of a simplex that the boundary does not cross


@dataclass(frozen=True)
class Trace:
    """What a competitor measured, in order, and what it makes of it.

    ``points [n, axes]`` in natural units, ``values [n]``; ``predict(n)`` is its estimate of the function from the
    first n points, None where it has none of its own.
    """

    points: np.ndarray
    values: np.ndarray
    predict: Callable[[int], Function] | None = None


Competitor = Callable[[Sequence[Axis], Function, int, int, int], Trace]


class _Record:
    """``measure``, remembering ``points [n, axes]`` and ``values [n]``."""

    def __init__(self, axes: Sequence[Axis], measure: Function) -> None:
        self.axes, self._measure = axes, measure
        self.points, self.values = np.empty((0, len(axes))), np.empty(0)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        values = np.asarray(self._measure(points), dtype=float)
        self.points, self.values = np.vstack([self.points, points]), np.append(self.values, values)
        return values

    def in_batches(self, points: np.ndarray, batch: int) -> None:
        for start in range(0, len(points), batch):
            self(points[start : start + batch])

    def interpolation(self, n: int) -> Function:
        return _interpolation(self.axes, self.points[:n], self.values[:n])


def _quietly(competitor: Competitor) -> Competitor:
    @functools.wraps(competitor)
    def quiet(*args: Any, **kwargs: Any) -> Trace:
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return competitor(*args, **kwargs)
        finally:
            optuna.logging.set_verbosity(verbosity)

    return quiet


def _unit(axes: Sequence[Axis], points: np.ndarray) -> np.ndarray:
    return np.stack([a.to_unit(points[:, i]) for i, a in enumerate(axes)], 1)


def _natural(axes: Sequence[Axis], x: np.ndarray) -> np.ndarray:
    return np.stack([a.from_unit(x[:, i]) for i, a in enumerate(axes)], 1)


def _interpolation(axes: Sequence[Axis], points: np.ndarray, values: np.ndarray) -> Function:
    """Linear in unit coordinates, the nearest value outside the hull; repeated points are averaged."""
    x, which = np.unique(_unit(axes, points), axis=0, return_inverse=True)
    y = np.bincount(which.ravel(), values) / np.bincount(which.ravel())
    if len(axes) == 1:
        return lambda points: np.interp(_unit(axes, points)[:, 0], x[:, 0], y)
    nearest = NearestNDInterpolator(x, y)
    try:
        linear = LinearNDInterpolator(x, y)
    except QhullError:  # too few points, or all in one plane
        return lambda points: nearest(_unit(axes, points))

    def function(points: np.ndarray) -> np.ndarray:
        at = _unit(axes, points)
        found = linear(at)
        return np.where(np.isnan(found), nearest(at), found)

    return function


def _levels(axis: Axis, size: int) -> np.ndarray:
    return np.unique(axis.from_unit(np.linspace(0, 1, size)))


def _balanced_levels(axes: Sequence[Axis], count: int) -> list[np.ndarray]:
    """Values of each axis, ends included, as equal in number as the integer axes allow."""
    if 2 ** len(axes) > count:
        raise ValueError(f"a grid of {len(axes)} axes needs at least {2 ** len(axes)} points, got {count}")
    sizes = [2] * len(axes)
    levels = [_levels(a, 2) for a in axes]
    while free := [i for i, a in enumerate(axes) if not a.integer or sizes[i] <= a.high - a.low]:
        i = min(free, key=lambda i: len(levels[i]))
        sizes[i] += 1
        grown = [*levels[:i], _levels(axes[i], sizes[i]), *levels[i + 1 :]]
        if math.prod(map(len, grown)) > count:
            break
        levels = grown
    return levels


def grid(axes: Sequence[Axis], measure: Function, count: int, batch: int, seed: int) -> Trace:
    """A regular grid of at most ``count`` points, linear between them; it means something only when complete."""
    levels = _balanced_levels(axes, count)
    record = _Record(axes, measure)
    record.in_batches(np.stack(np.meshgrid(*levels, indexing="ij"), -1).reshape(-1, len(axes)), batch)

    def predict(n: int) -> Function:
        if n < len(record.values):
            return record.interpolation(n)
        function = RegularGridInterpolator(
            [a.to_unit(v) for a, v in zip(axes, levels, strict=True)],
            record.values.reshape([len(v) for v in levels]),
            bounds_error=False,
            fill_value=None,
        )
        return lambda points: function(_unit(axes, points))

    return Trace(record.points, record.values, predict)


def _sobol_points(axes: Sequence[Axis], count: int, seed: int) -> np.ndarray:
    sequence = qmc.Sobol(len(axes), scramble=True, rng=np.random.default_rng(seed))
    return _natural(axes, sequence.random_base2((count - 1).bit_length())[:count])


def sobol(axes: Sequence[Axis], measure: Function, count: int, batch: int, seed: int) -> Trace:
    """A scrambled Sobol sequence, linear between its points."""
    record = _Record(axes, measure)
    record.in_batches(_sobol_points(axes, count, seed), batch)
    return Trace(record.points, record.values, record.interpolation)


def _distribution(axis: Axis) -> BaseDistribution:
    if axis.integer:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return FloatDistribution(axis.low, axis.high, log=axis.log)


def _optuna(axes: Sequence[Axis], measure: Function, count: int, batch: int, sampler: BaseSampler) -> Trace:
    """Minimises |value|."""
    record = _Record(axes, measure)
    study = optuna.create_study(sampler=sampler)
    space = {a.name: _distribution(a) for a in axes}
    while (left := count - len(record.values)) > 0:
        trials = [study.ask(space) for _ in range(min(batch, left))]
        values = record(np.array([[t.params[a.name] for a in axes] for t in trials], dtype=float))
        for trial, value in zip(trials, values, strict=True):
            study.tell(trial, abs(value))
    return Trace(record.points, record.values)


@_quietly
def optuna_tpe(axes: Sequence[Axis], measure: Function, count: int, batch: int, seed: int) -> Trace:
    """Optuna's tree-structured Parzen estimator minimises |value|."""
    return _optuna(axes, measure, count, batch, TPESampler(seed=seed, constant_liar=True))


@_quietly
def optuna_gp(axes: Sequence[Axis], measure: Function, count: int, batch: int, seed: int) -> Trace:
    """Optuna's Gaussian process minimises |value|."""
    return _optuna(axes, measure, count, batch, GPSampler(seed=seed, deterministic_objective=False))


def _near_boundary(loss: Callable[..., float]) -> Callable[..., float]:
    """What adaptive's ``thresholded_loss_function(0, 0)`` does to triangles, for intervals and simplices."""

    def reduced(simplex: Sequence, values: Sequence[float], *scale: float) -> float:
        crossed = min(values) <= 0 <= max(values)
        return loss(simplex, values, *scale) * (1 if crossed else _AWAY_FROM_BOUNDARY)

    return reduced


def _adaptive(axes: Sequence[Axis], measure: Function, count: int, batch: int, threshold: bool) -> Trace:
    """Learns in unit coordinates; an integer axis is rounded for the measurement only."""
    from adaptive.learner import learner1D, learner2D, learnerND

    unit = (0.0, 1.0)
    if len(axes) == 1:
        loss = _near_boundary(learner1D.default_loss) if threshold else None
        learner = learner1D.Learner1D(None, unit, loss)
    elif len(axes) == 2:
        loss = learner2D.thresholded_loss_function(0, 0, _AWAY_FROM_BOUNDARY) if threshold else None
        learner = learner2D.Learner2D(None, (unit, unit), loss)
    else:
        loss = _near_boundary(learnerND.default_loss) if threshold else None
        learner = learnerND.LearnerND(None, [unit] * len(axes), loss)
    record = _Record(axes, measure)
    while (left := count - len(record.values)) > 0:
        asked, _ = learner.ask(min(batch, left))
        values = record(_natural(axes, np.reshape(asked, (-1, len(axes)))))
        learner.tell_many(asked, values.tolist())
    return Trace(record.points, record.values, record.interpolation)


@_quietly
def adaptive_default(axes: Sequence[Axis], measure: Function, count: int, batch: int, seed: int) -> Trace:
    """python-adaptive with its default loss: the whole function, no boundary in particular. Has no use for a seed."""
    return _adaptive(axes, measure, count, batch, threshold=False)


@_quietly
def adaptive_threshold(axes: Sequence[Axis], measure: Function, count: int, batch: int, seed: int) -> Trace:
    """python-adaptive with its loss thresholded at 0: simplices that the boundary crosses come first. No seed."""
    return _adaptive(axes, measure, count, batch, threshold=True)


def _process(x: np.ndarray, y: np.ndarray, seed: int, kernel: Kernel | None = None) -> GaussianProcessRegressor:
    """Fitted to ``[n, axes]``, ``[n]``; a given kernel stays."""
    free = ConstantKernel() * Matern([1.0] * x.shape[1], nu=2.5) + WhiteKernel()
    model = GaussianProcessRegressor(
        free if kernel is None else kernel,
        optimizer="fmin_l_bfgs_b" if kernel is None else None,
        n_restarts_optimizer=1 if kernel is None else 0,
        normalize_y=True,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(x, y)


@_quietly
def stock_straddle(axes: Sequence[Axis], measure: Function, count: int, batch: int, seed: int) -> Trace:
    """The straddle ``1.96 s - |m|`` of scikit-learn's Gaussian process as it comes; a batch believes its own means."""
    record = _Record(axes, measure)
    record(_sobol_points(axes, min(2 * len(axes) + 2, count), seed))
    rng = np.random.default_rng([seed, 1])
    fitted_at = 0
    while (left := count - len(record.values)) > 0:
        x, y = _unit(axes, record.points), record.values
        if len(y) <= _ALWAYS_FIT or len(y) >= _REFIT_GROWTH * fitted_at:
            kernel, fitted_at = _process(x, y, seed).kernel_, len(y)
        points = _natural(axes, rng.random((_CANDIDATES, len(axes))))
        candidates = _unit(axes, points)
        chosen: list[int] = []
        for _ in range(min(batch, left)):
            mean, deviation = _process(x, y, seed, kernel).predict(candidates, return_std=True)
            score = 1.96 * deviation - np.abs(mean)
            score[chosen] = -np.inf
            chosen.append(int(np.argmax(score)))
            x, y = np.vstack([x, candidates[chosen[-1]]]), np.append(y, mean[chosen[-1]])
        record(points[chosen])

    def predict(n: int) -> Function:
        model = _process(_unit(axes, record.points[:n]), record.values[:n], seed)
        return lambda points: model.predict(_unit(axes, points))

    return Trace(record.points, record.values, predict)


COMPETITORS: dict[str, Competitor] = {
    f.__name__: f for f in (grid, sobol, optuna_tpe, optuna_gp, adaptive_default, adaptive_threshold, stock_straddle)
}
SLOW = {"optuna_gp"}  # half a minute to a minute for 256 points; the others take seconds
