"""The only module that reads or patches private names of Ray and Tune.

The names were tried with Ray 2.60.0 alone, and are assumed to be the same in 2.50 to 2.60: whoever changes the bounds
in pyproject.toml has to run `tests/unit/execution/test_ray_patches.py`, which checks each. Where a name is missing, a
sweep goes on without the patch; only where secret keys would be shown does it refuse to start.
"""

import logging
import os
import re
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from probes.programs import NOT_OWN, is_beneath
from sweep.errors import SpecError
from sweep.processes import command, package_folder

RAY_COMMAND = tuple(command("ray.scripts.scripts"))  # `ray`, wherever its script is installed
TEMP_DIR = "_temp_dir"  # option of `ray.init`; unlike RAY_TMPDIR it adds no folder "ray", which lengthens socket paths
_WORKER_START_TIMEOUT_S = 5.0  # a node that has room for a worker begins to start it within this time
_LOST_NODE_TEXTS = ("node has died", "actor's node was")  # in messages of ActorDiedError and ActorUnavailableError
_SHORTAGE = re.compile(  # in the message of OutOfMemoryError
    r"Memory on the node \(IP: (?P<node>[^,)]*).*?was (?P<used>[\d.]+) ?GB(?: used)? / (?P<total>[\d.]+) ?GB", re.DOTALL
)
_FAILURE_HEADER = "Failure # "  # begins the first line of each failure in a trial's error file
_AWS_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN")
_log = logging.getLogger(__name__)


class _FixedPath(list[str]):
    """A list of folders that Ray cannot extend."""

    def extend(self, folders: Any) -> None:
        """Ignore the folders."""


def job_config() -> Any:
    """Return a configuration for `ray.init` with which workers import nothing from this process's working directory.

    Ray would put this directory, and that of the program's main file, before the installed packages on the path of its
    workers, so that they would run a file such as ``torch.py`` there, whoever wrote it. They get the folder of this
    package instead; what a user hands over travels by value, see `pickled_by_value`.

    Raises
    ------
    SpecError
        It is not known how this version of Ray hands the directory on.
    """
    import ray
    from ray.job_config import JobConfig

    config: Any = JobConfig()
    if not isinstance(getattr(config, "_py_driver_sys_path", None), list):
        raise SpecError(
            f"`address` must be that of a cluster that your own program has joined: workers of Ray {ray.__version__} "
            "may run files of the working directory; install a version of Ray that pyproject.toml allows"
        )
    config._py_driver_sys_path = _FixedPath([package_folder()])
    return config


@contextmanager
def pickled_by_value(modules: Collection[ModuleType] | None = None) -> Iterator[None]:
    """Send the user's own modules to workers by value within a ``with`` block, since workers cannot import them.

    By default they are the modules from the folder of the program's main file and from the working directory, except
    for this package and for what is installed there.
    """
    from ray.cloudpickle import cloudpickle

    registered = []
    for module in _own_modules() if modules is None else modules:
        with suppress(ValueError):  # not a module that can be imported again
            cloudpickle.register_pickle_by_value(module)
            registered.append(module)
    try:
        yield
    finally:
        for module in registered:
            with suppress(ValueError):
                cloudpickle.unregister_pickle_by_value(module)


def _own_modules() -> list[ModuleType]:
    """Return the loaded modules that Ray would have let its workers import from the user's folders."""
    folders = Path(sys.argv[0]).resolve().parent, Path.cwd()
    loaded = [(n, m) for n, m in [*sys.modules.items()] if n != "__main__" and n.partition(".")[0] not in NOT_OWN]
    return [m for _, m in loaded if any(is_beneath(m, folder) for folder in folders)]


@contextmanager
def keep_running() -> Iterator[None]:
    """Make every error of a trial end that trial alone, within a ``with`` block.

    Tune expects the errors of dead actors and of tasks that raise. It ends the whole sweep at any other, for example
    when Ray kills a worker for lack of memory, or when an object is lost. With the patch, these count as dead actors.
    """
    from ray.air.execution._internal.actor_manager import RayActorManager
    from ray.exceptions import RayActorError, RayTaskError

    fail: Any = getattr(RayActorManager, "_actor_task_failed", None)
    if fail is None:
        _log.warning("this version of Ray is not known: a worker that is killed for lack of memory may end the sweep")
        yield
        return

    def patched(self: Any, tracked_actor_task: Any, exception: Exception) -> None:
        if not isinstance(exception, RayActorError | RayTaskError):
            exception = RayActorError(error_msg=f"{type(exception).__name__}: {exception}")
        fail(self, tracked_actor_task, exception)

    RayActorManager._actor_task_failed = patched  # type: ignore[method-assign]
    try:
        yield
    finally:
        RayActorManager._actor_task_failed = fail  # type: ignore[method-assign]


