"""Every private name of Ray and Tune that `ray_patches` touches, and what becomes of a sweep where one is missing."""

import inspect
import mmap
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import ray

import probes
from sweep.errors import SpecError
from sweep.execution import ray_patches
from sweep.execution.ray_patches import (
    Hosts,
    hide_aws_keys,
    is_lost_node,
    keep_running,
    keep_starting_workers,
    last_error,
    memory_shortage,
)
from sweep.execution.trainable import PackTrainable


def test_the_command_line_is_a_module():
    (command,) = entry_points(group="console_scripts", name="ray")
    assert command.value == f"{ray_patches.RAY_COMMAND[-1]}:main"


def test_ray_can_be_given_a_folder():
    assert f'kwargs.pop("{ray_patches.TEMP_DIR}"' in inspect.getsource(ray.init)


def test_the_controller_reuses_workers_by_a_method_of_one_trial():
    from ray.tune.execution.tune_controller import TuneController

    assert list(inspect.signature(TuneController._maybe_reuse_cached_actor).parameters) == ["self", "trial"]
    source = inspect.getsource(TuneController.__init__)
    assert all(f"self.{name}" in source for name in ("_trial_to_actor", "_resetting_trials", "_actor_manager"))


def test_the_actor_manager_knows_who_has_started():
    from ray.air.execution._internal.actor_manager import RayActorManager

    assert list(inspect.signature(RayActorManager.is_actor_started).parameters) == ["self", "tracked_actor"]


def test_keys_are_handed_on_by_a_set_of_names():
    from ray.tune.execution import class_cache

    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= class_cache.ENV_VARS_TO_PROPAGATE
    assert {n for n in class_cache.ENV_VARS_TO_PROPAGATE if n.startswith("AWS_")} == set(ray_patches._AWS_KEYS)
    assert ray_patches._names_handed_on() is class_cache.ENV_VARS_TO_PROPAGATE


@pytest.fixture
def trial():
    """Return a trial of Tune's own."""
    from ray.tune.experiment import Trial

    return Trial("made-up", stub=True)


def test_a_trial_knows_its_worker_and_what_it_told(trial):
    assert trial._default_result_or_future is None
    assert trial.temporary_state.ray_actor is None


def test_a_worker_has_an_id():
    from ray.actor import ActorHandle

    assert "_actor_id" in inspect.getsource(ActorHandle.__init__)


def test_the_errors_of_a_trial_are_in_a_file(trial, tmp_path, monkeypatch):
    """Tune writes each error after a header line."""
    assert last_error(trial) == "the trial failed and gave no reason"  # it has no folder yet
    monkeypatch.setattr(type(trial), "local_path", str(tmp_path))
    assert last_error(trial) == "the trial failed and gave no reason"
    for text in ("the first", "ActorDiedError: the last\nin two lines"):
        trial.handle_error(RuntimeError(text))
    assert last_error(trial) == "ActorDiedError: the last\nin two lines\n"


@pytest.mark.parametrize("text", ray_patches._LOST_NODE_TEXTS)
def test_a_lost_node_is_told_by_its_text(text):
    import ray

    with Path(ray.__file__).with_name("core").joinpath("src/ray/gcs/gcs_server").open("rb") as server:
        assert mmap.mmap(server.fileno(), 0, access=mmap.ACCESS_READ).find(text.encode()) > 0
    assert is_lost_node(f"ActorDiedError: The actor died: {text}. Node Id: 0")
    assert not is_lost_node("The actor died unexpectedly before finishing this task.")


def test_keys_are_not_handed_on_within():
    from ray.tune.execution import class_cache

    before = set(class_cache.ENV_VARS_TO_PROPAGATE)
    with hide_aws_keys():
        assert not [n for n in class_cache.ENV_VARS_TO_PROPAGATE if n.startswith("AWS_")]
        assert class_cache.ENV_VARS_TO_PROPAGATE
    assert before == class_cache.ENV_VARS_TO_PROPAGATE


def gone(monkeypatch):
    from ray.tune.execution import class_cache

    monkeypatch.delattr(class_cache, "ENV_VARS_TO_PROPAGATE")


