"""The Optuna study of a sweep: what to measure next, and what came of it.

The study is a journal in the sweep's directory. The part files are the truth: whenever a sweep starts, the study is
brought in line with them, or made anew from them where it is missing or damaged. Points that were under way
when a sweep was stopped are still running trials of the study; they are the first to be asked for again.
"""

import contextlib
import itertools
import logging
import math
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GridSampler, QMCSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from probes.point import Point

from .design import budget, grid_axes, seeds
from .margin import MIN_POINTS, SearchModel
from .sampler import CENSORED
from .spec import AXES, SweepSpec
from .sweep_sampler import SweepSampler

__all__ = ["JOURNAL", "SweepStudy", "running_trials", "search_space"]

JOURNAL = "study.journal"
_NAME = "sweep"
_DOUBTFUL = "doubtful"  # user attribute of a trial whose points are to be trained
_AT_ONCE = 64  # points thought of, at most
_STOP_EVERY = 1.05  # the boundary's error is worked out anew when there are this many times more points
_FRUITLESS = 20  # repetitions that a sampler may suggest in a row before another place is taken instead

Row = Mapping[str, Any]
Place = tuple[float, float, int]  # sigma_w, sigma_b, depth


def search_space(spec: SweepSpec) -> dict[str, BaseDistribution]:
    """The axes as Optuna knows them."""
    return {
        "sigma_w": FloatDistribution(*spec.sigma_w),
        "sigma_b": FloatDistribution(*spec.sigma_b),
        "depth": IntDistribution(*spec.depth),
    }


class _Grid(GridSampler):
    """Optuna's, which would stop a study that is not its own to stop."""

    def after_trial(self, *args: Any, **kwargs: Any) -> None:
        pass


