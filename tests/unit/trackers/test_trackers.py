import os
import shutil
import sys
from dataclasses import astuple
from functools import partial
from types import SimpleNamespace

import click
import numpy as np
import pytest
from click.testing import CliRunner

from probes import Point
from sweep.cli.main import main
from sweep.errors import SpecError
from sweep.execution import runner
from sweep.execution.callbacks import LiveEpochs
from sweep.execution.trainable import network_name
from sweep.trackers import process as process_module
from sweep.trackers import trackers
from sweep.trackers.backends import CALLBACKS
from sweep.trackers.errors import TrackerError
from sweep.trackers.ledger import Ledger
from sweep.trackers.runs import _Logger, _reason
from sweep.trackers.trackers import Trackers
from tests.helpers.tracked import SPEC, measured


def test_a_package_that_is_missing_is_said_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    out = CliRunner().invoke(main, ["run", "--out", str(tmp_path / "x"), "--log", "mlflow"])
    assert out.exit_code == 2 and not (tmp_path / "x").exists()
    assert out.stderr.splitlines()[-1].endswith(
        "Invalid value for '--log': 'mlflow' needs a package that is not installed: pip install '.[mlflow]'"
    )
    with pytest.raises(SpecError, match="`log` must be one of tensorboard, mlflow, wandb, got 'excel'"):
        runner.run(SPEC, tmp_path / "x", log=["excel"])


@pytest.mark.parametrize("what", ["link", "folder", "pipe", "loop", "ours"])
def test_a_folder_that_leads_elsewhere_is_refused(tmp_path, monkeypatch, what):
    monkeypatch.setattr(process_module, "_COMMAND", (sys.executable, "-c", "print()"))
    folder = tmp_path / "sweep" / "mlflow"
    (folder / "run").mkdir(parents=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "db").write_text("mine")
    if what == "link":
        (folder / "run" / "mlflow.db").symlink_to(tmp_path / "mine" / "db")
    elif what == "folder":
        shutil.rmtree(folder)
        folder.symlink_to(tmp_path / "mine")
    elif what == "pipe":
        os.mkfifo(folder / "logged")
        assert measured(0) not in Ledger(folder)  # and nobody waits
    elif what == "loop":
        (folder / "run" / "loop").symlink_to("../../mlflow/run/loop")
    else:
        (folder / "latest").symlink_to("run/gone")  # as W&B does
    if what in ("loop", "ours"):
        return trackers._stay_inside(folder)
    with pytest.raises(SpecError, match="`log` must find no pipe and no link to elsewhere in ") as error:
        Trackers(["tensorboard", "mlflow"], tmp_path / "sweep", "first", (0.1,))
    assert "\n" not in str(error.value)


POINT = {"sigma_w": 1.5, "sigma_b": 0.1, "depth": 5, "seed": 7}
ROW = {**POINT, "status": "ok", "margin": 1.0}


@pytest.fixture
def wandb(tmp_path, monkeypatch):
    """A W&B that begins the runs that it is asked for, or others, and what it was asked."""
    fake = SimpleNamespace(runs=[], mode="offline", other={})

    def setup(settings):
        project = os.environ.get("WANDB_PROJECT")
        tags = ("theirs",) if "WANDB_TAGS" in os.environ else None
        fake.settings, fake.seen = settings, {n for n in os.environ if n.startswith("WANDB_")}
        return SimpleNamespace(
            settings=SimpleNamespace(mode=fake.mode, project=project, run_tags=tags, settings_system="~/settings")
        )

    def init(**asked):
        fake.runs.append(asked)
        begun = {"id": asked["id"], "name": asked["name"], "project": asked["project"], "disabled": False} | fake.other
        settings = SimpleNamespace(sync_file=str(tmp_path / "run.wandb"), log_internal=str(tmp_path / "debug.log"))
        begun.setdefault("settings", settings)
        return SimpleNamespace(log=dict, config={}, finish=lambda exit_code: None, **begun)

    class Settings(SimpleNamespace):
        model_fields = {"root_dir": None, "sagemaker_disable": None}  # an old version knows few

    fake.setup, fake.init, fake.Settings = setup, init, Settings
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setattr("sweep.trackers.wandb_log.is_written", lambda path, run_id: True)
    monkeypatch.setattr(os, "environ", {n: v for n, v in os.environ.items() if not n.startswith("WANDB_")})
    monkeypatch.chdir(tmp_path)
    return fake


