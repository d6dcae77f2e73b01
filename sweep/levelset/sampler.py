"""BoundarySampler: an Optuna sampler that looks for where the objective crosses a level.

Stock samplers look for a minimum. This one takes the objective as it is, signed, and refines where it
crosses one or several levels::

    study = optuna.create_study(sampler=BoundarySampler(levels=0.5))
    study.optimize(magnetisation, n_trials=64)
    study.sampler.model(study).mean_and_deviation([[1.2, 0.3]])  # parameters in alphabetical order

It can be used without anything else of this package. With several workers on one storage, running trials
count as pending. What the study calls its best trial has no meaning.
"""

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
VARIANCE = "variance"  # user attribute: what is known of the variance of a trial's value


class BoundarySampler(BaseSampler):
    """Sample near the boundary where the objective equals one of ``levels``.

    A trial whose objective could only be bounded from below sets the user attribute ``censored`` to True, one whose
    noise is known sets ``variance``.

    Parameters
    ----------
    levels:
        The values that the boundaries are at.
    aim:
        ``boundary``; ``ridge``: where the objective is largest along ``along``; ``both``.
    along:
        Name of a parameter; by default, the first in alphabetical order.
    search_space:
        Name -> distribution of the parameters to model; by default those that all finished trials share.
        Categorical parameters, and all others, are sampled at random.
    features:
        What the objective may resemble, up to unknown coefficients: a dict of name -> value to a number or several.
    batch:
        How many points are thought of at once while no result comes in: faster for those who ask for many.
    seed:
        Of everything random; by default, another one each time.
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
    ) -> None:
        self._levels, self._aim, self._along, self._features, self.batch = levels, aim, along, features, batch
        self._seed = secrets.randbits(31) if seed is None else seed
        self._space = None if search_space is None else dict(search_space)
        self._intersection = IntersectionSearchSpace()
        self._independent = RandomSampler(seed=self._seed)
        self._model: LevelSet | None = None
        self._told: set[int] = set()
        self._handed_out: dict[int, dict[str, Any]] = {}  # trial -> point, until the storage knows it
        self._ahead: deque[np.ndarray] = deque()  # points thought of already
        self._busy: set[tuple[float, ...]] = set()  # what was pending when they were, and those handed out since
        self._lock = threading.RLock()  # study.optimize(n_jobs=...) calls from several threads

    def __getstate__(self) -> dict[str, Any]:
        # The model is made anew from the study: it may hold functions that cannot be pickled.
        return {**self.__dict__, "_lock": None, "_model": None, "_told": set(), "_ahead": deque()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()

    def model(self, study: Study) -> LevelSet:
        """The model of the objective, of all that the study knows.

        Raises
        ------
        ValueError
            No trial has finished yet, and no search space was given.
        """
        with self._lock:
            space = self._relative(study)
            if not space:
                raise ValueError("`study` must hold finished trials with numeric parameters, got none")
            return self._updated_model(study, space)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The numeric parameters that are not fixed to one value."""
        _refuse_several_objectives(study)
        return self._relative(study)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """One new point, running trials respected."""
        if not search_space:
            return {}
        with self._lock:
            model = self._updated_model(study, search_space)
            names = [a.name for a in model.axes]
            pending = self._pending(study, trial, names)
            if not self._ahead or set(pending) != self._busy:
                self._ahead = deque(model.ask(self.batch, np.array(pending).reshape(-1, len(names))))
            point = self._ahead.popleft()
            chosen = {n: _on_grid(v, search_space[n]) for n, v in zip(names, point, strict=True)}
            self._handed_out[trial.number] = chosen
            self._busy = {*pending, tuple(float(v) for v in chosen.values())}
            return chosen

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """At random."""
        _refuse_several_objectives(study)
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """Reseed the random part; boundary points differ between workers through what is pending."""
        self._independent.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Prepare nothing."""

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Forget the point; the trial's outcome is read from the study when the next one is asked for."""
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
        """Places that are under way, and those that failed or were pruned.

        A failed trial says nothing, but its place is not to be tried again: as good as pending for ever.
        """
        found: dict[tuple[float, ...], None] = {}
        for t in study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.FAIL, TrialState.PRUNED)):
            params = {**self._handed_out.get(t.number, {}), **t.params}
            if t.number != trial.number and all(n in params for n in names):
                found[tuple(float(params[n]) for n in names)] = None
        return list(found)

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
                [float(t.user_attrs.get(VARIANCE, 0.0)) for t in new],
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
        )

    def _vectorised(self, axes: list[Axis]) -> Callable[[np.ndarray], np.ndarray] | None:
        if (features := self._features) is None:
            return None
        names = [a.name for a in axes]
        return lambda points: np.array([np.ravel(features(dict(zip(names, p, strict=True)))) for p in points])


def _refuse_several_objectives(study: Study) -> None:
    if len(study.directions) != 1:
        raise ValueError(f"`study` must have one objective, got {len(study.directions)}")


def _axis(name: str, d: BaseDistribution) -> Axis:
    assert isinstance(d, FloatDistribution | IntDistribution)
    return Axis(name, d.low, d.high, log=d.log, integer=isinstance(d, IntDistribution))


def _on_grid(value: float, d: BaseDistribution) -> float | int:
    """The nearest value that the distribution allows."""
    assert isinstance(d, FloatDistribution | IntDistribution)
    if d.step is not None:
        value = d.low + round((value - d.low) / d.step) * d.step
    value = min(max(value, d.low), d.high)
    return int(value) if isinstance(d, IntDistribution) else float(value)
