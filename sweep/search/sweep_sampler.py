"""The boundary search of a sweep: of the prediction or of the truth, and the depth at which a place is probed."""

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

_DEPTHS = 24  # that are compared
_RIDGE_LEVELS = 4
_RIDGE_WEIGHT = 0.25  # of what is learnt about horizons beyond all boundaries, which the critical line needs
_TRIAL = 0.5  # of the price of the deepest probe: what a trial costs whatever its depth
_BOUND_WORTH = 0.5  # of knowing that the horizon is beyond the levels in doubt, where seeing it is worth 1
_SURPRISE = 0.3  # standard deviation of what the model may miss of log(horizon), at a sharp ridge for example
_DOUBT = 0.02  # probability of being on the wrong side from which on a point is worth training


class SweepSampler(BoundarySampler):
    """`BoundarySampler` on the models of a sweep.

    In a sweep that trains, the boundary that is looked for is that of the truth, which may resemble the probe's. In
    one that does not, where one probe informs all depths, it is made at the depth that is expected to tell most for its
    price: deep enough to see the horizon there, or that it lies beyond all boundaries.

    Parameters
    ----------
    spec:
        Of the sweep.
    cost:
        Of a probe of a depth, in any unit.
    space:
        The axes as Optuna knows them.
    batch:
        Points that are asked for at once.
    outcome:
        Of a finished trial: ``margin``, ``censored``, and ``accuracy`` and ``chance`` if its network was trained.
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
        low, high = self._spec.depth
        self._depths = np.unique(np.geomspace(low, high, _DEPTHS).round()).astype(int)
        price = np.array([cost(int(d)) for d in self._depths])
        self._price = price + _TRIAL * price.max()
        self._sees = np.array([self._margin.max_visible(int(d)) for d in self._depths])  # log(horizon), at most
        boundary = self._margin.level_set.levels
        ridge = np.linspace(boundary[-1], self._sees[-1], _RIDGE_LEVELS + 1)[1:]
        self._heights = np.concatenate([boundary, ridge])
        weights = {"boundary": (1.0, 0.0), "ridge": (0.0, 1.0), "both": (1.0, _RIDGE_WEIGHT)}[self._spec.aim]
        self._weights = np.repeat(weights, (len(boundary), len(ridge)))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The depth at which a place is probed."""
        if param_name != "depth" or not self._chooses_depth:
            return super().sample_independent(study, trial, param_name, param_distribution)
        model = self._margin.level_set
        if len(model):
            mean, deviation = (float(v[0]) for v in model.mean_and_deviation(self._margin.at(**trial.params)))
        else:
            mean, deviation = float(self._heights.mean()), float(np.ptp(self._heights)) + 1.0
        deviation = math.hypot(deviation, _SURPRISE)
        above = ndtr((mean - self._heights) / deviation)
        doubt = self._weights * (above * (1 - above) + 1e-3)
        decided = (self._heights <= self._sees[:, None]) @ doubt / doubt.sum()
        in_sight = ndtr((self._sees - mean) / deviation)
        worth = in_sight + (1 - in_sight) * _BOUND_WORTH * decided
        return int(self._depths[np.argmax(worth / self._price)])

    def doubtful(self, place: dict[str, Any]) -> bool:
        """Whether prediction and truth so far leave open on which side of the true boundary a place is."""
        if self._truth is None:
            return False
        if not len(self._truth.level_set):
            return True
        mean, deviation = (float(v[0]) for v in self._truth.level_set.mean_and_deviation(self._truth.at(**place)))
        return float(ndtr(-abs(mean) / deviation)) > _DOUBT

    def _updated_model(self, study: Study, search_space: dict[str, BaseDistribution]) -> LevelSet:
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        new = [t for t in trials if t.number not in self._told]
        if new:
            self._ahead.clear()
            self._told.update(t.number for t in new)
            self._search.tell([self._row(t) for t in new])
        return self._search.level_set

    def _row(self, trial: FrozenTrial) -> dict[str, Any]:
        found = {"margin": trial.value, **self._outcome(trial)}
        return {**found, **trial.params, "margin_censored": bool(found.get(CENSORED))}
