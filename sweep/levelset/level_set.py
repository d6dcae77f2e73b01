"""Level-set estimation: where does a noisy function cross a level? Pure ask / tell, no ray, no optuna.

A Gaussian process is fitted to what was told (`gaussian_process`); the next points are those that say most about where
the boundary or the ridge is (`acquisition`). The first few are spread over the domain.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr
from threadpoolctl import threadpool_limits

from sweep.levelset.acquisition import choose
from sweep.levelset.domain import Axis, Domain, Features
from sweep.levelset.gaussian_process import Kernel, Observations, Posterior, fitted
from sweep.levelset.merging import merge_nearest
from sweep.levelset.targets import boundary_targets, ridge_targets

AIMS = ("boundary", "ridge", "both")
_AT_ONCE = 64  # points chosen from one set of candidates
_RIDGE_EVERY = 4  # with aim="both"
_REFIT_GROWTH = 1.1  # fit the kernel anew when there are this many times more observations
_FIT_AT_MOST = 256  # observations that the kernel is fitted to
_CONDITION_AT_MOST = 2000  # observations that the model is conditioned on; what is nearest is merged
_KERNELS = 10  # that draws are shared out to
_DOUBTED_UP_TO = 400  # observations


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
        self._domain = Domain(axes, features, seed)
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
        chosen = (
            self._domain.from_unit(self._domain.spread(known + first)[known:])
            if first
            else np.empty((0, len(self.axes)))
        )
        while len(chosen) < count:
            more = min(_AT_ONCE, count - len(chosen))
            chosen = np.vstack([chosen, self._choose(more, np.vstack([waiting, chosen]))])
        if pending is None:
            self._asked += list(chosen)
        return chosen

    def mean_and_deviation(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Posterior mean and standard deviation of the function (without noise) at ``[n, axes]``."""
        points = np.atleast_2d(np.asarray(points, dtype=float))
        mean, deviation = self._conditioned().mean_and_deviation(*self._places(points))
        return mean * self._scale + self._offset, deviation * self._scale

    def mean(self, points: np.ndarray) -> np.ndarray:
        """Posterior mean alone, ``[n]``: much faster."""
        points = np.atleast_2d(np.asarray(points, dtype=float))
        return self._conditioned().mean(*self._places(points)) * self._scale + self._offset

    def sample(self, points: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
        """``[count, n]`` functions drawn from the posterior, jointly at ``[n, axes]``.

        Unlike everything else here, they allow for what is not known of the kernel.
        """
        points = np.atleast_2d(np.asarray(points, dtype=float))
        rng = np.random.default_rng([self.seed, 4, seed])
        posteriors = self._alternatives()
        x, features = self._places(points)
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
        found = posterior.reweighted(*self._places(points), merged)
        return found * self._scale + self._offset

    def expected_error(self) -> float:
        """Share of the domain that is expected to be on the wrong side of the boundary; mean over the levels."""
        mean, deviation = self.mean_and_deviation(self._domain.from_unit(self._domain.survey))
        return float(np.mean([ndtr(-np.abs(mean - level) / deviation).mean() for level in self.levels]))

    def _places(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return points ``[n, axes]`` as the posterior takes them: in the unit cube, and with their features."""
        return self._domain.to_unit(points), self._domain.features(points)

    def _conditioned(self) -> Posterior:
        """The posterior of all that was told."""
        if self._posterior is None:
            if not len(self):
                raise ValueError("the model has no observations yet")
            self._domain.rescale_features()
            order = np.lexsort((self._censored, self._values, *self._points.T))
            points, y = self._points[order], self._values[order]
            self._offset, self._scale = float(y.mean()), float(y.std())
            if self._scale <= 1e-9 * max(1.0, abs(self._offset)):  # all the same but for rounding
                self._scale = float(np.abs(self.levels - self._offset).max()) or 1.0
            data = Observations(
                self._domain.to_unit(points),
                (y - self._offset) / self._scale,
                self._variances[order] / self._scale**2,
                self._censored[order],
                self._domain.features(points),
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
        posterior, domain = self._conditioned(), self._domain
        levels = (self.levels - self._offset) / self._scale
        turns = len(self) + len(busy) + np.arange(count)
        on_ridge = {"boundary": turns < 0, "ridge": turns >= 0, "both": turns % _RIDGE_EVERY == 0}[self.aim]
        chosen = np.empty((count, len(self.axes)))
        for turn in (~on_ridge, on_ridge):
            if turn.any():
                rng = np.random.default_rng([self.seed, 3, len(self), len(busy)])
                if turn is on_ridge:
                    targets = ridge_targets(posterior, domain, self._along, rng)
                else:
                    targets = boundary_targets(posterior, domain, levels, rng)
                chosen[turn] = choose(posterior, domain, levels, targets, int(turn.sum()), self._points, busy, rng)
                busy = np.vstack([busy, chosen[turn]])
        return chosen