@pytest.fixture
def log_to_wandb(tmp_path, wandb, ledger):
    def log(**event):
        logger = _Logger(CALLBACKS["wandb"](tmp_path, "first", ledger), tmp_path, ledger, several_rates=False)
        logger.take({"epochs": [], **event})

    return log


def test_a_run_of_wandb_is_never_gone_on_with(wandb, log_to_wandb):
    for _ in range(2):  # the second: after the first process was killed
        log_to_wandb(point=POINT, epochs=[[0.1, 1, 0.5, 2.0]])
    first, second = wandb.runs
    assert first["name"] == second["name"] and first["id"] != second["id"]
    assert {run["resume"] for run in wandb.runs} == {"never"}


def test_wandb_forgets_the_run_that_its_variables_name(wandb, log_to_wandb, ledger):
    """In an agent, a launched job or SageMaker, or below a script that logs, they would merge or rename points."""
    kept = {"WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_ENTITY", "WANDB_PROJECT", "WANDB_MODE", "WANDB_TAGS"}
    dropped = ["RUN_ID", "SWEEP_ID", "RUN_GROUP", "NAME", "RESUME", "RESUME_FROM", "FORK_FROM", "DIR", "CONFIG_PATHS"]
    dropped += ["SWEEP_PARAM_PATH", "SERVICE", "LAUNCH", "CONFIG", "CONFIG_0", "GIT_ROOT", "USE_DOT_WANDB"]
    dropped += ["X_SKIP_TRANSACTION_LOG", "_SKIP_TRANSACTION_LOG", "_FILES_DIR", "SOMETHING_NEW"]
    os.environ |= dict.fromkeys([*kept, *(f"WANDB_{name}" for name in dropped)], "x")
    log_to_wandb(row=ROW)
    assert wandb.seen == kept and wandb.settings.sagemaker_disable
    (run,) = wandb.runs
    assert (run["project"], run["group"], run["tags"]) == ("x", "first", ("theirs", ledger.name))
    assert os.getcwd() == "/"  # no ``wandb/settings`` of a stranger is read
    assert ROW in ledger


@pytest.mark.parametrize(
    ("name", "value"), [("MODE", "disabled"), ("MODE", "Disabled"), ("DISABLED", "true"), ("DISABLED", "1")]
)
def test_wandb_that_is_switched_off_logs_nothing(wandb, log_to_wandb, ledger, name, value):
    os.environ[f"WANDB_{name}"] = value
    with pytest.raises(TrackerError) as error:
        log_to_wandb(row=ROW)
    assert _reason(error.value) == f"WANDB_{name}={value}" and not wandb.runs and not len(ledger)


def test_wandb_that_is_switched_off_in_its_settings_logs_nothing(wandb, log_to_wandb):
    wandb.mode = "disabled"
    with pytest.raises(TrackerError, match="W&B's settings say: mode = disabled"):
        log_to_wandb(row=ROW)
    assert not wandb.runs


@pytest.mark.parametrize("other", [{"id": "agent"}, {"name": "agent"}, {"project": "agent"}, {"disabled": True}])
def test_another_run_than_the_one_that_wandb_was_asked_for_is_no_run(wandb, log_to_wandb, ledger, other):
    wandb.other = other
    with pytest.raises(TrackerError, match="W&B's settings make the run "):
        log_to_wandb(row=ROW)
    assert not len(ledger)


