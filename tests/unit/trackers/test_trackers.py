import os
import shutil
import sys
from dataclasses import astuple
from functools import partial
from types import SimpleNamespace

import click
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


def test_a_run_of_wandb_is_never_gone_on_with(tmp_path, monkeypatch, ledger):
    started = []
    run = SimpleNamespace(log=lambda values: None, config={}, finish=lambda exit_code: None)
    fake = SimpleNamespace(Settings=dict, init=lambda **how: started.append(how) or run)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    point = {"sigma_w": 1.5, "sigma_b": 0.1, "depth": 5, "seed": 7}
    for _ in range(2):  # the second: after the first process was killed
        logger = _Logger(CALLBACKS["wandb"](tmp_path, "first", ledger), tmp_path, ledger, several_rates=False)
        logger.take({"point": point, "epochs": [[0.1, 1, 0.5, 2.0]]})
    first, second = started
    assert first["name"] == second["name"] and first["id"] != second["id"]
    assert {how["resume"] for how in started} == {"never"}


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
    live = LiveEpochs(SimpleNamespace(rates=(0.01, 0.1), log_epochs=lambda *epochs: logged.append(epochs)))
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
