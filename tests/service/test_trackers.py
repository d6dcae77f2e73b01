"""Trackers: real ones, and processes that fail, hang or are slow."""

import json
import re
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from sweep.cli.main import main
from sweep.execution import runner
from sweep.results.loading import load
from sweep.storage.store import Store
from sweep.trackers import process as process_module
from sweep.trackers.ledger import Ledger
from sweep.trackers.trackers import Trackers
from sweep.trackers.wandb_log import records
from tests.helpers.tracked import SPEC, finished, measured, nobody_elses_servers  # noqa: F401
from tests.helpers.wandb_server import wandb_server

# ruff: noqa: F811


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """What is tested is not how soon a busy machine has started a tracker."""
    monkeypatch.setattr(process_module, "_PROGRESS_TIMEOUT_S", 300.0)


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


@pytest.fixture
def among_strangers(tmp_path, monkeypatch):
    """A working directory with code, programs and settings that nobody may run or obey."""
    folder, ran = tmp_path / "stranger", tmp_path / "ran"
    for name in (
        "sweep",
        "probes",
        "torch",
        "json",
        "numpy",
        "wandb",
        "mlflow",
        "tensorboardX",
        "git",
        "sitecustomize",
    ):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"open({str(ran)!r}, 'a').write({name!r})")
    (folder / "wandb" / "settings").write_text("[default]\nproject = stranger\nbase_url = http://stranger\n")
    program = f"#!/bin/sh\necho $0 >> {ran}\n"
    for name in ("monitor", "conda", "nvidia-smi", "uname"):
        (folder / name).write_text(program)
        (folder / name).chmod(0o755)
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    for key in ("core.fsmonitor", "core.pager", "core.sshCommand"):
        subprocess.run(["git", "-C", str(folder), "config", key, str(folder / "monitor")], check=True)
    monkeypatch.chdir(folder)
    yield
    assert not ran.exists(), ran.read_text()


@pytest.mark.usefixtures("among_strangers")
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


@pytest.mark.usefixtures("among_strangers")
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


IN_AN_AGENT = {
    "WANDB_SWEEP_ID": "agent",
    "WANDB_RUN_ID": "agent",
    "WANDB_RUN_GROUP": "agent",
    "WANDB_NAME": "agent",
    "WANDB_RESUME": "must",
    "WANDB_DIR": "/nowhere",
    "WANDB_SWEEP_PARAM_PATH": "/nowhere/agent.yaml",
    "WANDB_CONFIG_PATHS": "/nowhere/agent.yaml",
    "WANDB_SERVICE": "3-1-unix-/nowhere/agent",
}
IN_SAGEMAKER = {"SM_TRAINING_ENV": '{"seed": 99}', "TRAINING_JOB_NAME": "job"}


@pytest.mark.parametrize("variables", [{}, IN_AN_AGENT, IN_SAGEMAKER], ids=["alone", "agent", "sagemaker"])
@pytest.mark.usefixtures("among_strangers")
def test_wandb_offline(finished, monkeypatch, variables):
    pytest.importorskip("wandb")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    runner.resume(finished, log=["wandb"])
    runner.resume(finished, log=["wandb"])
    assert (finished / "wandb" / "latest-run").is_symlink()  # of W&B's own, and no reason to refuse the second
    found = [wandb_run(p) for p in sorted((finished / "wandb").glob("offline-run-*/*.wandb"))]
    assert len(found) == len({r["id"] for r in found}) == len({r["name"] for r in found}) == 4
    run = next(r for r in found if r["config"]["seed"] == 1)
    assert (run["project"], run["group"]) == ("trainability-sweep", "first")
    assert run["name"] == "sigma_w=1.1 sigma_b=0.25 depth=11 seed=1"
    assert run["config"]["sigma_w"] == 1.1 and run["config"]["status"] == "ok"
    assert run["history"][-1]["margin"] == pytest.approx(measured(1)["margin"]) and len(run["history"]) == 7
    assert sorted(r["exit"] for r in found) == [0, 0, 0, 1] and len(logged(finished, "wandb")) == 4


