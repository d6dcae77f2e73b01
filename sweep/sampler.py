"""BoundarySampler: an Optuna sampler that looks for where the objective crosses a level.

Stock samplers look for a minimum. This one takes the objective as it is, signed, and refines where it
crosses ``level``::

    study = optuna.create_study(sampler=BoundarySampler(level=0.5))
    study.optimize(magnetisation, n_trials=64)

It can be used without anything else of this package. With several workers on one storage, running trials
count as pending. What the study calls its best trial has no meaning.
"""

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from .boundary import Axis, LevelSet

__all__ = ["CENSORED", "BoundarySampler"]

CENSORED = "censored"  # user attribute of a trial whose value is a lower bound


class BoundarySampler(BaseSampler):
    """Sample near the boundary where the objective equals ``level``.

    Parameters
    ----------
    level:
        The value that the boundary is at.
    search_space:
        Name -> distribution of the parameters to model; by default those that all finished trials share.
        Categorical parameters, and all others, are sampled at random.
    trend:
        Known part of the objective as a function of the parameters (a dict of name -> value).
    seed:
        Of everything random; by default, another one each time.
    """

    def __init__(
        self,
        *,
        level: float = 0.0,
        search_space: Mapping[str, BaseDistribution] | None = None,
        trend: Callable[[dict[str, Any]], float] | None = None,
        seed: int | None = None,
    ) -> None:
        self._level, self._trend = level, trend
        self._seed = secrets.randbits(31) if seed is None else seed
        self._space = None if search_space is None else dict(search_space)
        self._intersection = IntersectionSearchSpace()
        self._independent = RandomSampler(seed=self._seed)
        self._model: LevelSet | None = None
        self._told: set[int] = set()
        self._handed_out: dict[int, dict[str, Any]] = {}  # trial -> point, until the storage knows it
        self._lock = threading.Lock()  # study.optimize(n_jobs=...) calls from several threads

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The numeric parameters that are not fixed to one value."""
        space = self._space if self._space is not None else self._intersection.calculate(study)
        return {
            name: d
            for name, d in sorted(space.items())
            if isinstance(d, FloatDistribution | IntDistribution) and not d.single()
        }

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """One new point, running trials respected."""
        if not search_space:
            return {}
        with self._lock:
            model = self._updated_model(study, search_space)
            names = [a.name for a in model.axes]
            pending: list[list[float]] = []
            # A failed trial says nothing, but its place is not to be tried again: as good as pending for ever.
            for t in study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.FAIL)):
                params = {**self._handed_out.get(t.number, {}), **t.params}
                if t.number != trial.number and all(n in params for n in names):
                    place = [float(params[n]) for n in names]
                    if t.state == TrialState.RUNNING or place not in pending:
                        pending.append(place)
            point = model.ask(1, np.array(pending) if pending else None)[0]
            chosen = {n: _on_grid(v, search_space[n]) for n, v in zip(names, point, strict=True)}
            self._handed_out[trial.number] = chosen
            return chosen

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """At random."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """Reseed the random part; boundary points differ between workers through what is pending."""
        self._independent.reseed_rng()

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Forget the point; the trial's outcome is read from the study when the next one is asked for."""
        self._handed_out.pop(trial.number, None)
        self._independent.after_trial(study, trial, state, values)

    def _updated_model(self, study: Study, search_space: dict[str, BaseDistribution]) -> LevelSet:
        axes = [_axis(name, d) for name, d in search_space.items()]
        if self._model is None or self._model.axes != axes:
            self._model = LevelSet(axes, level=self._level, trend=self._vectorised(axes), seed=self._seed)
            self._told = set()
        names = [a.name for a in axes]
        new = [
            t
            for t in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            if t.number not in self._told and all(n in t.params for n in names)
        ]
        if new:
            self._told.update(t.number for t in new)
            self._model.tell(
                np.array([[t.params[n] for n in names] for t in new], dtype=float),
                [t.values[0] for t in new],
                [bool(t.user_attrs.get(CENSORED)) for t in new],
            )
        return self._model

    def _vectorised(self, axes: list[Axis]) -> Callable[[np.ndarray], np.ndarray] | None:
        if (trend := self._trend) is None:
            return None
        names = [a.name for a in axes]
        return lambda points: np.array([trend(dict(zip(names, p, strict=True))) for p in points])


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
