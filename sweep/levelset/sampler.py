"""An Optuna sampler that searches for where the objective crosses a level.

Optuna's own samplers search for a minimum. `BoundarySampler` takes the objective with its sign and samples where it
crosses one or several levels::

    study = optuna.create_study(sampler=BoundarySampler(levels=0.5))
    study.optimize(magnetisation, n_trials=64)
    study.sampler.model(study).mean_and_deviation([[1.2, 0.3]])  # parameters in alphabetical order

It needs no sweep. With several workers on one storage, running trials count as pending. The best trial of the study has
no meaning.
"""

import math
import secrets
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from sweep.levelset.domain import Axis
from sweep.levelset.level_set import LevelSet

CENSORED = "censored"  # user attribute of a trial whose value is a lower bound
VARIANCE = "variance"  # user attribute of a trial: the known variance of the noise of its value
COUNT = "count"  # user attribute of a trial: the number of yes-or-no observations that its value is the share of


class BoundarySampler(BaseSampler):
    """Optuna sampler that proposes points near the boundary, where the objective equals one of ``levels``.

    A trial whose value is only a lower bound sets the user attribute ``censored`` to True; a trial whose noise is known
    sets ``variance``; a trial whose value is the share of n yes-or-no observations that were a yes sets ``count`` to n.
    Nothing is learnt from a trial where one of the last two is no number or negative, or is the count of a value that
    is not between 0 and 1. Categorical parameters, and all that are not in the search space, are sampled at random.

    Parameters
    ----------
    levels:
        Values of the objective at the boundaries.
    aim:
        What is searched for: ``boundary``; ``ridge``, where the objective is largest along one parameter; or ``both``.
    along:
        Name of the parameter along which the ridge is a maximum; by default, the first in alphabetical order.
    search_space:
        Distributions of the parameters to model, by name; by default, of those that all completed trials share.
    features:
        Functions that the objective may resemble, up to unknown coefficients: maps a dict of parameters to one number
        or several.
    batch:
        Number of points that are chosen together and then handed out until a result comes in; more than one is faster
        where many trials run at once.
    seed:
        Seed of everything random; by default, a random one.
    outcome:
        How values are modelled: as a ``value`` with normal noise, or as the ``side`` of the level on which it lies,
        which is better for yes-or-no outcomes and for objectives that jump; ``auto`` decides as they come in. Details
        are in `LevelSet`.

    Raises
    ------
    ValueError
        When the first point is chosen by a model, in the cases of `LevelSet`.

    Notes
    -----
    A study with several objectives raises ValueError as soon as a trial asks for its parameters.
    """

    def __init__(
        self,
        *,
        levels: float | Sequence[float] = 0.0,
        aim: str = "boundary",
        along: str | None = None,
        search_space: Mapping[str, BaseDistribution] | None = None,
        features: Callable[[dict[str, Any]], float | Sequence[float]] | None = None,
        batch: int = 1,
        seed: int | None = None,
        outcome: str = "value",
    ) -> None:
        self._levels, self._aim, self._along, self._features, self.batch = levels, aim, along, features, batch
        self._seen_as = outcome
        self._seed = secrets.randbits(31) if seed is None else seed
        self._space = None if search_space is None else dict(search_space)
        self._intersection = IntersectionSearchSpace()
        self._independent = RandomSampler(seed=self._seed)
        self._model: LevelSet | None = None
        self._told: set[int] = set()  # numbers of the trials that the model knows
        self._handed_out: dict[int, dict[str, Any]] = {}  # point of each trial, until the storage knows it
        self._ahead: deque[np.ndarray] = deque()  # points that were chosen and not handed out yet
        self._busy: set[tuple[float, ...]] = set()  # points pending when the last one was handed out, and that one
        self._lock = threading.RLock()  # study.optimize(n_jobs=...) calls from several threads

    def __getstate__(self) -> dict[str, Any]:
        # The model may hold functions that cannot be pickled; it is made anew from the study.
        return {**self.__dict__, "_lock": None, "_model": None, "_told": set(), "_ahead": deque()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()

    def model(self, study: Study) -> LevelSet:
        """Return the model of the objective, given all completed trials of a study.

        Its axes are the numeric parameters in alphabetical order.

        Raises
        ------
        ValueError
            There is no numeric parameter to model: no trial has completed yet, for example, and no search space was
            given.
        """
        with self._lock:
            space = self._relative(study)
            if not space:
                raise ValueError("`study` must hold finished trials with numeric parameters, got none")
            return self._updated_model(study, space)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the distributions of the numeric parameters that are not fixed to one value."""
        _refuse_several_objectives(study)
        return self._relative(study)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return a new point, chosen with regard to the trials that are running."""
        if not search_space:
            return {}
        with self._lock:
            model = self._updated_model(study, search_space)
            names = [a.name for a in model.axes]
            pending = self._pending(study, trial, names)
            if not self._ahead or set(pending) != self._busy:
                self._ahead = deque(model.ask(self.batch, np.array(pending).reshape(-1, len(names))))
            point = self._ahead.popleft()
            chosen = {n: _nearest_allowed(v, search_space[n]) for n, v in zip(names, point, strict=True)}
            self._handed_out[trial.number] = chosen
            self._busy = {*pending, tuple(float(v) for v in chosen.values())}
            return chosen

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a random value of a parameter that is not modelled."""
        _refuse_several_objectives(study)
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """Reseed the sampling of parameters that are not modelled.

        Points near the boundary differ between workers all the same, since each regards the others' as pending.
        """
        self._independent.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Do nothing before a trial."""

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Forget the point of a trial; its outcome is read from the study when the next point is chosen."""
        self._handed_out.pop(trial.number, None)
        self._independent.after_trial(study, trial, state, values)

    def _relative(self, study: Study) -> dict[str, BaseDistribution]:
        space = self._space if self._space is not None else self._intersection.calculate(study)
        return {
            name: d
            for name, d in sorted(space.items())
            if isinstance(d, FloatDistribution | IntDistribution) and not d.single()
        }

    def _pending(self, study: Study, trial: FrozenTrial, names: list[str]) -> list[tuple[float, ...]]:
        """Return the points of trials that are running, failed or were pruned, without repetition.

        A failed or pruned trial teaches nothing, but its point must not be tried again, so it counts as pending for
        ever.
        """
        pending: dict[tuple[float, ...], None] = {}
        for t in study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.FAIL, TrialState.PRUNED)):
            params = {**self._handed_out.get(t.number, {}), **t.params}
            if t.number != trial.number and all(n in params for n in names):
                pending[tuple(float(params[n]) for n in names)] = None
        return list(pending)

    def _updated_model(self, study: Study, search_space: dict[str, BaseDistribution]) -> LevelSet:
        axes = [_axis(name, d) for name, d in search_space.items()]
        if self._model is None or self._model.axes != axes:
            self._model = self._new_model(axes)
            self._told = set()
        names = [a.name for a in axes]
        new = [
            t
            for t in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            if t.number not in self._told and all(n in t.params for n in names)
        ]
        if new:
            self._ahead.clear()
            self._told.update(t.number for t in new)
            self._model.tell(
                np.array([[t.params[n] for n in names] for t in new], dtype=float),
                [t.values[0] for t in new],
                [bool(t.user_attrs.get(CENSORED)) for t in new],
                [_number(t.user_attrs.get(VARIANCE, 0.0)) for t in new],
                [_number(t.user_attrs.get(COUNT, 0.0)) for t in new],
            )
        return self._model

    def _new_model(self, axes: list[Axis]) -> LevelSet:
        return LevelSet(
            axes,
            levels=self._levels,
            aim=self._aim,
            along=self._along,
            features=self._vectorised(axes),
            seed=self._seed,
            outcome=self._seen_as,
        )

    def _vectorised(self, axes: list[Axis]) -> Callable[[np.ndarray], np.ndarray] | None:
        if (features := self._features) is None:
            return None
        names = [a.name for a in axes]
        return lambda points: np.array([np.ravel(features(dict(zip(names, p, strict=True)))) for p in points])


def _refuse_several_objectives(study: Study) -> None:
    if len(study.directions) != 1:
        raise ValueError(f"`study` must have one objective, got {len(study.directions)}")


def _number(value: Any) -> float:
    """Return a user attribute as a number, which is not finite if the attribute is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _axis(name: str, d: BaseDistribution) -> Axis:
    assert isinstance(d, FloatDistribution | IntDistribution)
    return Axis(name, d.low, d.high, log=d.log, integer=isinstance(d, IntDistribution))


def _nearest_allowed(value: float, d: BaseDistribution) -> float | int:
    """Return the nearest value that the distribution allows."""
    assert isinstance(d, FloatDistribution | IntDistribution)
    if d.step is not None:
        value = d.low + round((value - d.low) / d.step) * d.step
    value = min(max(value, d.low), d.high)
    return int(value) if isinstance(d, IntDistribution) else float(value)