def frozen(monkeypatch):
    from ray.tune.execution import class_cache

    monkeypatch.setattr(class_cache, "ENV_VARS_TO_PROPAGATE", frozenset({"AWS_ACCESS_KEY_ID"}))


def read_elsewhere(monkeypatch):
    from ray.tune.execution import class_cache

    monkeypatch.setattr(class_cache._ActorClassCache, "get", lambda self, trainable: None)


@pytest.mark.parametrize("change", [gone, frozen, read_elsewhere])
@pytest.mark.parametrize("name", ray_patches._AWS_KEYS)
def test_a_sweep_does_not_start_where_keys_would_be_shown(monkeypatch, change, name):
    for other in ray_patches._AWS_KEYS:
        monkeypatch.delenv(other, raising=False)
    change(monkeypatch)
    with hide_aws_keys():  # nothing to be shown
        pass
    monkeypatch.setenv(name, "hush")
    with pytest.raises(SpecError) as refused, hide_aws_keys():
        pass
    message = str(refused.value)
    assert name in message and "hush" not in message and "\n" not in message


class Controller:
    """What is looked at of Tune's controller: one trial, whose worker is being started."""

    def __init__(self, is_started=False):
        self._trial_to_actor, self._resetting_trials = {"trial": "worker"}, set()
        self._actor_manager = type("Manager", (), {"is_actor_started": lambda self, actor: is_started})()


class Waiting(str):
    trial_id = "0"


@pytest.fixture
def reuse(monkeypatch):
    """Return the patched method, which says True where Tune's own is called."""
    from ray.tune.execution.tune_controller import TuneController

    monkeypatch.setattr(TuneController, "_maybe_reuse_cached_actor", lambda self, trial: True)
    with keep_starting_workers():
        yield TuneController._maybe_reuse_cached_actor


def test_a_worker_that_is_being_started_is_kept(reuse, monkeypatch):
    trial, now = Waiting("trial"), [100.0]
    monkeypatch.setattr(ray_patches.time, "monotonic", lambda: now[0])
    controller = Controller()
    assert reuse(controller, Waiting("another"))  # has no worker yet
    assert not reuse(controller, trial)
    now[0] += 4.9
    assert not reuse(controller, trial)
    now[0] += 0.2  # nobody has room for it
    assert reuse(controller, trial)
    assert not reuse(Controller(is_started=True), trial)
    controller._resetting_trials.add(trial)
    now[0] = 100.0
    assert reuse(controller, trial)


def test_another_version_of_tune_decides_for_itself(reuse, monkeypatch, caplog):
    trial, controller = Waiting("trial"), Controller()
    del controller._trial_to_actor
    assert reuse(controller, trial) and reuse(controller, trial)
    assert caplog.text.count("this version of Ray is not known") == 1

    from ray.tune.execution.tune_controller import TuneController

    monkeypatch.delattr(TuneController, "_maybe_reuse_cached_actor")
    with keep_starting_workers():
        assert not hasattr(TuneController, "_maybe_reuse_cached_actor")
    assert caplog.text.count("this version of Ray is not known") == 2


def test_the_node_of_a_worker_is_asked_for_once():
    class Worker:
        _actor_id = "worker"

    class Trial:
        temporary_state = type("State", (), {"ray_actor": Worker()})

        def __init__(self, info):
            self._default_result_or_future = info

    hosts = Hosts()
    assert hosts.of(Trial(None)) == ""
    assert hosts.of(Trial({"hostname": "node-a"})) == hosts.of(Trial(None)) == "node-a"
    assert hosts.of(object()) == hosts.of(None) == ""  # another version of Tune; no worker yet


def test_workers_import_nothing_from_the_working_directory(monkeypatch):
    from ray.job_config import JobConfig

    config = ray_patches.job_config()
    config._py_driver_sys_path.extend(["/home/somebody/sweep"])  # as `ray.init` does
    assert list(config._get_proto_job_config().py_driver_sys_path) == [str(Path(probes.__file__).parents[1])]
    assert "job_config._py_driver_sys_path.extend(" in inspect.getsource(ray._private.worker.connect)

    monkeypatch.setattr(JobConfig, "__init__", lambda self: None)  # of another version
    with pytest.raises(SpecError, match="may run files of the working directory"):
        ray_patches.job_config()