def test_what_wandb_has_not_written_is_not_logged(tmp_path, monkeypatch, wandb, log_to_wandb, ledger):
    for path, is_there in ((tmp_path / "run.wandb", False), (tmp_path.parent / "run.wandb", True)):  # the disk; /tmp
        monkeypatch.setattr("sweep.trackers.wandb_log.is_written", lambda path, run_id, is_there=is_there: is_there)
        wandb.other = {} if path.parent == tmp_path else {"settings": SimpleNamespace(sync_file=str(path))}
        with pytest.raises(TrackerError, match="W&B has not written the run to "):
            log_to_wandb(row=ROW)
    assert not len(ledger)


def test_what_wandb_has_not_uploaded_is_not_logged(tmp_path, log_to_wandb, ledger):
    log = tmp_path / "debug.log"
    log.write_text('{"level":"ERROR","msg":"api: HTTP error","status":500}\n')  # and was tried again
    log_to_wandb(row=ROW)
    with log.open("a") as file:
        print('{"level":"ERROR+4","msg":"filestream: fatal error: 404 Not Found"}', file=file)
    with pytest.raises(TrackerError, match="W&B has not uploaded the run: filestream: fatal error: 404 Not Found"):
        log_to_wandb(row={**ROW, "seed": 8})
    assert len(ledger) == 1


def test_points_that_differ_in_the_last_digit_have_runs_of_their_own(tmp_path, ledger):
    callback = Recorded()
    logger = _Logger(callback, tmp_path, ledger, several_rates=False)
    for sigma_w in (1.5, 1.50000001, np.nextafter(1.5, 2).item(), 1e-7, 100000.0, 1e22):
        logger.take({"row": {**ROW, "sigma_w": sigma_w}, "epochs": []})
    names = [name.split()[0].removeprefix("sigma_w=") for kind, name in callback.calls if kind == "start"]
    assert names == ["1.5", "1.50000001", "1.5000000000000002", "1e-07", "100000", "1e+22"]


def test_tensorboard_has_logged_what_is_on_the_disk(tmp_path, monkeypatch, ledger):
    pytest.importorskip("tensorboardX")
    logger = _Logger(CALLBACKS["tensorboard"](tmp_path, "first", ledger), tmp_path, ledger, several_rates=False)
    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space left"):
            logger.take({"row": ROW, "epochs": []})
    assert not len(ledger)
    logger.take({"row": ROW, "epochs": []})
    assert ROW in ledger
    (file,) = (tmp_path / "sigma_w=1.5 sigma_b=0.1 depth=5 seed=7").iterdir()
    assert b"ray/tune/margin" in file.read_bytes()


@pytest.mark.parametrize("secret", ["me:secret", "secret", "me:sec@ret"])
def test_no_password_is_said(secret):
    long = "x" * 285
    reason = _reason(OSError(f"{long} http://{secret}@host/a failed, see http://host/b, a@b"))
    assert "sec" not in reason and "ret" not in reason and reason.startswith(f"OSError: {long} http://***@ho")
    assert _reason(OSError("http://host/b, a@b")) == "OSError: http://host/b, a@b"


@pytest.fixture
def ledger(tmp_path):
    with Ledger.held(tmp_path) as held:
        yield held


class Recorded:
    """A callback that remembers."""

    def __init__(self):
        self.calls = []

    def log_trial_start(self, trial):
        self.calls.append(("start", str(trial)))

    def log_trial_result(self, iteration, trial, result):
        self.calls.append((iteration, result))

    def log_trial_end(self, trial, failed):
        self.calls.append(("end", failed))


def test_live_epochs_come_once_and_in_order(tmp_path, ledger):
    callback = Recorded()
    logger = _Logger(callback, tmp_path, ledger, several_rates=False)
    point = {"sigma_w": 1.5, "sigma_b": 0.1, "depth": 5, "seed": 7}
    rest = [[0.1, 3, 0.7, float("nan")]]
    for epochs in ([[0.1, 1, 0.5, 2.0]], [[0.1, 1, 0.5, 2.0], [0.1, 2, 0.6, 1.0]]):  # the second: after a fault
        logger.take({"point": point, "epochs": epochs})
    end = {"row": {**point, "status": "ok", "margin": 1.0, "error": ""}, "epochs": [*epochs, *rest]}
    logger.take(end)
    logger.take(end)
    steps = [s for s in callback.calls if isinstance(s[0], int)]
    assert [s[0] for s in steps] == [1, 2, 3, 3] and steps[1][1]["epoch"] == {"accuracy": 0.6, "loss": 1.0}
    assert steps[2][1]["epoch"] == {"accuracy": 0.7} and steps[3][1]["margin"] == 1.0
    assert [s for s in callback.calls if not isinstance(s[0], int)] == [
        ("start", "sigma_w=1.5 sigma_b=0.1 depth=5 seed=7"),
        ("end", False),
    ]


