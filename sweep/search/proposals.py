"""Which place is measured next: one of a design, or one that the study's sampler suggests."""

import warnings
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from sweep.search.outcome import Outcome, place_of
from sweep.search.record import Record
from sweep.search.sweep_sampler import SweepSampler
from sweep.spec.design import Place, places
from sweep.spec.options import AXES

_AT_ONCE = 64  # points thought of, at most
_FRUITLESS = 20  # repetitions that a search may suggest in a row before another place is taken instead
_LEARNS = ("boundary", "tpe")  # searches that ask Optuna's sampler


def make_sampler(record: Record, *, cost: Callable[[int], float], batch: int) -> BaseSampler:
    """Return the sampler of a study.

    ``cost`` is that of a probe of a depth, in any unit, ``batch`` how many places will be asked for at once.
    """
    spec = record.spec
    if spec.search == "boundary" and spec.free_axes:
        return SweepSampler(spec, record.space, cost, min(batch, _AT_ONCE), record.attributes_of)
    if spec.search == "tpe":
        trials = len(record.study.get_trials(deepcopy=False))  # a stream of random numbers never starts over
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return TPESampler(seed=spec.seed + trials, constant_liar=True)
    return RandomSampler(seed=spec.seed)  # never asked, but for the one point that there is


class Proposals:
    """Gives places that were not asked for before, and enters them in the study.

    Parameters
    ----------
    record:
        The study.
    budget:
        Places that there may be.
    """

    def __init__(self, record: Record, budget: int) -> None:
        self._record, self._spec, self._budget = record, record.spec, budget
        self._designed = places(self._spec) if self._spec.search not in _LEARNS else iter(())

    def think_of(self, count: int) -> None:
        """Say how many places will be asked for while no result comes in."""
        if isinstance(self._record.study.sampler, SweepSampler):
            self._record.study.sampler.batch = min(count, _AT_ONCE)

    def new_place(self) -> Place | None:
        """Return a place that was not asked for before; None if there is none."""
        record = self._record
        if self._spec.search not in _LEARNS:
            place = next((p for p in self._next_designed() if p not in record.outcomes), None)
            number = None if place is None else record.tried(partial(record.add_trial, place))
        else:
            place, number = record.tried(self._suggested)
        if place is None:
            return None
        record.outcomes[place] = Outcome(number)
        sampler = record.study.sampler if self._spec.train == "boundary" else None
        if isinstance(sampler, SweepSampler) and sampler.doubtful(dict(zip(AXES, place, strict=True))):
            record.doubt(place)
        return place

    def _next_designed(self) -> Iterator[Place]:
        """Yield the next places of the design; when it only repeats itself, any others."""
        place = None
        for _ in range(self._budget + _FRUITLESS):
            if (place := next(self._designed, None)) is None:
                return
            yield place
        if place is not None and (unused := self._unused_place(place)):
            yield unused

    def _suggested(self) -> tuple[Place | None, int | None]:
        """Ask the sampler for a place and its trial; a place that is there already counts as a failed trial."""
        record = self._record
        for _ in range(_FRUITLESS):
            trial = record.study.ask(record.space)
            place = place_of(trial.params)
            if place not in record.outcomes:
                return place, trial.number
            record.close(trial.number)
        unused = self._unused_place(place)
        return unused, None if unused is None else record.add_trial(unused)

    def _unused_place(self, near: Place) -> Place | None:
        """Return a place that was not asked for yet: anywhere, or at another depth; None if there is none."""
        known, spec = self._record.outcomes, self._spec
        random = np.random.default_rng([spec.seed, len(known)])
        low, high = spec.depth
        sigmas = [float(random.uniform(*getattr(spec, a))) for a in ("sigma_w", "sigma_b")]
        anywhere = (sigmas[0], sigmas[1], int(random.integers(low, high + 1)))
        if anywhere not in known:
            return anywhere
        depths = [d for d in range(low, high + 1) if (*near[:2], d) not in known]
        return (*near[:2], min(depths, key=lambda d: abs(d - near[2]))) if depths else None
