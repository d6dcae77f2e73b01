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
from sweep.levelset.gaussian_process import Kernel, Posterior
from sweep.levelset.outcome import OUTCOMES, SideView, Told, ValueView, View, better, suitable
from sweep.levelset.targets import boundary_targets, ridge_targets

AIMS = ("boundary", "ridge", "both")
_MAX_POINTS_PER_CANDIDATE_SET = 64
_RIDGE_PERIOD = 4  # with aim="both", one point in so many is for the ridge
_REFIT_GROWTH = 1.1  # the kernel is fitted anew when there are this many times more observations
_ALTERNATIVE_KERNELS = 10  # that functions are drawn with
_MAX_WITH_ALTERNATIVES = 400  # observations; with more, the best kernel is certain enough


class LevelSet:
    """A model of a noisy function and of where it crosses one or several levels.

    Parameters
    ----------
    axes:
        One to six axes. Points are arrays ``[n, axes]`` in natural units, in this order.
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
    outcome:
        How observations are modelled: as a ``value`` with normal noise, or as the ``side`` of the level on which it
        lies, which is better for yes-or-no outcomes and for functions that jump; ``auto`` decides as they come in.

    Raises
    ------
    ValueError
        There are no axes, ``aim``, ``along`` or ``outcome`` is unknown, ``levels`` are not finite numbers, or an
        ``outcome`` of ``side`` is combined with a ridge.

    Notes
    -----
    Outcomes are yes or no if there are two values in all, on either side of the levels, in at least eight observations,
    or if they were told with counts. Their function is the expected outcome, which may cross several levels. Of other
    values, only one level has sides: ``side`` with several raises ValueError as soon as the model is needed, and the
    mean of the function says no more than on which side it is and how clearly. ``auto`` takes sides for yes-or-no
    outcomes, and otherwise where they predict each other better than values predict them.

    A value a hundred times as far beyond the levels as the function is typically is an outlier; then all values far
    from the levels are drawn in, and so is the mean.
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
        outcome: str = "value",
    ) -> None:
        if not axes:
            raise ValueError("`axes` must hold at least one axis, got none")
        if aim not in AIMS:
            raise ValueError(f"`aim` must be one of {', '.join(AIMS)}, got {aim!r}")
        if outcome not in OUTCOMES:
            raise ValueError(f"`outcome` must be one of {', '.join(OUTCOMES)}, got {outcome!r}")
        if outcome == "side" and aim != "boundary":
            raise ValueError(f"`outcome` must be 'value' or 'auto' to search for a ridge, got {outcome!r}")
        names = [a.name for a in axes]
        if along is not None and along not in names:
            raise ValueError(f"`along` must be one of {', '.join(names)}, got {along!r}")
        self.axes, self.aim, self.seed, self.outcome = list(axes), aim, seed, outcome
        self._along = names.index(along) if along else 0
        self.levels = np.sort(np.unique(np.atleast_1d(np.asarray(levels, dtype=float))))
        if not len(self.levels) or not np.isfinite(self.levels).all():
            raise ValueError(f"`levels` must be finite numbers, got {levels!r}")
        self._domain = Domain(axes, features, seed)
        self._asked: list[np.ndarray] = []
        self._fitted_at = 0
        self._kernel: Kernel | None = None
        self._seen_as: type[View] = ValueView
        self._view: View
        self._posterior: Posterior | None = None
        self._alternative_posteriors: list[Posterior] | None = None
        self._told: Told
        self._useless: np.ndarray
        self.forget()

    def __len__(self) -> int:
        """Return the number of observations that the model knows."""
        return len(self._told)

    @property
    def seen_as(self) -> str:
        """How the observations are modelled at present: as a ``value`` or a ``side``."""
        if len(self):
            self._conditioned()
        return "side" if self._seen_as is SideView else "value"

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
        counts: Sequence[float] | None = None,
    ) -> None:
        """Add observations, in any order.

        Parameters
        ----------
        points:
            ``[n, axes]``: where the function was observed.
        values:
            ``[n]``: the observed values. Where the value, the variance or the count is not finite, or a share is not
            between 0 and 1, nothing is learnt, but the point is not proposed again.
        censored:
            ``[n]``: whether a value is a lower bound; by default, none is.
        variances:
            ``[n]``: known variances of the noise, which add to an unknown variance that all observations share.
        counts:
            ``[n]``: number of yes-or-no observations that a value, between 0 and 1, is the share of; 0 where a value is
            no share, the default.

        Raises
        ------
        ValueError
            The arguments differ in length, or points do not have one column for each axis.
        """
        points = np.atleast_2d(np.asarray(points, dtype=float))
        y = np.asarray(values, dtype=float)
        bound = np.zeros(len(y), dtype=bool) if censored is None else np.asarray(censored, dtype=bool)
        noise, times = (np.zeros(len(y)) if a is None else np.asarray(a, dtype=float) for a in (variances, counts))
        if points.shape != (len(y), len(self.axes)) or not bound.shape == noise.shape == times.shape == y.shape:
            raise ValueError(f"`points` must be [{len(y)}, {len(self.axes)}], got {list(points.shape)}")
        observed = {tuple(p) for p in points}
        self._asked = [p for p in self._asked if tuple(p) not in observed]
        good = np.isfinite(y) & np.isfinite(points).all(1) & np.isfinite(noise) & (noise >= 0)
        good &= (times == 0) | (np.isfinite(times) & (times > 0) & (y >= 0) & (y <= 1))
        # Points that taught nothing are not proposed again.
        self._useless = np.vstack([self._useless, points[~good & np.isfinite(points).all(1)]])
        self._told += Told(points[good], y[good], noise[good], bound[good], times[good])
        self._posterior = self._alternative_posteriors = None

    def forget(self) -> None:
        """Forget all observations; the kernel stays until it is due to be fitted anew."""
        self._told = Told.nothing(len(self.axes))
        self._useless = np.empty((0, len(self.axes)))
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

        The standard deviation is that of the function, without the noise of observations. Of sides, the mean is the
        median of the expected outcome, and the standard deviation half the width of the interval that holds two thirds
        of its probability.

        Raises
        ------
        ValueError
            There are no observations yet.
        """
        points = np.atleast_2d(np.asarray(points, dtype=float))
        posterior = self._conditioned()
        mean, deviation = posterior.mean_and_deviation(*self._inputs(points))
        return self._from_model(mean), self._view.deviation(mean, deviation, posterior.kernel)

    def mean(self, points: np.ndarray) -> np.ndarray:
        """Return the posterior mean ``[n]`` at points ``[n, axes]``, much faster than with the standard deviation."""
        points = np.atleast_2d(np.asarray(points, dtype=float))
        return self._from_model(self._conditioned().mean(*self._inputs(points)))

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
                    drawn = posterior.sample(x, features, int((share == i).sum()), rng)
                    draws[share == i] = self._view.from_model(drawn, posterior.kernel)
        return draws

    def _alternatives(self) -> list[Posterior]:
        """Return posteriors by kernels that fit about as well, or by the best alone if there are many observations."""
        best = self._conditioned()
        if len(self) > _MAX_WITH_ALTERNATIVES:
            return [best]
        if self._alternative_posteriors is None:
            kernels = self._view.fit(np.arange(len(self)), _ALTERNATIVE_KERNELS)[1:]
            self._alternative_posteriors = [self._view.posterior(k, len(self))[0] for k in kernels]
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
        if weights.shape[1:] != (len(self),):
            raise ValueError(f"`weights` must be [draws, {len(self)}], got {list(weights.shape)}")
        posterior = self._conditioned()
        used = self._merged_row >= 0
        row = self._merged_row[used]
        merged = np.stack([np.bincount(row, w) / np.bincount(row) for w in weights[:, used]])
        points = np.atleast_2d(np.asarray(points, dtype=float))
        means = posterior.reweighted(*self._inputs(points), merged)
        return self._from_model(means)

    def expected_error(self) -> float:
        """Return the share of the domain that is expected to be on the wrong side of the boundary.

        It is averaged over the levels.
        """
        posterior = self._conditioned()
        mean, deviation = posterior.mean_and_deviation(*self._inputs(self._domain.from_unit(self._domain.survey)))
        distances = self._view.distances(mean, deviation, posterior.kernel)
        return float(np.mean([ndtr(-np.abs(z)).mean() for z in distances]))

    def _inputs(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions in the unit cube and the features of points ``[n, axes]``, for the posterior."""
        return self._domain.to_unit(points), self._domain.features(points)

    def _from_model(self, values: np.ndarray) -> np.ndarray:
        return self._view.from_model(values, self._conditioned().kernel)

    def _model_levels(self) -> np.ndarray:
        return self._view.to_model(self.levels, self._conditioned().kernel)

    def _conditioned(self) -> Posterior:
        """Return the posterior of all observations, and fit the kernel anew if it is due."""
        if self._posterior is None:
            if not len(self):
                raise ValueError("the model has no observations yet")
            self._domain.rescale_features()
            order = self._told.order()
            told = self._told[order]
            due = len(self) >= self._fitted_at * _REFIT_GROWTH
            if self._kernel is None or due or not self._seen_as.suits(told, self.levels):
                self._view, self._kernel = self._fitted(told)
                self._seen_as, self._fitted_at = type(self._view), len(self)
            else:
                self._view = self._seen_as(told, self._domain, self.levels)
            self._posterior, cell = self._view.posterior(self._kernel, self._view.max_conditioned)
            self._merged_row = np.empty(len(self), dtype=int)  # row of the posterior that each observation is part of
            self._merged_row[order] = cell
        return self._posterior

    def _fitted(self, told: Told) -> tuple[View, Kernel]:
        """Return the view of the observations that predicts best, and its kernel."""
        views: list[tuple[View, Kernel]] = []
        for kind in suitable(told, self.levels, self.outcome if self.aim == "boundary" else "value"):
            view = kind(told, self._domain, self.levels)
            views.append((view, view.fit(self._thinned(len(told), kind.max_fitted))[0]))
        return better(views, self._thinned(len(told), min(type(view).max_fitted for view, _ in views)))

    def _thinned(self, count: int, limit: int) -> np.ndarray:
        """Return the indices of observations, at most so many, drawn at random; of fewer, some of the same."""
        if count <= limit:
            return np.arange(count)
        return np.sort(np.random.default_rng([self.seed, 2]).permutation(count)[:limit])

    def _choose(self, count: int, pending: np.ndarray) -> np.ndarray:
        """Return the next ``count`` points by the model.

        Points for the ridge are chosen after those for the boundary, but stand between them, since a caller may use
        only the first points of a batch.
        """
        posterior, domain = self._conditioned(), self._domain
        levels = self._model_levels()
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
                chosen[turn] = choose(
                    posterior, domain, levels, targets, int(turn.sum()), self._told.points, pending, rng
                )
                pending = np.vstack([pending, chosen[turn]])
        return chosen
