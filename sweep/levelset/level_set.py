"""Level-set estimation: where does a noisy function cross a level? Pure ask / tell, no ray, no optuna.

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

The other half maximise the straddle 1.96 s - |m - level| (Bryan et al. 2005), which trusts the model less: the first is
better where there is much noise, the second where there is little. 1.6 times the square root of their number go where
the largest gap between observations is, whatever the model thinks, so that regions nobody has seen are found. Points of
a batch, and pending ones, narrow s as if they had been observed at their mean.

The integral is over places drawn where p (1 - p) may be large, and weighted accordingly. The ridge (where the function
is largest along one axis) is found in the same way: places are weighted by the probability that the ridge runs there.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.special import ndtr
from scipy.stats import qmc
from threadpoolctl import threadpool_limits

from sweep.levelset.acquisition import Targets, expected_gain
from sweep.levelset.domain import Axis
from sweep.levelset.gaussian_process import Kernel, Observations, Posterior, fitted
from sweep.levelset.merging import merge_nearest

__all__ = ["AIMS", "LevelSet"]

AIMS = ("boundary", "ridge", "both")
Features = Callable[[np.ndarray], np.ndarray]
_POOL = 1024  # places that the domain is surveyed at
_PLACES = 512  # of them and between them, that the integral is over
_CANDIDATES = 256
_UNIFORM = 64  # of the candidates anywhere
_EXPLORE = 1.6  # times the square root of their number: points that fill gaps
_STRADDLE_EVERY = 2  # else the look ahead
_AT_ONCE = 64  # points chosen from one set of candidates
_APART = 1e-3  # of the range: no two points are nearer
_NEWTON_STEPS = 2  # of candidates towards the boundary
_RIDGE_EVERY = 4  # with aim="both"
_REFIT_GROWTH = 1.1  # fit the kernel anew when there are this many times more observations
_FIT_AT_MOST = 256  # observations that the kernel is fitted to
_CONDITION_AT_MOST = 2000  # observations that the model is conditioned on; what is nearest is merged
_KERNELS = 10  # that draws are shared out to
_DOUBTED_UP_TO = 400  # observations
_RIDGES, _RIDGE_STEPS, _RIDGE_DRAWS = 24, 48, 64


class LevelSet:
    """A model of a noisy function and of where it crosses one or several levels.

    Parameters
    ----------
    axes:
        One to four; points are arrays ``[n, len(axes)]`` in natural units.
    levels:
        The values that the boundaries are at.
    aim:
        ``boundary``; ``ridge``: where the function is largest along one axis; ``both``: every fourth point for that.
    along:
        Name of that axis; by default, the first.
    features:
        ``[n, axes] -> [n, features]``: what the function may resemble, up to unknown coefficients.
    seed:
        Of everything random. The same seed and the same calls give the same points.
    """

    def __init__(
        self,
        axes: Sequence[Axis],
        *,
        levels: float | Sequence[float] = 0.0,
        aim: str = "boundary",
        along: str | None = None,
        features: Features | None = None,
        seed: int = 0,
    ) -> None:
        if not axes:
            raise ValueError("`axes` must hold at least one axis, got none")
        if aim not in AIMS:
            raise ValueError(f"`aim` must be one of {', '.join(AIMS)}, got {aim!r}")
        names = [a.name for a in axes]
        if along is not None and along not in names:
            raise ValueError(f"`along` must be one of {', '.join(names)}, got {along!r}")
        self.axes, self.aim, self.seed = list(axes), aim, seed
        self._along = names.index(along) if along else 0
        self.levels = np.sort(np.unique(np.atleast_1d(np.asarray(levels, dtype=float))))
        if not len(self.levels) or not np.isfinite(self.levels).all():
            raise ValueError(f"`levels` must be finite numbers, got {levels!r}")
        self._features = features
        self._sobol = self._spread(_POOL)
        self._asked: list[np.ndarray] = []
        self._fitted_at = 0
        self._kernel: Kernel | None = None
        self._posterior: Posterior | None = None
        self._others: list[Posterior] | None = None  # by other kernels
        self._points: np.ndarray
        self._spoilt: np.ndarray
        self._values: np.ndarray
        self._variances: np.ndarray
        self._censored: np.ndarray
        self.forget()

    def __len__(self) -> int:
        """Observations told."""
        return len(self._values)

    @property
    def initial(self) -> int:
        """Observations before the model is trusted to choose points."""
        return 4 * len(self.axes)

    def tell(
        self,
        points: np.ndarray,
        values: Sequence[float],
        censored: Sequence[bool] | None = None,
        variances: Sequence[float] | None = None,
    ) -> None:
        """Add observations ``[n, axes]``, ``[n]``.

        A censored value is a lower bound. ``variances`` are what is known of their noise, beside what they all have.
        Where one is not finite, nothing is learnt, and no point is asked for again. The order does not matter.
        """
        points = np.atleast_2d(np.asarray(points, dtype=float))
        y = np.asarray(values, dtype=float)
        bound = np.zeros(len(y), dtype=bool) if censored is None else np.asarray(censored, dtype=bool)
        noise = np.zeros(len(y)) if variances is None else np.asarray(variances, dtype=float)
        if points.shape != (len(y), len(self.axes)) or bound.shape != y.shape or noise.shape != y.shape:
            raise ValueError(f"`points` must be [{len(y)}, {len(self.axes)}], got {list(points.shape)}")
        told = {tuple(p) for p in points}
        self._asked = [p for p in self._asked if tuple(p) not in told]
        good = np.isfinite(y) & np.isfinite(points).all(1) & np.isfinite(noise) & (noise >= 0)
        # Nothing is known there, and it is not to be tried again.
        self._spoilt = np.vstack([self._spoilt, points[~good & np.isfinite(points).all(1)]])
        self._points = np.vstack([self._points, points[good]])
        self._values = np.append(self._values, y[good])
        self._variances = np.append(self._variances, noise[good])
        self._censored = np.append(self._censored, bound[good])
        self._posterior = self._others = None

    def forget(self) -> None:
        """Forget all observations; the kernel stays until it is due to be fitted anew."""
        self._points = np.empty((0, len(self.axes)))
        self._spoilt = np.empty((0, len(self.axes)))
        self._values, self._variances = np.empty(0), np.empty(0)
        self._censored = np.empty(0, dtype=bool)
        self._posterior = self._others = None

    def ask(self, count: int, pending: np.ndarray | None = None) -> np.ndarray:
        """``[count, axes]`` new points.

        ``pending [n, axes]`` are under way and not repeated; by default what was asked for and not told since.
        """
        waiting = np.array(self._asked) if pending is None else np.asarray(pending, dtype=float)
        waiting = np.vstack([waiting.reshape(-1, len(self.axes)), self._spoilt])
        known = len(self) + len(waiting)
        first = count if not len(self) else min(count, max(0, self.initial - known))
        chosen = self._natural(self._spread(known + first)[known:]) if first else np.empty((0, len(self.axes)))
        while len(chosen) < count:
            more = min(_AT_ONCE, count - len(chosen))
            chosen = np.vstack([chosen, self._choose(more, np.vstack([waiting, chosen]))])
        if pending is None:
            self._asked += list(chosen)
        return chosen

    def mean_and_deviation(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Posterior mean and standard deviation of the function (without noise) at ``[n, axes]``."""
        points = np.atleast_2d(np.asarray(points, dtype=float))
        mean, deviation = self._conditioned().mean_and_deviation(self._unit(points), self._scaled_features(points))
        return mean * self._scale + self._offset, deviation * self._scale

    def mean(self, points: np.ndarray) -> np.ndarray:
        """Posterior mean alone, ``[n]``: much faster."""
        points = np.atleast_2d(np.asarray(points, dtype=float))
        return self._conditioned().mean(self._unit(points), self._scaled_features(points)) * self._scale + self._offset

    def sample(self, points: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
        """``[count, n]`` functions drawn from the posterior, jointly at ``[n, axes]``.

        Unlike everything else here, they allow for what is not known of the kernel.
        """
        points = np.atleast_2d(np.asarray(points, dtype=float))
        rng = np.random.default_rng([self.seed, 4, seed])
        posteriors = self._alternatives()
        x, features = self._unit(points), self._scaled_features(points)
        share = np.arange(count) % len(posteriors)
        draws = np.empty((count, len(points)))
        with threadpool_limits(1):  # small matrices: on a machine that is busy threads would wait for each other
            for i, posterior in enumerate(posteriors):
                if (share == i).any():
                    draws[share == i] = posterior.sample(x, features, int((share == i).sum()), rng)
        return draws * self._scale + self._offset

    def _alternatives(self) -> list[Posterior]:
        """Posteriors by kernels that fit about as well; by the best alone where many observations leave no doubt."""
        best = self._conditioned()
        if len(self) > _DOUBTED_UP_TO:
            return [best]
        if self._others is None:
            kernels = fitted(self._data, _KERNELS)[1:]
            self._others = [Posterior(k, self._data) for k in kernels]
        return self._others

    def reweighted(self, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """``[draws, n]`` means at ``[n, axes]`` had every observation a weight of ``[draws, observations]``.

        An observation of weight 2 is as good as two: half the noise. The kernel stays.
        """
        if weights.shape[1:] != self._values.shape:
            raise ValueError(f"`weights` must be [draws, {len(self)}], got {list(weights.shape)}")
        posterior = self._conditioned()
        merged = np.stack([np.bincount(self._row, w) / np.bincount(self._row) for w in weights])
        points = np.atleast_2d(np.asarray(points, dtype=float))
        found = posterior.reweighted(self._unit(points), self._scaled_features(points), merged)
        return found * self._scale + self._offset

    def expected_error(self) -> float:
        """Share of the domain that is expected to be on the wrong side of the boundary; mean over the levels."""
        mean, deviation = self.mean_and_deviation(self._natural(self._sobol))
        return float(np.mean([ndtr(-np.abs(mean - level) / deviation).mean() for level in self.levels]))

    def _unit(self, points: np.ndarray) -> np.ndarray:
        return np.stack([a.to_unit(points[:, i]) for i, a in enumerate(self.axes)], 1)

    def _natural(self, x: np.ndarray) -> np.ndarray:
        return np.stack([a.from_unit(x[:, i]) for i, a in enumerate(self.axes)], 1)

    def _spread(self, count: int) -> np.ndarray:
        """The first points of a scrambled Sobol sequence in the unit cube."""
        sobol = qmc.Sobol(len(self.axes), scramble=True, rng=np.random.default_rng([self.seed, 1]))
        return np.asarray(sobol.random_base2(max(0, math.ceil(math.log2(max(1, count)))))[:count])

    def _raw_features(self, points: np.ndarray) -> np.ndarray:
        if self._features is None:
            return np.empty((len(points), 0))
        found = np.asarray(self._features(points), dtype=float)
        return np.nan_to_num(found.reshape(len(points), -1), nan=0.0, posinf=1e6, neginf=-1e6)

    def _scaled_features(self, points: np.ndarray) -> np.ndarray:
        """With the constant before them; each of mean 0 and standard deviation 1 over the domain."""
        scaled = (self._raw_features(points) - self._feature_mean) / self._feature_scale
        return np.hstack([np.ones((len(points), 1)), scaled])

    def _conditioned(self) -> Posterior:
        """The posterior of all that was told."""
        if self._posterior is None:
            if not len(self):
                raise ValueError("the model has no observations yet")
            raw = self._raw_features(self._natural(self._sobol))
            self._feature_mean, self._feature_scale = raw.mean(0), np.where(raw.std(0) > 0, raw.std(0), 1.0)
            order = np.lexsort((self._censored, self._values, *self._points.T))
            points, y = self._points[order], self._values[order]
            self._offset, self._scale = float(y.mean()), float(y.std())
            if self._scale <= 1e-9 * max(1.0, abs(self._offset)):  # all the same but for rounding
                self._scale = float(np.abs(self.levels - self._offset).max()) or 1.0
            data = Observations(
                self._unit(points),
                (y - self._offset) / self._scale,
                self._variances[order] / self._scale**2,
                self._censored[order],
                self._scaled_features(points),
            )
            if self._kernel is None or len(self) >= self._fitted_at * _REFIT_GROWTH:
                (self._kernel,), self._fitted_at = fitted(self._thinned(data)), len(self)
            data, cell = merge_nearest(data, self._kernel, _CONDITION_AT_MOST)
            self._row = np.empty(len(self), dtype=int)  # of the posterior's data that each observation is in
            self._row[order] = cell
            self._data = data
            self._posterior = Posterior(self._kernel, data)
        return self._posterior

    def _thinned(self, data: Observations) -> Observations:
        if len(data) <= _FIT_AT_MOST:
            return data
        keep = np.random.default_rng([self.seed, 2]).permutation(len(data))[:_FIT_AT_MOST]
        return data[np.sort(keep)]

    def _choose(self, count: int, busy: np.ndarray) -> np.ndarray:
        """The next points. Those for the ridge are chosen last, but take their turns: a batch may be cut short."""
        turns = len(self) + len(busy) + np.arange(count)
        every = {"boundary": math.inf, "ridge": 1, "both": _RIDGE_EVERY}[self.aim]
        ridge = turns % every == 0 if every < math.inf else np.zeros(count, dtype=bool)
        chosen = np.empty((count, len(self.axes)))
        for aim, turn in ((self._boundary_targets, ~ridge), (self._ridge_targets, ridge)):
            if turn.any():
                chosen[turn] = self._greedy(int(turn.sum()), aim, busy)
                busy = np.vstack([busy, chosen[turn]])
        return chosen

    def _greedy(self, count: int, aim: Callable[..., "Targets"], busy: np.ndarray) -> np.ndarray:
        """One after another, the candidate that says most about the targets."""
        posterior = self._conditioned()
        kernel, noise = posterior.kernel, posterior.kernel.noise + 1e-8
        rng = np.random.default_rng([self.seed, 3, len(self), len(busy)])
        targets = aim(posterior, rng)
        picks = rng.permutation(len(targets.x))[: _CANDIDATES - _UNIFORM]
        near = targets.x[picks]
        if not targets.ridge:
            near[::2] = self._onto_boundary(posterior, near[::2], targets.level[picks[::2]])
        candidates = self._natural(np.vstack([near, rng.random((_UNIFORM, len(self.axes)))]))
        n = len(candidates)
        # Candidates and targets in one: covariance is [candidates, candidates + targets].
        x = np.vstack([self._unit(candidates), targets.x])
        f = self._scaled_features(np.vstack([candidates, self._natural(targets.x)]))
        mean, root = posterior.mean_and_root(x, f)
        covariance = kernel(x[:n], x, f[:n], f) - root[:, :n].T @ root
        variance = (kernel.variance(f) - (root**2).sum(0))[n:]
        if len(busy):
            at, fa = self._unit(busy), self._scaled_features(busy)
            _, root_a = posterior.mean_and_root(at, fa)
            among = kernel(at, at, fa, fa) - root_a.T @ root_a
            among[np.diag_indices_from(among)] += noise
            toward = kernel(at, x, fa, f) - root_a.T @ root
            half = solve_triangular(cholesky(among, lower=True), toward, lower=True)
            covariance -= half[:, :n].T @ half
            variance -= (half[:, n:] ** 2).sum(0)
        gap = mean[n:] - (targets.level - self._offset) / self._scale
        off = np.abs(np.subtract.outer(mean[:n], (self.levels - self._offset) / self._scale)).min(1)
        distance = np.min([((x[:n] - k) ** 2).sum(1) for k in self._unit(np.vstack([self._points, busy]))], 0)
        chosen: list[int] = []
        for i in range(count):
            own = np.maximum(np.diag(covariance[:, :n]), 0) + noise
            turn = len(self) + len(busy) + i
            if int(_EXPLORE * math.sqrt(turn + 1)) > int(_EXPLORE * math.sqrt(turn)):
                score = distance
            elif turn % _STRADDLE_EVERY == 0 and not targets.ridge:
                score = 1.96 * np.sqrt(own - noise) - off
            else:
                variance = np.maximum(variance, 1e-10)
                explained = np.minimum(covariance[:, n:] ** 2 / np.outer(own, variance), 0.9999)
                gain = explained * variance if targets.ridge else expected_gain(explained, gap * gap / variance)
                score = gain @ targets.weight
            # Where every value of an integer axis is taken, one is repeated.
            free = distance > _APART**2
            best = int(np.argmax(np.where(free, score, -np.inf) if free.any() else score))
            chosen.append(best)
            row = covariance[best] / math.sqrt(own[best])
            variance = variance - row[n:] ** 2
            covariance -= np.outer(row[:n], row)
            distance = np.minimum(distance, ((x[:n] - x[best]) ** 2).sum(1))
        return candidates[chosen]

    def _boundary_targets(self, posterior: Posterior, rng: np.random.Generator) -> "Targets":
        """Places near the boundaries, weighted by one over their density."""
        mean, deviation = posterior.mean_and_deviation(self._sobol, self._scaled_features(self._natural(self._sobol)))
        spacing = _POOL ** (-1 / len(self.axes))
        slope = math.sqrt(posterior.kernel.signal) * np.minimum(1.0, spacing / posterior.kernel.length).max()
        z = (mean[:, None] - (self.levels - self._offset) / self._scale) / (deviation + slope)[:, None]
        density = (np.exp(-0.5 * z * z) + 1e-3).ravel()
        ends = np.cumsum(density)
        drawn = np.searchsorted(ends, (np.arange(_PLACES) + rng.random(_PLACES)) / _PLACES * ends[-1])
        drawn = np.minimum(drawn, len(density) - 1)
        at, level = drawn // len(self.levels), drawn % len(self.levels)
        x = np.abs(self._sobol[at] + spacing * (rng.random((_PLACES, len(self.axes))) - 0.5))
        return Targets(1 - np.abs(1 - x), self.levels[level], 1 / density[drawn])

    def _onto_boundary(self, posterior: Posterior, x: np.ndarray, level: np.ndarray) -> np.ndarray:
        """Places ``[n, axes]`` in the unit cube moved to where the mean is ``level [n]``, by Newton's method."""
        axes, spacing = x.shape[1], _POOL ** (-1 / x.shape[1])

        def mean(x: np.ndarray) -> np.ndarray:
            return posterior.mean(x, self._scaled_features(self._natural(x)))

        shifts = 1e-4 * np.eye(axes)
        for _ in range(_NEWTON_STEPS):
            around = mean(np.concatenate([x, *(x + s for s in shifts)])).reshape(axes + 1, -1)
            slope = ((around[1:] - around[0]) / 1e-4).T
            step = ((level - self._offset) / self._scale - around[0])[:, None] * slope
            step /= np.maximum((slope * slope).sum(1, keepdims=True), 1e-8)
            step *= np.minimum(1, spacing / np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-12))
            x = np.clip(x + step, 0, 1)
        return x

    def _ridge_targets(self, posterior: Posterior, rng: np.random.Generator) -> "Targets":
        """Where the ridge may run in a few sections through the domain, weighted by how likely it does."""
        along = np.linspace(0, 1, _RIDGE_STEPS)
        places, weight = [], []
        for other in rng.random((_RIDGES, len(self.axes) - 1)):
            section = np.insert(np.broadcast_to(other, (_RIDGE_STEPS, len(other))), self._along, along, axis=1)
            draws = posterior.sample(section, self._scaled_features(self._natural(section)), _RIDGE_DRAWS, rng)
            share = np.bincount(draws.argmax(1), minlength=_RIDGE_STEPS) / _RIDGE_DRAWS
            places.append(section[share > 0])
            weight.append(share[share > 0])
        return Targets(np.vstack(places), np.zeros(sum(map(len, weight))), np.concatenate(weight), ridge=True)
