"""Private names of Ray that are read or patched, each with the versions that it was checked for."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["aws_keys_stay_here", "starting_workers_are_kept"]

_ROOM_IS_FOUND = 5.0  # seconds after which a node would have begun to start a worker, if there was room for it


@contextmanager
def starting_workers_are_kept() -> Iterator[None]:
    """Let no worker be killed before it has begun.

    Tune gives a worker that has become free to the trial that waits longest, and if another one is just being started
    for that trial, kills it. Where packs take less time than the start of a process, the other nodes of a cluster would
    never get to work. The free worker is for the next trial; but a trial that nobody has room for may have it.
    """
    from ray.tune.execution.tune_controller import TuneController

    reuse, waiting = getattr(TuneController, "_maybe_reuse_cached_actor", None), dict[str, float]()
    if reuse is None:  # another version of Ray
        yield
        return

    def reuse_unless_starting(self: Any, trial: Any) -> bool:
        actor = self._trial_to_actor.get(trial)
        if actor and trial not in self._resetting_trials:
            since = waiting.setdefault(trial.trial_id, time.monotonic())
            if self._actor_manager.is_actor_started(actor) or time.monotonic() - since < _ROOM_IS_FOUND:
                return False
        return bool(reuse(self, trial))

    TuneController._maybe_reuse_cached_actor = reuse_unless_starting  # type: ignore[method-assign]
    try:
        yield
    finally:
        TuneController._maybe_reuse_cached_actor = reuse  # type: ignore[method-assign]


@contextmanager
def aws_keys_stay_here() -> Iterator[None]:
    """Let nobody read the keys of a storage in the list of processes.

    Tune hands those of AWS on in the command lines of its workers, which Ray logs, too. On this machine they have them
    from the environment anyway, on a cluster from that of their node.
    """
    from ray.tune.execution import class_cache

    handed_on: set[str] = getattr(class_cache, "ENV_VARS_TO_PROPAGATE", set())
    keys = {name for name in handed_on if name.startswith("AWS_")}
    handed_on -= keys
    try:
        yield
    finally:
        handed_on |= keys
