"""The Optuna study of a sweep: what to measure next, and what came of it.

The part files are the truth: whenever a sweep starts, the study is brought in line with them, or made anew from them
where it is missing or damaged. Points that were under way when a sweep was stopped are still running trials of the
study; they are the first to be asked for again.
"""

import logging
import math
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from probes.point import Point
from sweep.levelset.sampler import CENSORED
from sweep.model.margin import MIN_POINTS, SearchModel
from sweep.search.journal import JOURNAL, open_study, unusable
from sweep.search.sweep_sampler import SweepSampler
from sweep.spec.design import Place, budget, places, seeds
from sweep.spec.options import AXES
from sweep.spec.spec import SweepSpec

__all__ = ["SweepStudy", "search_space"]

T = TypeVar("T")
_DOUBTFUL = "doubtful"  # user attribute of a trial whose points are to be trained
_AT_ONCE = 64  # points thought of, at most
_STOP_EVERY = 1.05  # the boundary's error is worked out anew when there are this many times more points
_FRUITLESS = 20  # repetitions that a search may suggest in a row before another place is taken instead
_LEARNS = ("boundary", "tpe")  # searches that ask Optuna's sampler
Row = Mapping[str, Any]


def search_space(spec: SweepSpec) -> dict[str, BaseDistribution]:
    """The axes as Optuna knows them."""
    return {
        "sigma_w": FloatDistribution(*spec.sigma_w),
        "sigma_b": FloatDistribution(*spec.sigma_b),
        "depth": IntDistribution(*spec.depth),
    }


class _Found:
    """What is known of a place: sums over its replicas, since a sweep may have a hundred thousand places."""

    __slots__ = ("accuracy", "censored", "chance", "margin", "measured", "number", "seeds", "trained")

    def __init__(self, number: int | None = None) -> None:
        self.number = number  # of its trial in the study
        self.seeds: tuple[int, ...] = ()  # that have a row
        self.measured = self.trained = 0  # of them, those that have a margin, an accuracy
        self.margin = self.accuracy = self.chance = 0.0
        self.censored = False

    def add(self, row: Row) -> None:
        if row["seed"] in self.seeds:
            return
        self.seeds += (row["seed"],)
        if row["status"] == "failed" or not math.isfinite(row["margin"]):
            return
        self.measured += 1
        self.margin += row["margin"]
        self.censored |= bool(row["margin_censored"])
        if row.get("accuracy") is not None and math.isfinite(row["accuracy"]):
            self.trained += 1
            self.accuracy += row["accuracy"]
            self.chance += row["chance"]

    @property
    def outcome(self) -> dict[str, Any]:
        """What the sampler is told: means over the replicas; nothing if none could be measured."""
        if not self.measured:
            return {}
        found: dict[str, Any] = {"margin": self.margin / self.measured}
        if self.censored:
            found[CENSORED] = True
        if self.trained:
            found |= {"accuracy": self.accuracy / self.trained, "chance": self.chance / self.trained}
        return found


class _Stop:
    """Says when the boundary is known as well as was asked for."""

    def __init__(self, spec: SweepSpec, rows: list[Row]) -> None:
        self._enough, self._model, self._looked_at = spec.until_boundary_error, None, 0.0
        self.reached = False
        if self._enough is not None:
            self._model = SearchModel(spec)
            self.tell(rows)

    def tell(self, rows: list[Row]) -> None:
        """Take in measured rows."""
        if self._model is None or self._enough is None:
            return
        self._model.tell([r for r in rows if r["status"] != "failed"])
        count = len(self._model.level_set)
        if count >= max(MIN_POINTS, self._looked_at * _STOP_EVERY):
            self._looked_at = count
            self.reached = self._model.level_set.expected_error() <= self._enough