class _Sobol(QMCSampler):
    """Optuna's, told the space beforehand: it would draw at random until the first trial has finished."""

    def __init__(self, space: dict[str, BaseDistribution], seed: int) -> None:
        super().__init__(qmc_type="sobol", scramble=True, seed=seed)
        self._known_space = {name: d for name, d in space.items() if not d.single()}

    def infer_relative_search_space(self, study: Any, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._known_space


def _stock_sampler(spec: SweepSpec, trials: int) -> BaseSampler:
    """The sampler of a study that holds so many trials: a stream of random numbers never starts over."""
    space, seed = search_space(spec), spec.seed
    if spec.search == "random":
        return RandomSampler(seed=seed + trials)
    if spec.search == "tpe":
        return TPESampler(seed=seed + trials, constant_liar=True)
    if spec.search == "sobol":
        return _Sobol(space, seed)
    if spec.search == "grid":
        return _Grid(grid_axes(spec), seed=seed)
    return RandomSampler(seed=seed)  # of one point, where no axis is free


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
        Points that are asked for at once, usually.
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
        self.spec = spec
        self.budget = budget(spec)
        self._space = search_space(spec)
        self._rows: dict[Place, list[Row]] = {}
        for row in rows:
            self._rows.setdefault(_place(row), []).append(row)
        self._study = self._open(directory / JOURNAL)
        if spec.search == "boundary" and spec.free_axes:
            batch = min(batch, _AT_ONCE)
            self._study.sampler = SweepSampler(spec, self._space, cost, batch, self._outcome_of)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                self._study.sampler = _stock_sampler(spec, len(self._study.get_trials(deepcopy=False)))
        self._numbers: dict[Place, int] = {}  # of the trial of every place asked for
        self._waiting: deque[tuple[Place, list[Point]]] = deque()
        self._doubtful: set[Place] = set()  # to be trained whatever the probe says
        self._stop = _Stop(spec, [r for rows in self._rows.values() for r in rows])
        self._reconcile()

    def _open(self, path: Path) -> optuna.Study:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        logging.getLogger("optuna").setLevel(logging.ERROR)
        _mend(path)
        for attempt in range(2):
            try:
                storage = JournalStorage(JournalFileBackend(str(path)))
                study = optuna.create_study(study_name=_NAME, storage=storage, load_if_exists=True)
                study.get_trials(deepcopy=False)  # reads it all
                return study
            except Exception:
                if attempt or not path.exists():
                    raise
                path.rename(path.with_suffix(".damaged"))
        raise AssertionError("unreachable")

    def _reconcile(self) -> None:
        """Bring the study in line with the rows, whatever happened between the two."""
        for trial in self._study.get_trials(deepcopy=False):
            complete = set(trial.params) == set(AXES)
            if trial.state == TrialState.RUNNING and not complete:
                self._study.tell(trial.number, state=TrialState.FAIL)
            if not complete or trial.state not in (TrialState.RUNNING, TrialState.COMPLETE):
                if not (complete and _place(trial.params) in self._rows):
                    continue
            place = _place(trial.params)
            if trial.user_attrs.get(_DOUBTFUL):
                self._doubtful.add(place)
            if place in self._numbers:
                if trial.state == TrialState.RUNNING:
                    self._study.tell(trial.number, state=TrialState.FAIL)
                continue
            self._numbers[place] = trial.number
            missing = self._missing(place, trial.number)
            if missing:
                self._waiting.append((place, missing))
            elif trial.state == TrialState.RUNNING:
                self._finish(place)
        for place in [p for p in self._rows if p not in self._numbers]:
            self._adopt(place)

    def _missing(self, place: Place, number: int) -> list[Point]:
        measured = len({row["seed"] for row in self._rows.get(place, [])})
        wanted = seeds(self.spec, number)
        return [Point(*place, seed) for seed in wanted[measured:]]

    def _adopt(self, place: Place) -> None:
        """Add a measured point that the study has never heard of."""
        value, attributes = self._outcome(place)
        params = dict(zip(AXES, place, strict=True))
        inside = all(d._contains(d.to_internal_repr(params[n])) for n, d in self._space.items())
        self._numbers[place] = -1
        if inside:
            state = TrialState.FAIL if value is None else TrialState.COMPLETE
            self._study.add_trial(
                create_trial(state=state, value=value, params=params, distributions=self._space, user_attrs=attributes)
            )

    @property
    def asked(self) -> int:
        """Distinct points handed out so far, or waiting to be handed out again."""
        return len(self._numbers)

    def ask(self, count: int) -> list[Point]:
        """Up to ``count`` points (at least one place with all its replicas).

        None when the budget is spent, or the boundary is known as well as was asked for.
        """
        points: list[Point] = []
        while not points or len(points) + self.spec.replicas <= count:
            if self._waiting:
                points += self._waiting.popleft()[1]
            elif self.asked < self.budget and not self._stop.reached and (place := self._new_place()):
                self._rows.setdefault(place, [])
                points += self._missing(place, self._numbers[place])
            else:
                break
        return points

    def _new_place(self) -> Place | None:
        """Ask the sampler for a point that was not asked for before."""
        # A Sobol sequence whose study was lost begins again with what was measured already.
        for _ in range(max(self.budget, _FRUITLESS) if self.spec.search == "sobol" else _FRUITLESS):
            trial = self._study.ask(self._space)
            place = _place(trial.params)
            if place not in self._numbers:
                break
            self._study.tell(trial, state=TrialState.FAIL)
        else:
            if (unused := self._unused_place(place)) is None:
                return None
            self._study.enqueue_trial(dict(zip(AXES, unused, strict=True)))
            trial = self._study.ask(self._space)
            place = _place(trial.params)
        self._numbers[place] = trial.number
        sampler = self._study.sampler if self.spec.train == "boundary" else None
        if isinstance(sampler, SweepSampler) and sampler.doubtful(dict(zip(AXES, place, strict=True))):
            trial.set_user_attr(_DOUBTFUL, True)
            self._doubtful.add(place)
        return place

    def doubtful(self, point: Point) -> bool:
        """Whether a point is to be trained, in a sweep that trains the boundary, whatever the probe says of it."""
        return (point.sigma_w, point.sigma_b, point.depth) in self._doubtful

    @property
    def stopped(self) -> bool:
        """Whether the boundary is known as well as was asked for."""
        return self._stop.reached

    def _unused_place(self, near: Place) -> Place | None:
        """A place that was not asked for yet: of the grid, anywhere, or at another depth; None if there is none."""
        if self.spec.search == "grid":
            axes = grid_axes(self.spec)
            cells = itertools.product(axes["sigma_w"], axes["sigma_b"], map(int, axes["depth"]))
            return next((c for c in cells if c not in self._numbers), None)
        random = np.random.default_rng([self.spec.seed, len(self._numbers)])
        low, high = self.spec.depth
        sigmas = [float(random.uniform(*getattr(self.spec, a))) for a in ("sigma_w", "sigma_b")]
        anywhere = (sigmas[0], sigmas[1], int(random.integers(low, high + 1)))
        if anywhere not in self._numbers:
            return anywhere
        depths = [d for d in range(low, high + 1) if (*near[:2], d) not in self._numbers]
        return (*near[:2], min(depths, key=lambda d: abs(d - near[2]))) if depths else None

    def tell(self, rows: Iterable[Row]) -> None:
        """Take in measured rows; a point whose replicas are all there finishes its trial."""
        rows = list(rows)
        self._stop.tell(rows)
        for row in rows:
            place = _place(row)
            self._rows.setdefault(place, []).append(row)
            if len({r["seed"] for r in self._rows[place]}) >= self.spec.replicas:
                self._finish(place)

    def _outcome(self, place: Place) -> tuple[float | None, dict[str, Any]]:
        """What the sampler is told: the mean margin of the replicas; None if none could be measured."""
        rows = [r for r in self._rows[place] if r["status"] != "failed" and math.isfinite(r["margin"])]
        if not rows:
            return None, {}
        margin = sum(r["margin"] for r in rows) / len(rows)
        value = abs(margin) if self.spec.search == "tpe" else margin
        attributes = {"margin": margin, CENSORED: any(bool(r["margin_censored"]) for r in rows)}
        trained = [r for r in rows if r.get("accuracy") is not None and math.isfinite(r["accuracy"])]
        for name in ("accuracy", "chance") if trained else ():
            attributes[name] = sum(r[name] for r in trained) / len(trained)
        return value, attributes

    def _outcome_of(self, trial: FrozenTrial) -> dict[str, Any]:
        """By the rows, which say more than the journal of an older version."""
        place = _place(trial.params)
        return {**trial.user_attrs, **(self._outcome(place)[1] if self._rows.get(place) else {})}

    def _finish(self, place: Place) -> None:
        number = self._numbers.get(place, -1)
        if number < 0:
            return  # adopted from a part
        storage = self._study._storage
        trial_id = storage.get_trial_id_from_study_id_trial_number(self._study._study_id, number)
        if storage.get_trial(trial_id).state.is_finished():
            return  # measured again because its part was lost
        value, attributes = self._outcome(place)
        for key, item in attributes.items():
            storage.set_trial_user_attr(trial_id, key, item)
        self._study.tell(number, value, state=TrialState.FAIL if value is None else None, skip_if_finished=True)


def running_trials(directory: Path) -> int:
    """Points that a live sweep has under way, from its journal; 0 if there is none to be read."""
    path = directory / JOURNAL
    if not path.exists():
        return 0
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with contextlib.suppress(Exception):  # being written this moment: the next look will do
        study = optuna.load_study(study_name=_NAME, storage=JournalStorage(JournalFileBackend(str(path))))
        return len(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))
    return 0


def _place(values: Mapping[str, Any]) -> Place:
    return float(values["sigma_w"]), float(values["sigma_b"]), int(values["depth"])


def _mend(path: Path) -> None:
    """Remove what a driver that was killed in mid-write leaves: half a line, a lock of nobody."""
    for leftover in path.parent.glob(path.name + ".lock*"):
        leftover.unlink(missing_ok=True)
    if path.exists():
        data = path.read_bytes()
        if data and not data.endswith(b"\n"):
            with path.open("r+b") as file:
                file.truncate(data.rfind(b"\n") + 1)