@pytest.mark.parametrize("status", [200, 404])  # 404: the project was deleted, say, or the quota is used up
def test_wandb_online(finished, tmp_path, monkeypatch, caplog, status):
    pytest.importorskip("wandb")
    account = {"HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc"), "WANDB_API_KEY": 40 * "a"}
    for name, value in {**IN_AN_AGENT, **account, "WANDB_MODE": "online"}.items():
        monkeypatch.setenv(name, value)
    with wandb_server(status) as (url, ended):
        monkeypatch.setenv("WANDB_BASE_URL", url)
        runner.resume(finished, log=["wandb"])
    if status == 200:
        assert len(logged(finished, "wandb")) == len(ended) == len({run[0] for run in ended}) == 4
        assert ("sigma_w=1.1 sigma_b=0.25 depth=11 seed=1", "first") in [run[1:] for run in ended]
    else:
        assert not logged(finished, "wandb") and not ended
        assert "wandb does not log: W&B has not uploaded the run: filestream: fatal error" in caplog.text


def test_wandb_on_a_full_disk(finished, monkeypatch, caplog):
    """Files cannot grow beyond what a point without epochs needs."""
    pytest.importorskip("wandb")
    monkeypatch.setattr(process_module, "_COMMAND", (sys.executable, "-P", "-c", SMALL_FILES))
    runner.resume(finished, log=["wandb"])
    runs = [wandb_run(p) for p in (finished / "wandb").glob("offline-run-*/*.wandb")]
    whole = {run["config"]["seed"] for run in runs if "exit" in run}
    assert {int(line.split()[3]) for line in logged(finished, "wandb")} <= whole
    assert len(whole) < 4 and "wandb does not log: " in caplog.text and "wandb has not logged " in caplog.text


SMALL_FILES = """
import resource
from sweep.trackers.runs import main
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
main()
"""


def wandb_run(path):
    """What is in a file of W&B."""
    found = {"history": [], "config": {}}
    for record in records(path):
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


@pytest.mark.parametrize(
    ("tracker", "environment", "reason"),
    [
        ("mlflow", {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}, ""),  # nobody listens
        ("wandb", {"WANDB_MODE": "online", "HOME": "/nowhere", "NETRC": "/nowhere"}, ""),  # no key
        ("wandb", {"WANDB_MODE": "disabled"}, "WANDB_MODE=disabled; "),
        ("tensorboard", None, ""),  # no folder
    ],
)
def test_a_tracker_that_fails_is_a_warning(finished, monkeypatch, caplog, tracker, environment, reason):
    pytest.importorskip({"tensorboard": "tensorboardX"}.get(tracker, tracker))
    for name, value in (environment or {}).items():
        monkeypatch.setenv(name, value)
    if environment is None:
        (finished / tracker).write_text("in the way")
    started = time.monotonic()
    assert len(runner.resume(finished, log=[tracker]).points) == 4
    assert time.monotonic() - started < 60
    first, *more = [m for m in caplog.messages if not m.startswith("waiting for ")]
    assert f"{tracker} does not log: {reason}" in first and "the sweep goes on without it" in first
    assert more == [f"{tracker} has not logged 4 points; to log them: sweep resume DIR --log {tracker}"]
    assert environment is None or not logged(finished, tracker)


