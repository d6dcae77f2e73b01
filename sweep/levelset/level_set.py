"""Level-set estimation: the search for where a noisy function crosses a level.

The interface is ask and tell. A Gaussian process is fitted to the observations (`gaussian_process`), and the next
points are those that reveal most about the boundary or the ridge (`acquisition`). The first few are spread over the
domain.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr
from threadpoolctl import threadpool_limits

from sweep.levelset.acquisition import choose
from sweep.levelset.domain import Axis, Domain, Features
from sweep.levelset.gaussian_process import Kernel, Observations, Posterior, fit_kernels
from sweep.levelset.merging import merge_nearest
from sweep.levelset.targets import boundary_targets, ridge_targets

AIMS = ("boundary", "ridge", "both")
_MAX_POINTS_PER_CANDIDATE_SET = 64
_RIDGE_PERIOD = 4  # with aim="both", one point in so many is for the ridge
_REFIT_GROWTH = 1.1  # the kernel is fitted anew when there are this many times more observations
_MAX_FITTED = 256  # observations that the kernel is fitted to, drawn at random
_MAX_CONDITIONED = 2000  # observations that the model is conditioned on; neighbours are merged beyond
_ALTERNATIVE_KERNELS = 10  # that functions are drawn with
_MAX_WITH_ALTERNATIVES = 400  # observations; with more, the best kernel is certain enough


class LevelSet:
    """A model of a noisy function and of where it crosses one or several levels.

    Parameters
    ----------
    axes:
        One to four axes. Points are arrays ``[n, axes]`` in natural units, in this order.
    levels:
        Values of the function at the boundaries.
    aim:
        What is searched for: ``boundary``; ``ridge``, where the function is largest along one axis; or ``both``, with
        every fourth point for the ridge.
    along:
        Name of the axis along which the ridge is a maximum; by default, the first.
    features:
        Functions that the searched one may resemble, up to unknown coefficients: maps points ``[n, axes]`` to values
        ``[n, features]``.
    seed:
        Seed of everything random. The same seed and the same calls give the same points.

    Raises
    ------
    ValueError
        There are no axes, ``aim`` or ``along`` is unknown, or ``levels`` are not finite numbers.
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
        self._alternative_posteriors: list[Posterior] | None = None
        self._points: np.ndarray
        self._useless: np.ndarray
        self._values: np.ndarray
        self._variances: np.ndarray
        self._censored: np.ndarray
        self.forget()

    def __len__(self) -> int:
        """Return the number of observations that the model knows."""
        return len(self._values)

    @property
    def initial(self) -> int:
        """The number of points that are spread over the domain before the model chooses any."""
        return 4 * len(self.axes)

    def tell(
        self,
        points: np.ndarray,
        values: Sequence[float],
        censored: Sequence[bool] | None = None,
        variances: Sequence[float] | None = None,
    ) -> None:
        """Add observations, in any order.

        Parameters
        ----------
        points:
            ``[n, axes]``: where the function was observed.
        values:
            ``[n]``: the observed values. Where the value or the variance is not finite, nothing is learnt, but the
            point is not proposed again.
        censored:
            ``[n]``: whether a value is a lower bound; by default, none is.
        variances:
            ``[n]``: known variances of the noise, which add to an unknown variance that all observations share.

        Raises
        ------
        ValueError
            The arguments differ in length, or points do not have one column for each axis.
        """
        points = np.atleast_2d(np.asarray(points, dtype=float))
        y = np.asarray(values, dtype=float)
        bound = np.zeros(len(y), dtype=bool) if censored is None else np.asarray(censored, dtype=bool)
        noise = np.zeros(len(y)) if variances is None else np.asarray(variances, dtype=float)
        if points.shape != (len(y), len(self.axes)) or bound.shape != y.shape or noise.shape != y.shape:
            raise ValueError(f"`points` must be [{len(y)}, {len(self.axes)}], got {list(points.shape)}")
        observed = {tuple(p) for p in points}
        self._asked = [p for p in self._asked if tuple(p) not in observed]
        good = np.isfinite(y) & np.isfinite(points).all(1) & np.isfinite(noise) & (noise >= 0)
        # Points that taught nothing are not proposed again.
        self._useless = np.vstack([self._useless, points[~good & np.isfinite(points).all(1)]])
        self._points = np.vstack([self._points, points[good]])
        self._values = np.append(self._values, y[good])
        self._variances = np.append(self._variances, noise[good])
        self._censored = np.append(self._censored, bound[good])
        self._posterior = self._alternative_posteriors = None

    def forget(self) -> None:
        """Forget all observations; the kernel stays until it is due to be fitted anew."""
        self._points = np.empty((0, len(self.axes)))
        self._useless = np.empty((0, len(self.axes)))
        self._values, self._variances = np.empty(0), np.empty(0)
        self._censored = np.empty(0, dtype=bool)
        self._posterior = self._alternative_posteriors = None

    def ask(self, count: int, pending: np.ndarray | None = None) -> np.ndarray:
        """Return the next points to observe.

        Parameters
        ----------
        count:
            Number of points.
        pending:
            ``[n, axes]``: points whose observation is under way; they are taken into account and not repeated. By
            default, all points that were returned by such calls and not told since.

        Returns
        -------
        numpy.ndarray
            ``[count, axes]``.
        """
        waiting = np.array(self._asked) if pending is None else np.asarray(pending, dtype=float)
        waiting = np.vstack([waiting.reshape(-1, len(self.axes)), self._useless])
        known = len(self) + len(waiting)
        first = count if not len(self) else min(count, max(0, self.initial - known))
        chosen = (
            self._domain.from_unit(self._domain.spread(known + first)[known:])
            if first
            else np.empty((0, len(self.axes)))
        )
        while len(chosen) < count:
            more = min(_MAX_POINTS_PER_CANDIDATE_SET, count - len(chosen))
            chosen = np.vstack([chosen, self._choose(more, np.vstack([waiting, chosen]))])
        if pending is None:
            self._asked += list(chosen)
        return chosen

    def mean_and_deviation(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the posterior mean and standard deviation, ``[n]`` each, of the function at points ``[n, axes]``.

        The standard deviation is that of the function, without the noise of observations.

        Raises
        ------
        ValueError
            There are no observations yet.
        """
        points = np.atleast_2d(np.asarray(points, dtype=float))
        mean, deviation = self._conditioned().mean_and_deviation(*self._inputs(points))
        return mean * self._scale + self._offset, deviation * self._scale

    def mean(self, points: np.ndarray) -> np.ndarray:
        """Return the posterior mean ``[n]`` at points ``[n, axes]``, much faster than with the standard deviation."""
        points = np.atleast_2d(np.asarray(points, dtype=float))
        return self._conditioned().mean(*self._inputs(points)) * self._scale + self._offset

    def sample(self, points: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
        """Return ``[count, n]``: functions drawn from the posterior, jointly at points ``[n, axes]``.

        Up to 400 observations, the draws come from several kernels that fit about as well, so they also reflect the
        uncertainty of the kernel; no other method does.
        """
        points = np.atleast_2d(np.asarray(points, dtype=float))
        rng = np.random.default_rng([self.seed, 4, seed])
        posteriors = self._alternatives()
        x, features = self._inputs(points)
        share = np.arange(count) % len(posteriors)
        draws = np.empty((count, len(points)))
        with threadpool_limits(1):  # threads would slow down work on small matrices on a busy machine
            for i, posterior in enumerate(posteriors):
                if (share == i).any():
                    draws[share == i] = posterior.sample(x, features, int((share == i).sum()), rng)
        return draws * self._scale + self._offset

    def _alternatives(self) -> list[Posterior]:
        """Return posteriors by kernels that fit about as well, or by the best alone if there are many observations."""
        best = self._conditioned()
        if len(self) > _MAX_WITH_ALTERNATIVES:
            return [best]
        if self._alternative_posteriors is None:
            kernels = fit_kernels(self._data, _ALTERNATIVE_KERNELS)[1:]
            self._alternative_posteriors = [Posterior(k, self._data) for k in kernels]
        return self._alternative_posteriors

    def reweighted(self, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the posterior means ``[draws, n]`` at points ``[n, axes]`` for other weights of the observations.

        Parameters
        ----------
        points:
            ``[n, axes]``.
        weights:
            ``[draws, observations]``: a weight of 2 halves the noise of an observation, as if it had been made twice.
            The kernel stays as it is.

        Raises
        ------
        ValueError
            ``weights`` do not have one column for each observation, or there are no observations yet.
        """
        if weights.shape[1:] != self._values.shape:
            raise ValueError(f"`weights` must be [draws, {len(self)}], got {list(weights.shape)}")
        posterior = self._conditioned()
        merged = np.stack([np.bincount(self._merged_row, w) / np.bincount(self._merged_row) for w in weights])
        points = np.atleast_2d(np.asarray(points, dtype=float))
        means = posterior.reweighted(*self._inputs(points), merged)
        return means * self._scale + self._offset

    def expected_error(self) -> float:
        """Return the share of the domain that is expected to be on the wrong side of the boundary.

        It is averaged over the levels.
        """
        mean, deviation = self.mean_and_deviation(self._domain.from_unit(self._domain.survey))
        return float(np.mean([ndtr(-np.abs(mean - level) / deviation).mean() for level in self.levels]))

    def _inputs(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions in the unit cube and the features of points ``[n, axes]``, for the posterior."""
        return self._domain.to_unit(points), self._domain.features(points)

    def _conditioned(self) -> Posterior:
        """Return the posterior of all observations, and fit the kernel anew if it is due."""
        if self._posterior is None:
            if not len(self):
                raise ValueError("the model has no observations yet")
            self._domain.rescale_features()
            order = np.lexsort((self._censored, self._values, *self._points.T))
            points, y = self._points[order], self._values[order]
            self._offset, self._scale = float(y.mean()), float(y.std())
            if self._scale <= 1e-9 * max(1.0, abs(self._offset)):  # all values are equal but for rounding
                self._scale = float(np.abs(self.levels - self._offset).max()) or 1.0
            data = Observations(
                self._domain.to_unit(points),
                (y - self._offset) / self._scale,
                self._variances[order] / self._scale**2,
                self._censored[order],
                self._domain.features(points),
            )
            if self._kernel is None or len(self) >= self._fitted_at * _REFIT_GROWTH:
                (self._kernel,), self._fitted_at = fit_kernels(self._thinned(data)), len(self)
            data, cell = merge_nearest(data, self._kernel, _MAX_CONDITIONED)
            self._merged_row = np.empty(len(self), dtype=int)  # row of `_data` that each observation is part of
            self._merged_row[order] = cell
            self._data = data
            self._posterior = Posterior(self._kernel, data)
        return self._posterior

    def _thinned(self, data: Observations) -> Observations:
        if len(data) <= _MAX_FITTED:
            return data
        keep = np.random.default_rng([self.seed, 2]).permutation(len(data))[:_MAX_FITTED]
        return data[np.sort(keep)]

    def _choose(self, count: int, pending: np.ndarray) -> np.ndarray:
        """Return the next ``count`` points by the model.

        Points for the ridge are chosen after those for the boundary, but stand between them, since a caller may use
        only the first points of a batch.
        """
        posterior, domain = self._conditioned(), self._domain
        levels = (self.levels - self._offset) / self._scale
        turns = len(self) + len(pending) + np.arange(count)
        on_ridge = {"boundary": turns < 0, "ridge": turns >= 0, "both": turns % _RIDGE_PERIOD == 0}[self.aim]
        chosen = np.empty((count, len(self.axes)))
        for turn in (~on_ridge, on_ridge):
            if turn.any():
                rng = np.random.default_rng([self.seed, 3, len(self), len(pending)])
                if turn is on_ridge:
                    targets = ridge_targets(posterior, domain, self._along, rng)
                else:
                    targets = boundary_targets(posterior, domain, levels, rng)
                chosen[turn] = choose(posterior, domain, levels, targets, int(turn.sum()), self._points, pending, rng)
                pending = np.vstack([pending, chosen[turn]])
        return chosen
