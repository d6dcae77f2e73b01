import json
import os
import re
import shutil
import struct
import subprocess
import sys
import time
from dataclasses import astuple
from functools import partial
from importlib import util
from types import SimpleNamespace

import click
import numpy as np
import pytest
from click.testing import CliRunner

from probes import Measurement, Point
from sweep.cli.main import main
from sweep.errors import SpecError
from sweep.execution import runner
from sweep.execution.callbacks import LiveEpochs
from sweep.execution.trainable import network_name
from sweep.results.loading import load
from sweep.spec.rows import row
from sweep.spec.spec import SweepSpec
from sweep.storage.home import SPEC_FILE
from sweep.storage.store import Store
from sweep.trackers import process as process_module
from sweep.trackers import trackers
from sweep.trackers.backends import _Wandb
from sweep.trackers.ledger import Ledger
from sweep.trackers.runs import _Logger, _reason
from sweep.trackers.trackers import Trackers
from tests.helpers.landscape import made_up

SPEC = SweepSpec(points=4, train="all", lr=(0.01, 0.1), search="sobol")


@pytest.fixture(autouse=True)
def nobody_elses_servers(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "WANDB_API_KEY", "WANDB_PROJECT", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")


def measured(i, status="ok"):
    """The row of a point, trained for three epochs with two rates."""
    m = made_up(Point(1.0 + i / 10, 0.25, 10 + i % 40, i), status=status)
    if status == "ok":
        curves = {
            "lr": np.repeat([0.01, 0.1], 3),
            "epoch": np.tile([1, 2, 3], 2),
            "accuracy": np.arange(6) / 10 + i / 100,
            "loss": 1 - np.arange(6) / 10,
        }
        m = Measurement(
            m.point, "ok", "", {**m.values, "accuracy": 0.5, "chance": 0.1, "xi_c": np.inf}, m.profiles, curves
        )
    return row(m, pack=1, device="cpu", hostname="here", finished=1e9 + i)


@pytest.fixture
def finished(tmp_path):
    """A sweep with nothing left to do: three points that trained, one that failed."""
    path = tmp_path / "first"
    path.mkdir()
    SPEC.save(path / SPEC_FILE)
    store = Store(path, SPEC.digest)
    store.create()
    store.write([*map(measured, range(3)), measured(3, "failed")])
    return path


def logged(path, tracker):
    return (path / tracker / "logged").read_text().splitlines()[1:]


def events_of(folder):
    """Scalars and what the HParams tab shows."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    (file,) = folder.iterdir()  # one session
    found = EventAccumulator(str(file))
    found.Reload()
    scalars = {
        tag.removeprefix("ray/tune/"): [(e.step, e.value) for e in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }
    content = found.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    said = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    return scalars, {k: v.string_value or v.number_value for k, v in said.items()}


def test_tensorboard(finished):
    pytest.importorskip("tensorboard")
    runner.resume(finished, log=["tensorboard"])
    folders = sorted(p for p in (finished / "tensorboard").iterdir() if p.is_dir())
    assert [p.name for p in folders][1] == "sigma_w=1.1 sigma_b=0.25 depth=11 seed=1" and len(folders) == 4
    scalars, said = events_of(folders[1])
    expected = measured(1)
    assert scalars["margin"] == [(3, pytest.approx(expected["margin"]))] and scalars["accuracy"] == [(3, 0.5)]
    assert scalars["epoch/lr_0.1/accuracy"] == [(e, pytest.approx(0.3 + (e - 1) / 10 + 0.01)) for e in (1, 2, 3)]
    assert scalars["epoch/lr_0.01/loss"] == [(e, pytest.approx(1 - (e - 1) / 10)) for e in (1, 2, 3)]
    assert "xi_c" not in scalars  # infinite
    assert said == {"sigma_w": 1.1, "sigma_b": 0.25, "depth": 11, "seed": 1, "status": "ok"}
    failed = events_of(folders[3])[1]
    assert failed["status"] == "failed" and "no & luck" in failed["error"]

    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*events*")}
    runner.resume(finished, log=["tensorboard"])  # nothing twice
    assert {p: p.stat().st_mtime_ns for p in finished.rglob("*events*")} == before and len(before) == 4


def test_mlflow(finished):
    pytest.importorskip("mlflow")
    runner.resume(finished, log=["mlflow"])
    name = "sigma_w=1 sigma_b=0.25 depth=10 seed=0"
    first = {r["name"]: r for r in runs_of(finished)}
    assert len(first) == 4
    assert first[name]["params"] == {"sigma_w": "1.0", "sigma_b": "0.25", "depth": "10", "seed": "0", "status": "ok"}
    assert first[name]["metrics"]["margin"] == pytest.approx(measured(0)["margin"])
    assert first[name]["history"] == [[e, pytest.approx(0.3 + (e - 1) / 10)] for e in (1, 2, 3)]
    assert sorted(r["status"] for r in first.values()) == ["FAILED", "FINISHED", "FINISHED", "FINISHED"]

    # What failed was measured after all.
    Store(finished, SPEC.digest).write([measured(3)])
    runner.resume(finished, log=["mlflow"])
    second = {r["name"]: r for r in runs_of(finished)}
    assert len({r["id"] for r in first.values()} & {r["id"] for r in second.values()}) == 3 and len(second) == 4
    assert {r["status"] for r in second.values()} == {"FINISHED"}
    assert second[name]["history"] == first[name]["history"]


def runs_of(path):
    """What a client of MLflow finds, in a process without our warnings as errors."""
    code = """
import json, mlflow, sys
client = mlflow.MlflowClient(sys.argv[1])
runs = client.search_runs([client.get_experiment_by_name("first").experiment_id])
history = lambda r: [(m.step, m.value) for m in client.get_metric_history(r.info.run_id, "epoch/lr_0.1/accuracy")]
print(json.dumps([{"id": r.info.run_id, "name": r.info.run_name, "status": r.info.status, "params": r.data.params,
    "metrics": r.data.metrics, "history": history(r)} for r in runs]))
"""
    uri = f"sqlite:///{path}/mlflow/mlflow.db"
    out = subprocess.run([sys.executable, "-c", code, uri], capture_output=True, text=True, check=True, cwd=path)
    return json.loads(out.stdout)


def test_wandb_offline(finished):
    pytest.importorskip("wandb")
    runner.resume(finished, log=["wandb"])
    runner.resume(finished, log=["wandb"])
    assert (finished / "wandb" / "latest-run").is_symlink()  # of W&B's own, and no reason to refuse the second
    found = [wandb_run(p) for p in sorted((finished / "wandb").glob("offline-run-*/*.wandb"))]
    assert len(found) == len({r["id"] for r in found}) == 4
    run = next(r for r in found if r["config"]["seed"] == 1)
    assert (run["project"], run["group"]) == ("trainability-sweep", "first")
    assert run["name"] == "sigma_w=1.1 sigma_b=0.25 depth=11 seed=1"
    assert run["config"]["sigma_w"] == 1.1 and run["config"]["status"] == "ok"
    assert run["history"][-1]["margin"] == pytest.approx(measured(1)["margin"]) and len(run["history"]) == 7
    assert sorted(r["exit"] for r in found) == [0, 0, 0, 1]


def wandb_run(path):
    """What is in a file of W&B: protobuf records in LevelDB's log format."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, whole = path.read_bytes(), 7, b""
    found = {"history": [], "config": {}}
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        whole, at = whole + data[at + 7 : at + 7 + length], at + 7 + length
        if kind not in (1, 4):  # whole, or the last of several
            continue
        record, whole = Record.FromString(whole), b""
        if record.HasField("run"):
            r = record.run
            found |= {"id": r.run_id, "name": r.display_name, "project": r.project, "group": r.run_group}
        for u in [*record.run.config.update, *record.config.update]:
            found["config"][u.key or u.nested_key[0]] = json.loads(u.value_json)
        if record.HasField("history"):
            items = record.history.item
            found["history"].append({"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items})
        if record.HasField("exit"):
            found["exit"] = record.exit.exit_code
    return found


def test_a_package_that_is_missing_is_said_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    out = CliRunner().invoke(main, ["run", "--out", str(tmp_path / "x"), "--log", "mlflow"])
    assert out.exit_code == 2 and not (tmp_path / "x").exists()
    assert out.stderr.splitlines()[-1].endswith(
        "Invalid value for '--log': 'mlflow' needs a package that is not installed: pip install '.[mlflow]'"
    )
    with pytest.raises(SpecError, match="`log` must be of tensorboard, mlflow, wandb, got 'excel'"):
        runner.run(SPEC, tmp_path / "x", log=["excel"])


@pytest.mark.parametrize(
    ("tracker", "environment"),
    [
        ("mlflow", {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}),  # nobody listens
        ("wandb", {"WANDB_MODE": "online", "HOME": "/nowhere", "NETRC": "/nowhere"}),  # no key
        ("tensorboard", None),  # no folder
    ],
)
def test_a_tracker_that_fails_is_a_warning(finished, monkeypatch, caplog, tracker, environment):
    pytest.importorskip({"tensorboard": "tensorboardX"}.get(tracker, tracker))
    for name, value in (environment or {}).items():
        monkeypatch.setenv(name, value)
    if environment is None:
        (finished / tracker).write_text("in the way")
    started = time.monotonic()
    assert len(runner.resume(finished, log=[tracker]).points) == 4
    assert time.monotonic() - started < 60
    first, *more = [m for m in caplog.messages if not m.startswith("waiting for ")]
    assert f"{tracker} does not log: " in first and "the sweep goes on without it" in first
    assert more == [f"{tracker} has not logged 4 points; what does: sweep resume DIR --log {tracker}"]


def test_a_tracker_that_dies_or_hangs_holds_nothing_up(finished, monkeypatch, caplog):
    monkeypatch.setattr(process_module, "_PATIENCE", 1.0)
    monkeypatch.setattr(process_module, "_MOST_WAITING", 100)
    for code in ("import os; os.kill(os.getpid(), 9)", "import time; time.sleep(1000)"):
        monkeypatch.setattr(process_module, "_COMMAND", (sys.executable, "-c", code))
        caplog.clear()
        started = time.monotonic()
        with Trackers(["tensorboard"], finished, "first", (0.1,)) as t:
            t.stored(measured(i) for i in range(150))
            assert time.monotonic() - started < 2
        assert time.monotonic() - started < 10
        assert "has not logged 150 points" in caplog.text


SLOW = """
import sys, time
sys.stdin.readline()
for line in sys.stdin:
    time.sleep(0.2)
    print('{"logged": 1}', flush=True)
"""


@pytest.mark.parametrize("code", ["import time; time.sleep(1000)", SLOW])
def test_after_an_interruption_little_is_waited_for(finished, monkeypatch, caplog, code):
    monkeypatch.setattr(process_module, "_COMMAND", (sys.executable, "-c", code))
    monkeypatch.setattr(process_module, "LITTLE", 0.5)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Trackers(["tensorboard"], finished, "first", (0.1,)) as t:
        t.stored(map(measured, range(150)))
        raise KeyboardInterrupt
    assert time.monotonic() - started < 10
    assert "tensorboard has not logged" in caplog.text


def test_what_is_waited_for_is_said_and_may_be_interrupted(finished, monkeypatch, caplog):
    monkeypatch.setattr(process_module, "_COMMAND", (sys.executable, "-c", SLOW))
    monkeypatch.setattr(process_module, "LITTLE", 0.5)
    monkeypatch.setattr(process_module, "_SILENT", 0.3)
    wait = time.sleep

    def interrupted(seconds):
        wait(seconds)
        if "waiting for" in caplog.text:
            monkeypatch.setattr(time, "sleep", wait)
            raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Trackers(["tensorboard"], finished, "first", (0.1,)) as t:
        t.stored(map(measured, range(150)))
        monkeypatch.setattr(time, "sleep", interrupted)
    assert time.monotonic() - started < 10
    said, missing = caplog.messages
    assert re.fullmatch(
        r"waiting for tensorboard: \d+ points; Ctrl-C leaves them for: sweep resume DIR --log tensorboard", said
    )
    assert missing.startswith("tensorboard has not logged 1")
    (process,) = [tracker._process for tracker in t._all]
    assert process.returncode is not None


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
    begun = []
    run = SimpleNamespace(log=lambda values: None, config={}, finish=lambda exit_code: None)
    fake = SimpleNamespace(Settings=dict, init=lambda **how: begun.append(how) or run)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    point = {"sigma_w": 1.5, "sigma_b": 0.1, "depth": 5, "seed": 7}
    for _ in range(2):  # the second: after the first process was killed
        logger = _Logger(_Wandb(tmp_path, "first", ledger), tmp_path, ledger, several=False)
        logger.take({"point": point, "epochs": [[0.1, 1, 0.5, 2.0]]})
    first, second = begun
    assert first["name"] == second["name"] and first["id"] != second["id"]
    assert {how["resume"] for how in begun} == {"never"}


@pytest.mark.parametrize("secret", ["me:secret", "secret", "me:sec@ret"])
def test_no_password_is_said(secret):
    long = "x" * 285
    said = _reason(OSError(f"{long} http://{secret}@host/a failed, see http://host/b, a@b"))
    assert "sec" not in said and "ret" not in said and said.startswith(f"OSError: {long} http://***@ho")
    assert _reason(OSError("http://host/b, a@b")) == "OSError: http://host/b, a@b"


def test_a_relative_place_is_one_of_the_working_directory(finished, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mine.db")
    runner.resume(finished, log=["mlflow"])
    assert len(logged(finished, "mlflow")) == 4
    assert (tmp_path / "mine.db").stat().st_size and [p.name for p in (finished / "mlflow").iterdir()] == ["logged"]


@pytest.fixture
def ledger(tmp_path):
    with Ledger.held(tmp_path) as held:
        yield held


class Recorded:
    """A callback that remembers."""

    def __init__(self):
        self.said = []

    def log_trial_start(self, trial):
        self.said.append(("start", str(trial)))

    def log_trial_result(self, iteration, trial, result):
        self.said.append((iteration, result))

    def log_trial_end(self, trial, failed):
        self.said.append(("end", failed))


def test_live_epochs_come_once_and_in_order(tmp_path, ledger):
    callback = Recorded()
    logger = _Logger(callback, tmp_path, ledger, several=False)
    point = {"sigma_w": 1.5, "sigma_b": 0.1, "depth": 5, "seed": 7}
    rest = [[0.1, 3, 0.7, float("nan")]]
    for epochs in ([[0.1, 1, 0.5, 2.0]], [[0.1, 1, 0.5, 2.0], [0.1, 2, 0.6, 1.0]]):  # the second: after a fault
        logger.take({"point": point, "epochs": epochs})
    end = {"row": {**point, "status": "ok", "margin": 1.0, "error": ""}, "epochs": [*epochs, *rest]}
    logger.take(end)
    logger.take(end)
    steps = [s for s in callback.said if isinstance(s[0], int)]
    assert [s[0] for s in steps] == [1, 2, 3, 3] and steps[1][1]["epoch"] == {"accuracy": 0.6, "loss": 1.0}
    assert steps[2][1]["epoch"] == {"accuracy": 0.7} and steps[3][1]["margin"] == 1.0
    assert [s for s in callback.said if not isinstance(s[0], int)] == [
        ("start", "sigma_w=1.5 sigma_b=0.1 depth=5 seed=7"),
        ("end", False),
    ]


def test_a_point_that_could_not_be_logged_is_no_point_logged(tmp_path, ledger):
    callback = Recorded()
    logger = _Logger(callback, tmp_path, ledger, several=False)
    callback.log_trial_end = lambda trial, failed: 1 / 0
    event = {"row": {"sigma_w": 1.5, "sigma_b": 0.1, "depth": 5, "seed": 7, "status": "ok"}, "epochs": []}
    with pytest.raises(ZeroDivisionError) as error:
        logger.take(event)
    assert _reason(error.value) == "ZeroDivisionError: division by zero"
    assert event["row"] not in ledger and event["row"] not in Ledger(tmp_path)
    del callback.log_trial_end
    logger.take(event)
    assert event["row"] in ledger and event["row"] in Ledger(tmp_path)
    assert {**event["row"], "status": "failed"} not in ledger  # and the other way round


def test_trackers_hear_of_networks_in_training():
    points, said = [Point(1.23456789, 0.1, 5, 7), Point(1.3, 0.2, 6, 8)], []
    networks = {network_name(points[1], 0.1): {"epoch": 4, "accuracy": 0.5, "loss": 2.0}}
    live = LiveEpochs(SimpleNamespace(rates=(0.01, 0.1), trains=lambda *found: said.append(found)))
    trial = SimpleNamespace(config={"points": [astuple(p) for p in points]})
    live.on_trial_result(1, [], trial, {"networks": networks})
    live.on_trial_result(2, [], trial, {"rows": []})
    assert said == [(points[1], [(0.1, 4, 0.5, 2.0)])]


def test_an_old_process_is_waited_for(tmp_path):
    code = (
        "import sys; from pathlib import Path; from sweep.trackers.ledger import Ledger; print('there', flush=True)\n"
    )
    code += "with Ledger.held(Path(sys.argv[1])) as ledger: print(len(ledger._known))"
    with Ledger.held(tmp_path) as held:
        other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert other.stdout.readline() == "there\n"
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(1.5)
        held.add(measured(0))
    assert other.communicate(timeout=20)[0] == "1\n"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("log = 'mlflow'", ("mlflow",)),
        ("log = ['mlflow', 'wandb']", ("mlflow", "wandb")),
        ("log = [['mlflow']]", "must be one value"),
        ("log = 'excel'", "'excel' is not one of"),
    ],
)
def test_trackers_in_a_configuration_file(tmp_path, line, found):
    (tmp_path / "c.toml").write_text(line)
    with click.Context(main) as parent:
        made = partial(main.commands["run"].make_context, "run", ["--config", str(tmp_path / "c.toml")], parent=parent)
        if isinstance(found, tuple):
            assert made().params["log"] == found
        else:
            with pytest.raises(click.BadParameter, match=found):
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


def test_a_sweep_that_trains_is_logged_as_it_goes(tmp_path):
    path = tmp_path / "live"
    base = ["--probe", "direct", "--images", "200", "--depth", "3", "6", "--train", "all", "--epochs", "3"]
    base += ["--train-images", "200", "--search", "sobol", "--points", "4", "--log", "tensorboard", "--log", "mlflow"]
    done = subprocess.run([sys.executable, "-m", "sweep", "run", "--out", path, *base], capture_output=True, text=True)
    assert done.returncode == 0 and "does not log" not in done.stderr, done.stderr
    done = subprocess.run(
        [sys.executable, "-m", "sweep", "resume", path, "--points", "6", "--log", "tensorboard"], capture_output=True
    )
    assert done.returncode == 0
    assert len(logged(path, "tensorboard")) == len(load(path).points) == 6 and len(logged(path, "mlflow")) == 4
    truth = load(path).truth
    for folder in (p for p in (path / "tensorboard").iterdir() if p.is_dir()):
        seed = int(re.search(r"seed=(\d+)", folder.name).group(1))
        scalars, _ = events_of(folder)
        expected = truth[truth["seed"] == seed]
        assert scalars["epoch/accuracy"] == [
            (e, pytest.approx(a)) for e, a in zip(expected["epoch"], expected["accuracy"], strict=True)
        ]