def test_what_the_user_hands_over_travels_by_value(tmp_path, monkeypatch):
    (tmp_path / "handed_over.py").write_text("import used_by_it\n\ndef make():\n    return used_by_it.ANSWER\n")
    (tmp_path / "used_by_it.py").write_text("ANSWER = 42\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    import handed_over  # type: ignore[import-not-found]

    with ray_patches.pickled_by_value():
        assert {m.__name__ for m in ray_patches._own_modules()} >= {"handed_over", "used_by_it"}
        by_value = ray.cloudpickle.dumps(handed_over.make)
        assert b"PackTrainable" in ray.cloudpickle.dumps(PackTrainable)  # by its name
    by_name = ray.cloudpickle.dumps(handed_over.make)
    for name in ("handed_over", "used_by_it"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(tmp_path)])  # as on a worker
    assert ray.cloudpickle.loads(by_value)() == 42
    with pytest.raises(ModuleNotFoundError):
        ray.cloudpickle.loads(by_name)


def every_error_of_ray():
    """Return an instance of each error that Ray can raise of a task or an actor."""
    import ray.exceptions

    def subclasses(cls):
        return {cls}.union(*(subclasses(c) for c in cls.__subclasses__()))

    plain = {"__init__": lambda self: None, "__str__": lambda self: "what happened", "__reduce__": object.__reduce__}
    errors = sorted(subclasses(ray.exceptions.RayError), key=lambda cls: cls.__name__)
    return [type(cls.__name__, (cls,), plain)() for cls in errors] + [OSError("no file")]


@pytest.mark.parametrize("error", every_error_of_ray(), ids=lambda e: type(e).__name__)
def test_no_error_of_a_trial_ends_the_sweep(error):
    from ray.air.execution._internal.actor_manager import RayActorManager
    from ray.air.execution._internal.tracked_actor import TrackedActor
    from ray.air.execution._internal.tracked_actor_task import TrackedActorTask
    from ray.exceptions import RayActorError, RayTaskError

    told = []
    actor = TrackedActor(1, on_error=lambda actor, error: told.append(("actor", error)))
    task = TrackedActorTask(actor, on_error=lambda actor, error: told.append(("task", error)))
    manager = RayActorManager(resource_manager=type("Manager", (), {})())
    manager._cleanup_actor = lambda tracked_actor: None
    expected = isinstance(error, RayActorError | RayTaskError)
    if not expected:
        with pytest.raises(RuntimeError, match="unexpected"):  # what Tune would do
            manager._actor_task_failed(task, error)
    with keep_running():
        manager._actor_task_failed(task, error)
    assert [who for who, _ in told] == (["task"] if isinstance(error, RayTaskError) else ["actor", "task"])
    if not expected:
        assert type(error).__name__ in str(told[0][1])


def test_another_version_of_the_actor_manager_is_left_alone(monkeypatch, caplog):
    from ray.air.execution._internal.actor_manager import RayActorManager

    monkeypatch.delattr(RayActorManager, "_actor_task_failed")
    with keep_running():
        assert not hasattr(RayActorManager, "_actor_task_failed")
    assert "this version of Ray is not known" in caplog.text


def test_a_lack_of_memory_is_recognised():
    used = "Memory on the node (IP: 192.0.2.2, ID: 9e62) was 22.49GB used / 23.54GB limit (0.955)"
    for text in (
        f"ray.exceptions.OutOfMemoryError: 1 worker(s) were killed due to the node running low on memory. {used}",
        "Task was killed due to the node running low on memory.\nMemory on the node (IP: 192.0.2.2, ID: 9e62) where "
        "the task (actor ID: 1) was running was 22.49GB / 23.54GB (0.955), which exceeds the memory usage threshold",
    ):
        assert memory_shortage(text) == "not enough memory on 192.0.2.2: 22.5 of 23.5 GiB used"
    assert memory_shortage("OutOfMemoryError: in other words") == "not enough memory on a node"
    assert memory_shortage("torch.OutOfMemoryError: CUDA out of memory") is None
    assert memory_shortage("the actor died because its node has died") is None
