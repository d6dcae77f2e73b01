"""The sampler of a sweep's boundary search, which also chooses the depth at which a place is probed."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from scipy.special import ndtr

from sweep.levelset.level_set import LevelSet
from sweep.levelset.sampler import CENSORED, BoundarySampler
from sweep.model.margin import SearchModel
from sweep.spec.experiment import Experiment

_DEPTH_COUNT = 24  # depths that are compared
_RIDGE_LEVELS = 4  # horizons beyond all boundaries, which the critical line needs
_RIDGE_WEIGHT = 0.25  # of these horizons, where a boundary has weight 1
_TRIAL_OVERHEAD = 0.5  # price of a trial whatever its depth, in units of the price of the deepest probe
_BOUND_WORTH = 0.5  # of learning that the horizon is beyond the levels in doubt, where seeing it is worth 1
_MODEL_ERROR = 0.3  # standard deviation of log(horizon) about the model, at a sharp ridge for example
_MIN_DOUBT = 0.02  # probability of being on the wrong side from which on a point is worth training


class SweepSampler(BoundarySampler):
    """Boundary sampler that uses the models of a sweep.

    In a sweep that trains, it searches for the boundary of the truth, which may resemble that of the prediction. In a
    sweep that does not train, and where one probe informs all depths, it also chooses the depth of each probe: the one
    that is expected to tell most for its price, either by showing the horizon or by showing that it lies beyond the
    boundaries.

    Parameters
    ----------
    spec:
        The sweep's specification.
    space:
        The axes as distributions of Optuna, by name.
    cost:
        Returns the cost of a probe of a depth, in any unit.
    batch:
        Number of places that are chosen together.
    outcome:
        Returns the outcome of a completed trial: ``margin``, ``censored``, and ``accuracy`` and ``chance`` if its
        network was trained.
    """

    def __init__(
        self,
        spec: Experiment,
        space: dict[str, BaseDistribution],
        cost: Callable[[int], float],
        batch: int = 1,
        outcome: Callable[[FrozenTrial], dict[str, Any]] = lambda trial: trial.user_attrs,
    ) -> None:
        self._spec, self._outcome = spec, outcome
        self._search = SearchModel(spec)
        self._margin, self._truth = self._search.margin, self._search.truth
        self._chooses_depth = self._margin.through_depth and self._truth is None and "depth" in spec.free_axes
        super().__init__(search_space={n: space[n] for n in self._search.names}, batch=batch, seed=spec.seed)
        if self._chooses_depth:
            self._weigh_depths(cost)

    def _weigh_depths(self, cost: Callable[[int], float]) -> None:
        """Set the depths to compare with their prices, and the horizons that a probe may decide with their weights."""
        low, high = self._spec.depth
        self._depths = np.unique(np.geomspace(low, high, _DEPTH_COUNT).round()).astype(int)
        price = np.array([cost(int(d)) for d in self._depths])
        self._price = price + _TRIAL_OVERHEAD * price.max()
        # The largest log(horizon) that a probe of each depth can see.
        self._max_visible = np.array([self._margin.max_visible(int(d)) for d in self._depths])
        boundary = self._margin.level_set.levels
        ridge = np.linspace(boundary[-1], self._max_visible[-1], _RIDGE_LEVELS + 1)[1:]
        self._log_horizons = np.concatenate([boundary, ridge])
        weights = {"boundary": (1.0, 0.0), "ridge": (0.0, 1.0), "both": (1.0, _RIDGE_WEIGHT)}[self._spec.aim]
        self._weights = np.repeat(weights, (len(boundary), len(ridge)))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return the depth at which a place is probed, or a random value of any other parameter."""
        if param_name != "depth" or not self._chooses_depth:
            return super().sample_independent(study, trial, param_name, param_distribution)
        model = self._margin.level_set
        if len(model):
            mean, deviation = (float(v[0]) for v in model.mean_and_deviation(self._margin.at(**trial.params)))
        else:
            mean, deviation = float(self._log_horizons.mean()), float(np.ptp(self._log_horizons)) + 1.0
        deviation = math.hypot(deviation, _MODEL_ERROR)
        above = ndtr((mean - self._log_horizons) / deviation)
        doubt = self._weights * (above * (1 - above) + 1e-3)
        decided = (self._log_horizons <= self._max_visible[:, None]) @ doubt / doubt.sum()
        in_sight = ndtr((self._max_visible - mean) / deviation)
        worth = in_sight + (1 - in_sight) * _BOUND_WORTH * decided
        return int(self._depths[np.argmax(worth / self._price)])

    def doubtful(self, place: dict[str, Any]) -> bool:
        """Return whether prediction and truth so far leave open on which side of the true boundary a place is."""
        if self._truth is None:
            return False
        if not len(self._truth.level_set):
            return True
        mean, deviation = (float(v[0]) for v in self._truth.level_set.mean_and_deviation(self._truth.at(**place)))
        return float(ndtr(-abs(mean) / deviation)) > _MIN_DOUBT

    def _updated_model(self, study: Study, search_space: dict[str, BaseDistribution]) -> LevelSet:
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        new = [t for t in trials if t.number not in self._told]
        if new:
            self._ahead.clear()
            self._told.update(t.number for t in new)
            self._search.tell([self._row(t) for t in new])
        return self._search.level_set

    def _row(self, trial: FrozenTrial) -> dict[str, Any]:
        outcome = {"margin": trial.value, **self._outcome(trial)}
        return {**outcome, **trial.params, "margin_censored": bool(outcome.get(CENSORED))}
