"""Private names of Ray and Tune that are read or patched here, and nowhere else.

They were tried with Ray 2.60.0 alone, and are taken to be the same in 2.50 to 2.60: whoever moves the bounds in
pyproject.toml runs `tests/unit/execution/test_ray_patches.py`, which names each. Where one is missing, a sweep goes on
without what it is for, or, where keys would be shown, does not start.
"""

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sweep.errors import SpecError

RAY_COMMAND = (sys.executable, "-m", "ray.scripts.scripts")  # `ray`, wherever its script is installed
TEMP_DIR = "_temp_dir"  # of `ray.init`: RAY_TMPDIR, but without a folder "ray" in it, which makes names longer
_ROOM_IS_FOUND = 5.0  # seconds after which a node would have begun to start a worker, if there was room for it
_LOST_NODE = ("node has died", "actor's node was")  # in the texts of ActorDiedError, ActorUnavailableError
_FAILURE = "Failure # "  # begins the first line of each failure in a trial's error file
_AWS_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN")
_log = logging.getLogger(__name__)


@contextmanager
def starting_workers_are_kept() -> Iterator[None]:
    """Let no worker be killed before it has begun.

    Tune gives a worker that has become free to the trial that waits longest, and if another one is just being started
    for that trial, kills it. Where packs take less time than the start of a process, the other nodes of a cluster would
    never get to work. The free worker is for the next trial; but a trial that nobody has room for may have it.
    """
    from ray.tune.execution.tune_controller import TuneController

    reuse: Any = getattr(TuneController, "_maybe_reuse_cached_actor", None)
    if reuse is None:
        _warn_of_slow_nodes()
        yield
        return
    TuneController._maybe_reuse_cached_actor = _reuse_unless_starting(reuse)  # type: ignore[method-assign]
    try:
        yield
    finally:
        TuneController._maybe_reuse_cached_actor = reuse  # type: ignore[method-assign]


def _reuse_unless_starting(reuse: Any) -> Any:
    waiting: dict[str, float] = {}
    is_known = True  # what is looked at here

    def patched(self: Any, trial: Any) -> bool:
        nonlocal is_known
        try:
            if is_known and _is_starting(self, trial, waiting):
                return False
        except AttributeError:
            is_known = False
            _warn_of_slow_nodes()
        return bool(reuse(self, trial))

    return patched


def _is_starting(controller: Any, trial: Any, waiting: dict[str, float]) -> bool:
    """Return whether a trial has a worker of its own, which has begun or should be waited for."""
    actor = controller._trial_to_actor.get(trial)
    if not actor or trial in controller._resetting_trials:
        return False
    since = waiting.setdefault(trial.trial_id, time.monotonic())
    return controller._actor_manager.is_actor_started(actor) or time.monotonic() - since < _ROOM_IS_FOUND


def _warn_of_slow_nodes() -> None:
    _log.warning("this version of Ray is not known: where packs are short, nodes that are slow to start may stay idle")


@contextmanager
def aws_keys_stay_here() -> Iterator[None]:
    """Let nobody read the keys of a storage in the list of processes.

    Tune hands those of AWS on in the command lines of its workers, which Ray logs, too. On this machine they have them
    from the environment anyway, on a cluster from that of their node.

    Raises
    ------
    SpecError
        Keys are in the environment, and how this version of Tune hands them on is not known.
    """
    handed_on = _handed_on()
    if handed_on is None:
        if shown := [name for name in _AWS_KEYS if os.environ.get(name)]:
            import ray

            raise SpecError(
                f"`{shown[0]}` must not be in the environment: Ray {ray.__version__} may show it in command lines; "
                "use a file of credentials, or a version of Ray that pyproject.toml allows"
            )
        handed_on = set()
    keys = {name for name in handed_on if name.startswith("AWS_")}
    handed_on -= keys
    try:
        yield
    finally:
        handed_on |= keys


def _handed_on() -> set[str] | None:
    """Return the set of variables that Tune hands on to its workers; None if it is not found."""
    with suppress(ImportError, AttributeError):
        from ray.tune.execution import class_cache

        names = class_cache.ENV_VARS_TO_PROPAGATE
        is_read = "ENV_VARS_TO_PROPAGATE" in class_cache._ActorClassCache.get.__code__.co_names
        if isinstance(names, set) and is_read:
            return names
    return None


class Hosts:
    """The nodes of workers, as far as Tune knows them by now: nothing is waited for, and nothing depends on it."""

    def __init__(self) -> None:
        self._of_worker: dict[Any, str] = {}

    def of(self, trial: Any) -> str:
        """Return the node of the worker of a trial of Tune's; empty if it is not known."""
        import ray

        with suppress(Exception):
            worker = trial.temporary_state.ray_actor._actor_id
            if worker not in self._of_worker:
                told = trial._default_result_or_future  # Tune asks every worker
                if isinstance(told, ray.ObjectRef) and ray.wait([told], timeout=0)[0]:
                    told = ray.get(told)
                if isinstance(told, dict):
                    self._of_worker[worker] = str(told["hostname"])
            return self._of_worker.get(worker, "")
        return ""


def last_error(trial: Any) -> str:
    """Return what Tune noted of the last failure of a trial; its own accessor looks where nothing was copied to yet."""
    try:
        text = Path(trial.error_file).read_text()
    except (OSError, TypeError, AttributeError):
        return "the trial failed and left no word why"
    return text.rpartition(_FAILURE)[2].partition("\n")[2]


def is_lost_node(error: str) -> bool:
    """Return whether a trial failed because its node is gone, by what Ray says."""
    return any(sign in error for sign in _LOST_NODE)