class SweepStudy:
    """Hands out points and takes in rows, each point once.

    If the study's server fails, the study moves to a journal in the sweep's directory, and the sweep goes on.

    Parameters
    ----------
    spec:
        Of the sweep.
    directory:
        Where the journal is or will be.
    rows:
        Rows that part files hold already.
    cost:
        Of a probe of a depth, in any unit.
    batch:
        Points that are asked for at once, at least.

    Raises
    ------
    SpecError
        `spec.study` names a server that cannot be used.
    """

    def __init__(
        self,
        spec: SweepSpec,
        directory: Path,
        rows: Iterable[Row] = (),
        *,
        cost: Callable[[int], float] = float,
        batch: int = 1,
    ) -> None:
        rows = list(rows)
        self.spec = spec
        self.budget = budget(spec)
        self._space = search_space(spec)
        self._directory, self._cost, self._batch = directory, cost, min(batch, _AT_ONCE)
        self._open(spec)
        self._designed = places(spec) if spec.search not in _LEARNS else iter(())
        self._found: dict[Place, _Found] = {}  # of every place that was asked for or measured
        self._waiting: deque[list[Point]] = deque()
        self._doubtful: set[Place] = set()  # to be trained whatever the probe says
        self._stop = _Stop(spec, rows)
        for row in rows:
            self._found.setdefault(_place(row), _Found()).add(row)
        try:
            self._reconcile()
        except Exception as error:
            if not self._on_server:
                raise
            raise unusable(spec, error) from None

    def _open(self, spec: SweepSpec) -> None:
        self._study = open_study(spec, self._directory)
        self._storage, self._id = self._study._storage, self._study._study_id
        self._study.sampler = self._sampler()
        self._on_server = spec.study is not None

    def _tried(self, use: Callable[[], T]) -> T:
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
        for place in self._found:
            self._adopt(place)
            if place in self._doubtful:
                self._note_doubt(place)

    def _sampler(self) -> BaseSampler:
        spec = self.spec
        if spec.search == "boundary" and spec.free_axes:
            return SweepSampler(spec, self._space, self._cost, self._batch, self._outcome_of)
        if spec.search == "tpe":
            trials = len(self._study.get_trials(deepcopy=False))  # a stream of random numbers never starts over
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                return TPESampler(seed=spec.seed + trials, constant_liar=True)
        return RandomSampler(seed=spec.seed)  # never asked, but for the one point that there is

    def _reconcile(self) -> None:
        """Bring the study in line with the rows, whatever happened between the two."""
        for trial in self._study.get_trials(deepcopy=False):
            complete = set(trial.params) == set(AXES)
            running = trial.state == TrialState.RUNNING
            if not complete:
                if running:
                    self._close(trial.number, None)
                continue
            place = _place(trial.params)
            found = self._found.get(place)
            if not running and trial.state != TrialState.COMPLETE and found is None:
                continue
            if trial.user_attrs.get(_DOUBTFUL):
                self._doubtful.add(place)
            if found is not None and found.number is not None:
                if running:
                    self._close(trial.number, None)
                continue
            found = self._found.setdefault(place, _Found())
            found.number = trial.number
            if missing := self._missing(place):
                self._waiting.append(missing)
            elif running:
                self._close(trial.number, found)
        for place in [p for p, found in self._found.items() if found.number is None]:
            self._adopt(place)
            if self._found[place].number != -1 and (missing := self._missing(place)):
                self._waiting.append(missing)

    def _missing(self, place: Place) -> list[Point]:
        found = self._found[place]
        wanted = [s for s in seeds(self.spec, found.number or 0) if s not in found.seeds]
        return [Point(*place, seed) for seed in wanted[: max(0, self.spec.replicas - len(found.seeds))]]

    def _adopt(self, place: Place) -> None:
        """Add a place that the study has never heard of."""
        found = self._found[place]
        done = len(found.seeds) >= self.spec.replicas
        is_ours = self._contains(dict(zip(AXES, place, strict=True)))
        found.number = self._new_trial(place, found if done else None) if is_ours else -1

    def _contains(self, params: dict[str, Any]) -> bool:
        return all(d._contains(d.to_internal_repr(params[n])) for n, d in self._space.items())

    def _new_trial(self, place: Place, found: _Found | None = None) -> int:
        """The number of a trial that is under way, or of one that came to something already."""
        params, now = dict(zip(AXES, place, strict=True)), datetime.now()
        if found is None:
            trial = create_trial(state=TrialState.RUNNING, params=params, distributions=self._space)
            trial.datetime_start, trial.datetime_complete = now, None
        else:
            state = TrialState.COMPLETE if found.measured else TrialState.FAIL
            outcome = found.outcome
            trial = create_trial(
                state=state, value=self._value(found), params=params, distributions=self._space, user_attrs=outcome
            )
        trial_id = self._storage.create_new_trial(self._id, template_trial=trial)
        return self._storage.get_trial_number_from_id(trial_id)

    @property
    def asked(self) -> int:
        """Distinct points handed out so far, or waiting to be handed out again."""
        return len(self._found)

    def ask(self, count: int) -> list[Point]:
        """Up to ``count`` points (at least one place with all its replicas).

        None when the budget is spent, or the boundary is known as well as was asked for.
        """
        if isinstance(self._study.sampler, SweepSampler):
            self._study.sampler.batch = min(max(self._batch, count // self.spec.replicas), _AT_ONCE)
        points: list[Point] = []
        while not points or len(points) + self.spec.replicas <= count:
            if self._waiting:
                points += self._waiting.popleft()
            elif self.asked < self.budget and not self._stop.reached and (place := self._new_place()):
                points += self._missing(place)
            else:
                break
        return points

    def _new_place(self) -> Place | None:
        """A place that was not asked for before; None if there is none."""
        if self.spec.search not in _LEARNS:
            place = next((p for p in self._next_designed() if p not in self._found), None)
            number = None if place is None else self._tried(partial(self._new_trial, place))
        else:
            place, number = self._tried(self._suggested)
        if place is None:
            return None
        self._found[place] = _Found(number)
        sampler = self._study.sampler if self.spec.train == "boundary" else None
        if isinstance(sampler, SweepSampler) and sampler.doubtful(dict(zip(AXES, place, strict=True))):
            self._doubtful.add(place)
            self._tried(partial(self._note_doubt, place))
        return place

    def _next_designed(self) -> Iterator[Place]:
        """The next places of the design; when it only repeats itself, any others."""
        place = None
        for _ in range(self.budget + _FRUITLESS):
            if (place := next(self._designed, None)) is None:
                return
            yield place
        if place is not None and (unused := self._unused_place(place)):
            yield unused

    def _suggested(self) -> tuple[Place | None, int | None]:
        """Ask the sampler; a place that is there already counts as a failed trial."""
        for _ in range(_FRUITLESS):
            trial = self._study.ask(self._space)
            place = _place(trial.params)
            if place not in self._found:
                return place, trial.number
            self._close(trial.number, None)
        unused = self._unused_place(place)
        return unused, None if unused is None else self._new_trial(unused)

    def doubtful(self, point: Point) -> bool:
        """Whether a point is to be trained, in a sweep that trains the boundary, whatever the probe says of it."""
        return (point.sigma_w, point.sigma_b, point.depth) in self._doubtful

    @property
    def stopped(self) -> bool:
        """Whether the boundary is known as well as was asked for."""
        return self._stop.reached

    def _unused_place(self, near: Place) -> Place | None:
        """A place that was not asked for yet: anywhere, or at another depth; None if there is none."""
        random = np.random.default_rng([self.spec.seed, len(self._found)])
        low, high = self.spec.depth
        sigmas = [float(random.uniform(*getattr(self.spec, a))) for a in ("sigma_w", "sigma_b")]
        anywhere = (sigmas[0], sigmas[1], int(random.integers(low, high + 1)))
        if anywhere not in self._found:
            return anywhere
        depths = [d for d in range(low, high + 1) if (*near[:2], d) not in self._found]
        return (*near[:2], min(depths, key=lambda d: abs(d - near[2]))) if depths else None

    def tell(self, rows: Iterable[Row]) -> None:
        """Take in measured rows; a point whose replicas are all there finishes its trial."""
        rows = list(rows)
        self._stop.tell(rows)
        for row in rows:
            found = self._found.setdefault(_place(row), _Found(-1))
            found.add(row)
            if len(found.seeds) >= self.spec.replicas:
                self._tried(partial(self._finish, found))

    def _value(self, found: _Found) -> float | None:
        """Of the trial; TPE minimises the distance from the boundary."""
        if not found.measured:
            return None
        margin = found.margin / found.measured
        return abs(margin) if self.spec.search == "tpe" else margin

    def _outcome_of(self, trial: FrozenTrial) -> dict[str, Any]:
        """By the rows, which say more than the journal of an older version."""
        found = self._found.get(_place(trial.params))
        return {**trial.user_attrs, **(found.outcome if found is not None else {})}

    def _close(self, number: int, found: _Found | None) -> None:
        """Finish a trial, if it is not: with what was measured, or as failed."""
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._id, number)
        if self._storage.get_trial(trial_id).state.is_finished():
            return  # measured again because its part was lost
        value = None
        if found is not None and (value := self._value(found)) is not None:
            for key, item in found.outcome.items():
                self._storage.set_trial_user_attr(trial_id, key, item)
        state, values = (TrialState.FAIL, None) if value is None else (TrialState.COMPLETE, [value])
        self._storage.set_trial_state_values(trial_id, state, values)

    def _finish(self, found: _Found) -> None:
        if found.number is not None and found.number >= 0:
            self._close(found.number, found)

    def _note_doubt(self, place: Place) -> None:
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._id, self._found[place].number or 0)
        self._storage.set_trial_user_attr(trial_id, _DOUBTFUL, True)


def _place(values: Mapping[str, Any]) -> Place:
    return float(values["sigma_w"]), float(values["sigma_b"]), int(values["depth"])
