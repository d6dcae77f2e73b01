"""The trials of a sweep in its Optuna study, kept in agreement with the measured rows.

The rows are the truth: whenever a sweep starts, the study is brought into agreement with them, or made anew from them
if it is missing or damaged. If the study's server fails, the study moves to a journal file of the sweep.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from probes.point import Point
from sweep.search.journal import JOURNAL, open_study, server_error
from sweep.search.optuna_patches import storage_of
from sweep.search.outcome import Outcome, Row
from sweep.spec.axes import Axis
from sweep.spec.design import Place, place_of, point_at, seeds
from sweep.spec.space import Space
from sweep.spec.spec import SweepSpec

T = TypeVar("T")
_DOUBTFUL = "doubtful"  # user attribute of a trial whose points are to be trained whatever the probe says


def search_space(spec: Space) -> dict[str, BaseDistribution]:
    """Return the axes of a sweep as distributions of Optuna, by name.

    The depth is the last one: it is chosen for the place that the others make up.
    """
    axes = sorted(spec.axes.values(), key=lambda axis: axis.name == "depth")
    return {axis.name: _distribution(axis) for axis in axes}


def _distribution(axis: Axis) -> BaseDistribution:
    if axis.whole:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return FloatDistribution(*axis.ends, log=axis.log)


class Record:
    """The study of a sweep, with the outcome of every place that was asked for or measured.

    Parameters
    ----------
    spec:
        The sweep's specification.
    folder:
        Folder of the study's journal.
    rows:
        Rows that were measured already.
    make_sampler:
        Returns the sampler for the study, which is open by then.
    again:
        Rows of points that failed and are to be measured once more.

    Attributes
    ----------
    space:
        The axes as distributions of Optuna, by name.
    study:
        The open study; it is replaced when its server fails.
    outcomes:
        The outcome of each place.
    doubtful:
        Places that are to be trained whatever the probe says.

    Raises
    ------
    SpecError
        ``spec.study`` names a server that cannot be used.
    """

    def __init__(
        self,
        spec: SweepSpec,
        folder: Path,
        rows: Sequence[Row],
        make_sampler: Callable[["Record"], BaseSampler],
        again: Iterable[Row] = (),
    ) -> None:
        self.spec, self.space = spec, search_space(spec)
        self._folder, self._make_sampler = folder, make_sampler
        self.outcomes: dict[Place, Outcome] = {}
        self.doubtful: set[Place] = set()
        self._open(spec)
        for row in rows:
            self.outcomes.setdefault(place_of(spec, row), Outcome()).add(row)
        for row in again:
            self.outcomes.setdefault(place_of(spec, row), Outcome()).retry_seeds += (row["seed"],)

    def _open(self, spec: SweepSpec) -> None:
        self.study = open_study(spec, self._folder)
        self._storage, self._id = storage_of(self.study)
        self.study.sampler = self._make_sampler(self)
        self._on_server = spec.study is not None

    def use_study(self, use: Callable[[], T]) -> T:
        """Return the result of ``use``, called again with a journal in place of the server if the server fails."""
        try:
            return use()
        except (
            Exception
        ) as error:  # a database raises errors of many kinds; an error of the code itself is raised again below
            if not self._on_server:
                raise
            message = "the study %s cannot be used any more (%s): the sweep goes on with a journal in its directory"
            logging.getLogger(__name__).warning(message, self.spec.study, type(error).__name__)
            self._move_here()
            return use()

    def _move_here(self) -> None:
        """Begin a journal with the outcomes of all places."""
        (self._folder / JOURNAL).unlink(missing_ok=True)
        self._open(replace(self.spec, study=None))
        for place in self.outcomes:
            self._adopt(place)
            if place in self.doubtful:
                self._store_doubt(place)

    def replay(self) -> list[list[Point]]:
        """Bring the study into agreement with the rows, whatever was lost of either.

        Returns
        -------
        list of list of Point
            The points that are to be measured before all others, grouped by place: those that were under way when the
            sweep stopped, and those whose rows are missing.

        Raises
        ------
        SpecError, UnavailableError
            The study's server failed.
        """
        try:
            return self._replay()
        except Exception as error:
            if not self._on_server:
                raise
            raise server_error(self.spec, error) from None

    def _replay(self) -> list[list[Point]]:
        waiting: list[list[Point]] = []
        revived: dict[Place, Outcome] = {}  # places whose trial failed, but which were measured later
        for trial in self.study.get_trials(deepcopy=False):
            running = trial.state == TrialState.RUNNING
            if set(trial.params) != set(self.spec.axes):
                if running:
                    self.close(trial.number)
                continue
            place = place_of(self.spec, trial.params)
            outcome = self.outcomes.get(place)
            if not running and trial.state != TrialState.COMPLETE and outcome is None:
                continue
            if trial.user_attrs.get(_DOUBTFUL):
                self.doubtful.add(place)
            if outcome is not None and outcome.number is not None:
                if running:
                    self.close(trial.number)
                elif trial.state == TrialState.COMPLETE:
                    revived.pop(place, None)
                continue
            outcome = self.outcomes.setdefault(place, Outcome())
            outcome.number = trial.number
            if missing := self.missing(place):
                waiting.append(missing)
            elif running:
                self.close(trial.number, outcome)
            elif trial.state == TrialState.FAIL and outcome.measured:
                revived[place] = outcome
        for place, outcome in revived.items():
            self.add_trial(place, outcome)
        for place in [p for p, outcome in self.outcomes.items() if outcome.number is None]:
            self._adopt(place)
            if missing := self.missing(place):
                waiting.append(missing)
        return waiting

    def missing(self, place: Place) -> list[Point]:
        """Return the points of a place that have no row yet."""
        outcome = self.outcomes[place]
        planned = seeds(self.spec, outcome.number or 0) if outcome.number != -1 else []
        wanted = [s for s in dict.fromkeys([*outcome.retry_seeds, *planned]) if s not in outcome.seeds]
        return [point_at(self.spec, place, seed) for seed in wanted[: max(0, self.spec.replicas - len(outcome.seeds))]]

    def _adopt(self, place: Place) -> None:
        """Add a trial for a place that the study does not know, if the sweep's ranges contain it."""
        outcome = self.outcomes[place]
        done = len(outcome.seeds) >= self.spec.replicas
        axes = self.spec.axes.values()
        in_range = all(axis.low <= value <= axis.high for value, axis in zip(place, axes, strict=True))
        outcome.number = self.add_trial(place, outcome if done else None) if in_range else -1

    def add_trial(self, place: Place, outcome: Outcome | None = None) -> int:
        """Add a trial that is running, or finished if its outcome is given, and return its number."""
        params, now = dict(zip(self.spec.axes, place, strict=True)), datetime.now()
        if outcome is None:
            trial = create_trial(state=TrialState.RUNNING, params=params, distributions=self.space)
            trial.datetime_start, trial.datetime_complete = now, None
        else:
            trial = create_trial(
                state=TrialState.COMPLETE if outcome.measured else TrialState.FAIL,
                value=self._value(outcome),
                params=params,
                distributions=self.space,
                user_attrs=outcome.attributes,
            )
        trial_id = self._storage.create_new_trial(self._id, template_trial=trial)
        return self._storage.get_trial_number_from_id(trial_id)

    def mark_doubtful(self, place: Place) -> None:
        """Mark a place as one that is to be trained whatever the probe says."""
        self.doubtful.add(place)
        self.use_study(partial(self._store_doubt, place))

    def tell(self, rows: Sequence[Row]) -> None:
        """Add measured rows, and finish the trials of places whose replicas have all been measured."""
        for row in rows:
            outcome = self.outcomes.setdefault(place_of(self.spec, row), Outcome(-1))
            if outcome.add(row) and len(outcome.seeds) >= self.spec.replicas:
                self.use_study(partial(self._finish, outcome))

    def attributes_of(self, trial: FrozenTrial) -> dict[str, Any]:
        """Return the user attributes of a trial, with those that follow from the rows.

        The journal of an older version may lack them.
        """
        outcome = self.outcomes.get(place_of(self.spec, trial.params))
        return {**trial.user_attrs, **(outcome.attributes if outcome is not None else {})}

    def close(self, number: int, outcome: Outcome | None = None) -> None:
        """Finish a running trial with its outcome, or as failed if nothing was measured.

        If the trial has failed before and its point was measured later, a further trial is added, since a finished one
        cannot be changed.
        """
        trial_id = self._trial_id(number)
        trial = self._storage.get_trial(trial_id)
        if trial.state.is_finished():
            if trial.state == TrialState.FAIL and outcome is not None and outcome.measured:
                self.add_trial(place_of(self.spec, trial.params), outcome)
            return
        value = None
        if outcome is not None and (value := self._value(outcome)) is not None:
            for key, item in outcome.attributes.items():
                self._storage.set_trial_user_attr(trial_id, key, item)
        state, values = (TrialState.FAIL, None) if value is None else (TrialState.COMPLETE, [value])
        self._storage.set_trial_state_values(trial_id, state, values)

    def _finish(self, outcome: Outcome) -> None:
        # The number is read only here, since a study that replaced another may have changed it.
        if outcome.number is not None and outcome.number >= 0:
            self.close(outcome.number, outcome)

    def _value(self, outcome: Outcome) -> float | None:
        """Return the value of a trial: the margin, or its distance from zero for TPE, which minimises."""
        if not outcome.measured:
            return None
        margin = outcome.margin / outcome.measured
        return abs(margin) if self.spec.search == "tpe" else margin

    def _store_doubt(self, place: Place) -> None:
        self._storage.set_trial_user_attr(self._trial_id(self.outcomes[place].number or 0), _DOUBTFUL, True)

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, number)