def test_points_that_differ_in_a_further_axis_are_different_runs(tmp_path):
    callback, point = Recorded(), {"sigma_w": 1.5, "sigma_b": 0.1, "depth": 5, "seed": 7}
    with Ledger.held(tmp_path, ["width"]) as ledger:
        logger = _Logger(callback, tmp_path, ledger, several_rates=False, further=["width"])
        for width in (16, 32, 16):
            logger.take({"row": {**point, "width": width, "status": "ok", "margin": 1.0}, "epochs": []})
    assert [name for what, name in callback.calls if what == "start"] == [
        f"sigma_w=1.5 sigma_b=0.1 depth=5 seed=7 width={width}" for width in (16, 32)
    ]
    assert all("width" not in values for _, values in callback.calls if isinstance(values, dict))
    assert len(Ledger(tmp_path, ["width"])) == 2


def test_a_point_that_could_not_be_logged_is_no_point_logged(tmp_path, ledger):
    callback = Recorded()
    logger = _Logger(callback, tmp_path, ledger, several_rates=False)
    callback.log_trial_end = lambda trial, failed: 1 / 0
    event = {"row": {"sigma_w": 1.5, "sigma_b": 0.1, "depth": 5, "seed": 7, "status": "ok"}, "epochs": []}
    with pytest.raises(ZeroDivisionError) as error:
        logger.take(event)
    assert _reason(error.value) == "ZeroDivisionError: division by zero"
    assert event["row"] not in ledger and event["row"] not in Ledger(tmp_path)
    del callback.log_trial_end
    logger.take(event)
    assert event["row"] in ledger and event["row"] in Ledger(tmp_path)
    assert {**event["row"], "status": "failed"} in ledger  # the measurement counts
    failed = {**event["row"], "seed": 8, "status": "failed"}
    logger.take({"row": failed, "epochs": []})
    for known in (ledger, Ledger(tmp_path)):
        assert failed in known and {**failed, "status": "ok"} not in known  # it may be measured after all


def test_trackers_hear_of_networks_in_training():
    points, logged = [Point(1.23456789, 0.1, 5, 7), Point(1.3, 0.2, 6, 8)], []
    networks = {network_name(points[1], 0.1): {"epoch": 4, "accuracy": 0.5, "loss": 2.0}}
    live = LiveEpochs(
        SimpleNamespace(rates_of=lambda point: (0.01, 0.1), log_epochs=lambda *epochs: logged.append(epochs))
    )
    trial = SimpleNamespace(config={"points": [astuple(p) for p in points]})
    live.on_trial_result(1, [], trial, {"networks": networks})
    live.on_trial_result(2, [], trial, {"rows": []})
    assert logged == [(points[1], [(0.1, 4, 0.5, 2.0)])]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("log = 'mlflow'", ("mlflow",)),
        ("log = ['mlflow', 'wandb']", ("mlflow", "wandb")),
        ("log = [['mlflow']]", "must be one value"),
        ("log = 'excel'", "'excel' is not one of"),
    ],
)
def test_trackers_in_a_configuration_file(tmp_path, line, expected):
    (tmp_path / "c.toml").write_text(line)
    with click.Context(main) as parent:
        made = partial(main.commands["run"].make_context, "run", ["--config", str(tmp_path / "c.toml")], parent=parent)
        if isinstance(expected, tuple):
            assert made().params["log"] == expected
        else:
            with pytest.raises(click.BadParameter, match=expected):
                made()


