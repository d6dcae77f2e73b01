"""Choice of the next place: from a design, or by the sampler of the study."""

import itertools
import math
import warnings
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from sweep.search.outcome import Outcome
from sweep.search.record import Record
from sweep.search.sweep_sampler import SweepSampler
from sweep.spec.axes import Axis
from sweep.spec.design import Place, place_of, places

_MAX_BATCH = 64  # places chosen per update of the model
_MAX_REPETITIONS = 20  # known places that a search may suggest in a row before another place is taken instead
_LEARNING_SEARCHES = ("boundary", "tpe")  # searches that use Optuna's sampler


def make_sampler(record: Record, *, cost: Callable[[int], float], batch: int) -> BaseSampler:
    """Return the sampler of a sweep's study.

    Parameters
    ----------
    record:
        Record whose study needs the sampler.
    cost:
        Returns the cost of a probe of a depth, in any unit.
    batch:
        Number of places that are asked for at once.
    """
    spec = record.spec
    if spec.search == "boundary" and spec.free_axes:
        return SweepSampler(spec, record.space, cost, min(batch, _MAX_BATCH), record.attributes_of)
    if spec.search == "tpe":
        trials = len(record.study.get_trials(deepcopy=False))  # a resumed sweep must not repeat random numbers
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return TPESampler(seed=spec.seed + trials, constant_liar=True)
    return RandomSampler(seed=spec.seed)  # used at most for the one point of a sweep without free axes


class Proposals:
    """Source of places that were not asked for before; it enters them in the study.

    Parameters
    ----------
    record:
        Record of the study.
    budget:
        Number of places that the sweep measures in all.
    """

    def __init__(self, record: Record, budget: int) -> None:
        self._record, self._spec, self._budget = record, record.spec, budget
        self._designed = places(self._spec) if self._spec.search not in _LEARNING_SEARCHES else iter(())

    def expect_batch(self, count: int) -> None:
        """Tell the sampler how many places will be asked for while no result comes in."""
        if isinstance(self._record.study.sampler, SweepSampler):
            self._record.study.sampler.batch = min(count, _MAX_BATCH)

    def new_place(self) -> Place | None:
        """Return a place that was not asked for before, or None if there is none."""
        record = self._record
        if self._spec.search not in _LEARNING_SEARCHES:
            place = next((p for p in self._next_designed() if p not in record.outcomes), None)
            number = None if place is None else record.use_study(partial(record.add_trial, place))
        else:
            place, number = record.use_study(self._suggest)
        if place is None:
            return None
        record.outcomes[place] = Outcome(number)
        sampler = record.study.sampler if self._spec.train == "boundary" else None
        if isinstance(sampler, SweepSampler) and sampler.doubtful(dict(zip(self._spec.axes, place, strict=True))):
            record.mark_doubtful(place)
        return place

    def _next_designed(self) -> Iterator[Place]:
        """Yield the next places of the design, and finally any other place if the design only repeats itself."""
        place = None
        for _ in range(self._budget + _MAX_REPETITIONS):
            if (place := next(self._designed, None)) is None:
                return
            yield place
        if place is not None and (unused := self._unused_place(place)):
            yield unused

    def _suggest(self) -> tuple[Place | None, int | None]:
        """Return a new place that the sampler suggests, and the number of its trial.

        A trial of a place that was asked for before is closed as failed.
        """
        record = self._record
        for _ in range(_MAX_REPETITIONS):
            trial = record.study.ask(record.space)
            place = place_of(self._spec, trial.params)
            if place not in record.outcomes:
                return place, trial.number
            record.close(trial.number)
        unused = self._unused_place(place)
        return unused, None if unused is None else record.add_trial(unused)

    def _unused_place(self, near: Place) -> Place | None:
        """Return an unused place, which is random or near another one, or None if there is none."""
        known, spec = self._record.outcomes, self._spec
        rng = np.random.default_rng([spec.seed, len(known)])
        axes = [*spec.axes.values()]
        random_place = tuple(axis.at(share) for axis, share in zip(axes, rng.random(len(axes)), strict=True))
        if random_place not in known:
            return random_place
        if not math.isfinite(spec.place_count):
            return None
        sides = (_nearest_values(axis, value, len(known)) for axis, value in zip(axes, near, strict=True))
        return next((place for place in itertools.product(*sides) if place not in known), None)


def _nearest_values(axis: Axis, value: float, reach: int) -> list[float]:
    """Return the values of an axis of whole numbers, or of a fixed one, that differ by at most ``reach``, by nearness.

    If so many places are known, one of them is not.
    """
    if not axis.is_free:
        return [value]
    low, high = max(axis.low, value - reach), min(axis.high, value + reach)
    return sorted(range(int(low), int(high) + 1), key=lambda other: abs(other - value))