def test_a_tracker_that_dies_or_hangs_holds_nothing_up(finished, monkeypatch, caplog):
    monkeypatch.setattr(process_module, "_PROGRESS_TIMEOUT_S", 1.0)
    monkeypatch.setattr(process_module, "_MAX_QUEUED_EVENTS", 100)
    for code in ("import os; os.kill(os.getpid(), 9)", "import time; time.sleep(1000)"):
        monkeypatch.setattr(process_module, "_COMMAND", (sys.executable, "-c", code))
        caplog.clear()
        started = time.monotonic()
        with Trackers(["tensorboard"], finished, "first", (0.1,)) as t:
            t.log_rows(measured(i) for i in range(150))
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
    monkeypatch.setattr(process_module, "SHORT_TIMEOUT_S", 0.5)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Trackers(["tensorboard"], finished, "first", (0.1,)) as t:
        t.log_rows(map(measured, range(150)))
        raise KeyboardInterrupt
    assert time.monotonic() - started < 10
    assert "tensorboard has not logged" in caplog.text


def test_what_is_waited_for_is_said_and_may_be_interrupted(finished, monkeypatch, caplog):
    monkeypatch.setattr(process_module, "_COMMAND", (sys.executable, "-c", SLOW))
    monkeypatch.setattr(process_module, "SHORT_TIMEOUT_S", 0.5)
    monkeypatch.setattr(process_module, "_SILENT_WAIT_S", 0.3)
    wait = time.sleep

    def interrupted(seconds):
        wait(seconds)
        if "waiting for" in caplog.text:
            monkeypatch.setattr(time, "sleep", wait)
            raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Trackers(["tensorboard"], finished, "first", (0.1,)) as t:
        t.log_rows(map(measured, range(150)))
        monkeypatch.setattr(time, "sleep", interrupted)
    assert time.monotonic() - started < 10
    said, missing = caplog.messages
    assert re.fullmatch(
        r"waiting for tensorboard to log \d+ points; after Ctrl-C, log the rest by: sweep resume DIR --log tensorboard",
        said,
    )
    assert missing.startswith("tensorboard has not logged 1")
    (process,) = [tracker._process for tracker in t._all]
    assert process.returncode is not None


def test_a_relative_place_is_one_of_the_working_directory(finished, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mine.db")
    runner.resume(finished, log=["mlflow"])
    assert len(logged(finished, "mlflow")) == 4
    assert (tmp_path / "mine.db").stat().st_size and [p.name for p in (finished / "mlflow").iterdir()] == ["logged"]


def test_an_old_process_is_waited_for(tmp_path):
    code = (
        "import sys; from pathlib import Path; from sweep.trackers.ledger import Ledger; print('there', flush=True)\n"
    )
    code += "with Ledger.held(Path(sys.argv[1])) as ledger: print(len(ledger))"
    with Ledger.held(tmp_path) as held:
        other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert other.stdout.readline() == "there\n"
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(1.5)
        held.add(measured(0))
    assert other.communicate(timeout=20)[0] == "1\n"


def test_a_sweep_that_trains_is_logged_as_it_goes(tmp_path, without_ray):
    path = tmp_path / "live"
    base = ["--probe", "direct", "--images", "200", "--depth", "3", "6", "--train", "all", "--epochs", "3"]
    base += ["--train-images", "200", "--search", "sobol", "--points", "4", "--log", "tensorboard", "--log", "mlflow"]
    done = CliRunner().invoke(main, ["run", "--out", str(path), *base])
    assert done.exit_code == 0 and "does not log" not in done.stderr, done.output
    done = CliRunner().invoke(main, ["resume", str(path), "--points", "6", "--log", "tensorboard"])
    assert done.exit_code == 0, done.output
    assert len(logged(path, "tensorboard")) == len(load(path).points) == 6 and len(logged(path, "mlflow")) == 4
    truth = load(path).truth
    for folder in (p for p in (path / "tensorboard").iterdir() if p.is_dir()):
        seed = int(re.search(r"seed=(\d+)", folder.name).group(1))
        scalars, _ = events_of(folder)
        expected = truth[truth["seed"] == seed]
        assert scalars["epoch/accuracy"] == [
            (e, pytest.approx(a)) for e, a in zip(expected["epoch"], expected["accuracy"], strict=True)
        ]