def test_a_list_that_is_damaged_or_leads_elsewhere(tmp_path):
    (tmp_path / "logged").write_bytes(b"\xff")
    assert measured(0) not in Ledger(tmp_path)
    (tmp_path / "logged").unlink()
    (tmp_path / "mine").touch()
    (tmp_path / "logged").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError), Ledger.held(tmp_path):
        pass
    assert not (tmp_path / "mine").read_text()


@pytest.fixture
def mlflow(monkeypatch):
    """An MLflow with the experiments 1, ``first``, and 2, ``deleted``, which was deleted; and what it was asked."""
    stages = {"first": "active", "deleted": "deleted"}
    experiments = [
        SimpleNamespace(name=name, experiment_id=str(i), lifecycle_stage=stage)
        for i, (name, stage) in enumerate(stages.items(), 1)
    ]
    fake = SimpleNamespace(batches=[], runs=[], made=[])

    class Error(Exception):
        pass

    def find(**wanted):
        ((name, value),) = wanted.items()
        return next((e for e in experiments if getattr(e, name) == value), None)

    def get(experiment_id):
        if experiment := find(experiment_id=experiment_id):
            return experiment
        raise Error("no such experiment")

    def create_run(experiment_id, tags, run_name):
        fake.runs.append((experiment_id, run_name))
        return SimpleNamespace(info=SimpleNamespace(run_id="run"))

    client = SimpleNamespace(
        get_experiment=get,
        get_experiment_by_name=lambda name: find(name=name),
        create_experiment=lambda name: fake.made.append(name) or "3",
        create_run=create_run,
        log_batch=lambda run, synchronous, **batch: fake.batches.append(synchronous),
        set_terminated=lambda run, status: None,
    )
    entities = SimpleNamespace(Metric=lambda *values: values, Param=lambda *values: values)
    modules = {"mlflow": SimpleNamespace(MlflowClient=lambda tracking_uri: client)}
    modules |= {"mlflow.entities": entities, "mlflow.exceptions": SimpleNamespace(MlflowException=Error)}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(os, "environ", {n: v for n, v in os.environ.items() if not n.startswith("MLFLOW_")})
    return fake


HERE, THERE = {}, {"MLFLOW_TRACKING_URI": "http://there"}


@pytest.mark.parametrize(
    ("sweep", "variables", "expected"),
    [
        ("first", HERE, "1"),
        ("first", {"MLFLOW_EXPERIMENT_ID": "2", "MLFLOW_EXPERIMENT_NAME": "other"}, "1"),  # of another server
        ("first", {**THERE, "MLFLOW_EXPERIMENT_NAME": "other"}, "3"),
        ("second", {**THERE, "MLFLOW_EXPERIMENT_ID": "1"}, "1"),
        ("second", {"MLFLOW_TRACKING_URI": ""}, "3"),
        (
            "first",
            {**THERE, "MLFLOW_EXPERIMENT_ID": "2"},
            "the experiment 'deleted' (id 2) was deleted; to restore it: ",
        ),
        ("deleted", HERE, "the experiment 'deleted' (id 2) was deleted; to "),
        ("first", {**THERE, "MLFLOW_EXPERIMENT_ID": "7"}, "MLFLOW_EXPERIMENT_ID=7: no such experiment"),
    ],
)
def test_the_experiment_of_mlflow(tmp_path, monkeypatch, mlflow, ledger, sweep, variables, expected):
    monkeypatch.chdir(tmp_path)
    os.environ |= {**variables, "MLFLOW_RUN_ID": "other", "MLFLOW_ENABLE_ASYNC_LOGGING": "true"}
    try:
        callback = CALLBACKS["mlflow"](tmp_path, sweep, ledger)
    except TrackerError as error:
        assert _reason(error).startswith(expected)
        return
    _Logger(callback, tmp_path, ledger, several_rates=False).take({"row": ROW, "epochs": []})
    assert mlflow.runs == [(expected, "sigma_w=1.5 sigma_b=0.1 depth=5 seed=7")]
    assert mlflow.batches == [True, True]  # the points are there when they count as logged