@contextmanager
def keep_starting_workers() -> Iterator[None]:
    """Keep Tune from killing workers that are still starting, within a ``with`` block.

    Tune gives a worker that has become free to the trial that has waited longest, and kills the worker that is just
    being started for that trial, if there is one. Where packs take less time than the start of a process, the other
    nodes of a cluster would never get to work. With the patch, the free worker is given to another trial, unless no
    node seems to have room for the worker that is being waited for.
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
    is_known = True  # whether this version of Tune has the attributes that are read here

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
    """Return whether a trial has a worker of its own that has started, or is still worth waiting for."""
    actor = controller._trial_to_actor.get(trial)
    if not actor or trial in controller._resetting_trials:
        return False
    since = waiting.setdefault(trial.trial_id, time.monotonic())
    return controller._actor_manager.is_actor_started(actor) or time.monotonic() - since < _WORKER_START_TIMEOUT_S


def _warn_of_slow_nodes() -> None:
    _log.warning("this version of Ray is not known: where packs are short, nodes that are slow to start may stay idle")


@contextmanager
def hide_aws_keys() -> Iterator[None]:
    """Keep the keys of AWS out of the list of processes, within a ``with`` block.

    Tune puts them into the command lines of its workers, which Ray also logs. Workers do not need that: on this machine
    they inherit the keys from the environment, on a cluster from the environment of their node.

    Raises
    ------
    SpecError
        Keys are in the environment, and it is not known how this version of Tune hands them on.
    """
    handed_on = _names_handed_on()
    if handed_on is None:
        if shown := [name for name in _AWS_KEYS if os.environ.get(name)]:
            import ray

            raise SpecError(
                f"`{shown[0]}` must not be in the environment: Ray {ray.__version__} may show it in command lines; "
                "use a file of credentials, or install a version of Ray that pyproject.toml allows"
            )
        handed_on = set()
    keys = {name for name in handed_on if name.startswith("AWS_")}
    handed_on -= keys
    try:
        yield
    finally:
        handed_on |= keys


def _names_handed_on() -> set[str] | None:
    """Return Tune's own set of the environment variables that it hands on to its workers, None if it is not found."""
    with suppress(ImportError, AttributeError):
        from ray.tune.execution import class_cache

        names = class_cache.ENV_VARS_TO_PROPAGATE
        is_read = "ENV_VARS_TO_PROPAGATE" in class_cache._ActorClassCache.get.__code__.co_names
        if isinstance(names, set) and is_read:
            return names
    return None


class Hosts:
    """The nodes that workers run on, as far as Tune knows them; for display only, and without waiting."""

    def __init__(self) -> None:
        self._of_worker: dict[Any, str] = {}

    def of(self, trial: Any) -> str:
        """Return the name of the node that a trial of Tune runs on, "" if it is not known (yet)."""
        import ray

        with suppress(Exception):
            worker = trial.temporary_state.ray_actor._actor_id
            if worker not in self._of_worker:
                info = trial._default_result_or_future  # Tune asks every worker for it
                if isinstance(info, ray.ObjectRef) and ray.wait([info], timeout=0)[0]:
                    info = ray.get(info)
                if isinstance(info, dict):
                    self._of_worker[worker] = str(info["hostname"])
            return self._of_worker.get(worker, "")
        return ""


def last_error(trial: Any) -> str:
    """Return the text of the last failure of a trial, from the file in which Tune notes it.

    Tune's own accessor reads a copy of the file that may not have been made yet.
    """
    try:
        text = Path(trial.error_file).read_text()
    except (OSError, TypeError, AttributeError):
        return "the trial failed and gave no reason"
    return text.rpartition(_FAILURE_HEADER)[2].partition("\n")[2]


def memory_shortage(error: str) -> str | None:
    """Return what Ray's error says about the memory of a node if a worker was killed for lack of it, otherwise None."""
    if "running low on memory" not in error and not re.search(r"(?<!torch\.)OutOfMemoryError", error):
        return None
    if numbers := _SHORTAGE.search(error):
        used, total = float(numbers["used"]), float(numbers["total"])
        return f"not enough memory on {numbers['node']}: {used:.1f} of {total:.1f} GiB used"
    return "not enough memory on a node"


def is_lost_node(error: str) -> bool:
    """Return whether a trial failed because its node was lost, according to the text of Ray's error."""
    return any(text in error for text in _LOST_NODE_TEXTS)
