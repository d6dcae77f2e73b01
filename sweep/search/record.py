"""The trials of a sweep in its Optuna study, kept in line with what was measured.

The part files are the truth: whenever a sweep starts, the study is brought in line with them, or made anew from them
where it is missing or damaged. If the study's server fails, the study moves to a journal in the sweep's directory.
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
from sweep.search.journal import JOURNAL, open_study, unusable
from sweep.search.optuna_patches import storage_of
from sweep.search.outcome import Outcome, Row, place_of
from sweep.spec.design import Place, seeds
from sweep.spec.options import AXES
from sweep.spec.parts import Space
from sweep.spec.spec import SweepSpec

T = TypeVar("T")
_DOUBTFUL = "doubtful"  # user attribute of a trial whose points are to be trained


def search_space(spec: Space) -> dict[str, BaseDistribution]:
    """Return the axes as Optuna knows them."""
    return {
        "sigma_w": FloatDistribution(*spec.sigma_w),
        "sigma_b": FloatDistribution(*spec.sigma_b),
        "depth": IntDistribution(*spec.depth),
    }


class Record:
    """The study of a sweep, and what is known of every place that was asked for or measured.

    Parameters
    ----------
    spec:
        Of the sweep.
    directory:
        Where the journal is or will be.
    rows:
        Those that part files hold already.
    make_sampler:
        Gives the sampler of a study that was opened.
    again:
        Rows of points that failed and are to be measured once more.

    Attributes
    ----------
    study:
        The study, another one after its server has failed.
    outcomes:
        What is known, by place.
    doubtful:
        Places that are to be trained whatever the probe says.

    Raises
    ------
    SpecError
        `spec.study` names a server that cannot be used.
    """

    def __init__(
        self,
        spec: SweepSpec,
        directory: Path,
        rows: Sequence[Row],
        make_sampler: Callable[["Record"], BaseSampler],
        again: Iterable[Row] = (),
    ) -> None:
        self.spec, self.space = spec, search_space(spec)
        self._directory, self._make_sampler = directory, make_sampler
        self.outcomes: dict[Place, Outcome] = {}
        self.doubtful: set[Place] = set()
        self._open(spec)
        for row in rows:
            self.outcomes.setdefault(place_of(row), Outcome()).add(row)
        for row in again:
            self.outcomes.setdefault(place_of(row), Outcome()).again += (row["seed"],)

    def _open(self, spec: SweepSpec) -> None:
        self.study = open_study(spec, self._directory)
        self._storage, self._id = storage_of(self.study)
        self.study.sampler = self._make_sampler(self)
        self._on_server = spec.study is not None

    def tried(self, use: Callable[[], T]) -> T:
        """Use the study: that of the server; where that fails, the one here."""
        try:
            return use()
        except Exception as error:  # of many kinds; a fault of ours is raised again by the second try
            if not self._on_server:
                raise
            said = "the study %s cannot be used any more (%s): the sweep goes on with a journal in its directory"
            logging.getLogger(__name__).warning(said, self.spec.study, type(error).__name__)
            self._move_here()
            return use()

    def _move_here(self) -> None:
        """Begin a journal with what is known of every place."""
        (self._directory / JOURNAL).unlink(missing_ok=True)
        self._open(replace(self.spec, study=None))
        for place in self.outcomes:
            self._adopt(place)
            if place in self.doubtful:
                self._note_doubt(place)

    def replay(self) -> list[list[Point]]:
        """Bring the study in line with the rows, whatever happened between the two.

        Returns the points that were under way, those of a place together.
        """
        try:
            return self._replayed()
        except Exception as error:
            if not self._on_server:
                raise
            raise unusable(self.spec, error) from None

    def _replayed(self) -> list[list[Point]]:
        waiting: list[list[Point]] = []
        revived: dict[Place, Outcome] = {}  # places whose trial has failed, but which were measured after all
        for trial in self.study.get_trials(deepcopy=False):
            running = trial.state == TrialState.RUNNING
            if set(trial.params) != set(AXES):
                if running:
                    self.close(trial.number)
                continue
            place = place_of(trial.params)
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
        wanted = [s for s in dict.fromkeys([*outcome.again, *planned]) if s not in outcome.seeds]
        return [Point(*place, seed) for seed in wanted[: max(0, self.spec.replicas - len(outcome.seeds))]]

    def _adopt(self, place: Place) -> None:
        """Add a place that the study has never heard of."""
        outcome = self.outcomes[place]
        done = len(outcome.seeds) >= self.spec.replicas
        ranges = [getattr(self.spec, a) for a in AXES]
        is_ours = all(low <= value <= high for value, (low, high) in zip(place, ranges, strict=True))
        outcome.number = self.add_trial(place, outcome if done else None) if is_ours else -1

    def add_trial(self, place: Place, outcome: Outcome | None = None) -> int:
        """Return the number of a new trial that is under way, or of one that came to something already."""
        params, now = dict(zip(AXES, place, strict=True)), datetime.now()
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

    def doubt(self, place: Place) -> None:
        """Note that a place is to be trained whatever the probe says."""
        self.doubtful.add(place)
        self.tried(partial(self._note_doubt, place))

    def tell(self, rows: Sequence[Row]) -> None:
        """Take in measured rows; a place whose replicas are all there finishes its trial."""
        for row in rows:
            outcome = self.outcomes.setdefault(place_of(row), Outcome(-1))
            if outcome.add(row) and len(outcome.seeds) >= self.spec.replicas:
                self.tried(partial(self._finish, outcome))

    def attributes_of(self, trial: FrozenTrial) -> dict[str, Any]:
        """Return the attributes of a trial, by the rows, which say more than the journal of an older version."""
        outcome = self.outcomes.get(place_of(trial.params))
        return {**trial.user_attrs, **(outcome.attributes if outcome is not None else {})}

    def close(self, number: int, outcome: Outcome | None = None) -> None:
        """Finish a trial, if it is not: with what was measured, or as failed.

        A point that failed and was measured after all gets a trial more, since a finished one cannot be changed.
        """
        trial_id = self._trial_id(number)
        trial = self._storage.get_trial(trial_id)
        if trial.state.is_finished():
            if trial.state == TrialState.FAIL and outcome is not None and outcome.measured:
                self.add_trial(place_of(trial.params), outcome)
            return
        value = None
        if outcome is not None and (value := self._value(outcome)) is not None:
            for key, item in outcome.attributes.items():
                self._storage.set_trial_user_attr(trial_id, key, item)
        state, values = (TrialState.FAIL, None) if value is None else (TrialState.COMPLETE, [value])
        self._storage.set_trial_state_values(trial_id, state, values)

    def _finish(self, outcome: Outcome) -> None:
        # Its number is read here: another study may have given it another one.
        if outcome.number is not None and outcome.number >= 0:
            self.close(outcome.number, outcome)

    def _value(self, outcome: Outcome) -> float | None:
        """Return the value of a trial; TPE minimises the distance from the boundary."""
        if not outcome.measured:
            return None
        margin = outcome.margin / outcome.measured
        return abs(margin) if self.spec.search == "tpe" else margin

    def _note_doubt(self, place: Place) -> None:
        self._storage.set_trial_user_attr(self._trial_id(self.outcomes[place].number or 0), _DOUBTFUL, True)

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, number)
