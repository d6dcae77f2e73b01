"""`--study`: the study on a server that others look at, whose faults cost nothing and whose password nobody sees."""

import json
import pickle
import shutil
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
from click.testing import CliRunner
from optuna.storages import JournalStorage

import sweep
from sweep.cli.main import main
from sweep.errors import SpecError
from sweep.execution import driver
from sweep.search import planner
from sweep.search.journal import JOURNAL, STUDY_NAME
from sweep.search.planner import Planner
from sweep.search.study import SweepStudy
from sweep.spec.spec import SweepSpec
from tests.helpers.servers import KINDS, PASSWORD, free_port
from tests.unit.search.test_study import drain, places, rows_of

SPEC = {"points": 27, "search": "sobol", "study": "env:STUDY"}
# What somebody else would do who wants to look at it.
LOOK = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalRedisBackend
url = os.environ["STUDY"]
storage = JournalStorage(JournalRedisBackend(url)) if url.startswith("redis") else url
found = {}
for name in optuna.get_all_study_names(storage):
    found[name] = [t.state.name for t in optuna.load_study(study_name=name, storage=storage).get_trials()]
print(json.dumps(found))
"""


@pytest.fixture(params=KINDS)
def server(request, monkeypatch):
    server = KINDS[request.param]()
    server.kind = request.param
    try:
        server.start()
        monkeypatch.setenv("STUDY", server.url)
        yield server
    finally:
        server.close()


redis_alone = pytest.mark.parametrize("server", ["redis"], indirect=True)


def drain_after(study, rows):
    study.tell(rows)
    return drain(study)


def look():
    """Name -> states of trials of every study on the server, as another process sees them."""
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_others_see_the_trials_of_a_sweep_that_runs(server, tmp_path):
    study = SweepStudy(SweepSpec(**SPEC), tmp_path)
    first, _ = study.ask(4), study.ask(4)
    study.tell(rows_of(first))
    ((name, states),) = look().items()
    assert name.startswith(f"sweep {tmp_path} ")
    assert (states.count("COMPLETE"), states.count("RUNNING")) == (4, 4)
    assert not (tmp_path / JOURNAL).exists()


def test_two_sweeps_on_one_server_do_not_mix(server, tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    one, other = (SweepStudy(SweepSpec(**SPEC, seed=i), tmp_path / "ab"[i]) for i in (0, 1))
    rows, others, more = [], [], True
    while more:
        mine, theirs = one.ask(4), other.ask(3)
        more = mine or theirs
        for study, points, kept in ((one, mine, rows), (other, theirs, others)):
            new = rows_of(points)
            study.tell(new)
            kept += new
    assert len(places(rows)) == len(places(others)) == 27 and not places(rows) & places(others)
    assert sorted(map(len, look().values())) == [27, 27]
    shutil.rmtree(tmp_path / "a")
    (tmp_path / "a").mkdir()
    again = SweepStudy(SweepSpec(**SPEC, depth=(70, 90)), tmp_path / "a")
    assert all(p.depth >= 70 for p in again.ask(27)) and again.budget == again.asked == 27


def test_a_stopped_sweep_goes_on_with_its_study(server, tmp_path):
    spec = SweepSpec(**SPEC)
    study = SweepStudy(spec, tmp_path)
    rows = rows_of(study.ask(4))
    study.tell(rows)
    lost = study.ask(4)
    again = SweepStudy(spec, tmp_path, rows)
    assert again.ask(4) == lost
    rows += rows_of(lost) + drain_after(again, rows_of(lost))
    assert len(places(rows)) == len(rows) == 27
    ((_, states),) = look().items()
    assert states == ["COMPLETE"] * 27


@pytest.mark.parametrize(
    ("server", "search"),
    [*((kind, "boundary") for kind in KINDS), *(("sqlite", search) for search in ("tpe", "grid", "sobol"))],
    indirect=["server"],
)
def test_a_server_that_goes_away_costs_nothing(server, tmp_path, search, caplog):
    """The sweep goes on without it; the next time the server is told all."""
    spec = SweepSpec(**SPEC | {"search": search, "replicas": 2})
    study = SweepStudy(spec, tmp_path)
    rows = rows_of(study.ask(8))
    study.tell(rows)
    under_way, late = study.ask(8), study.ask(8)
    server.kill()
    for points in (late, under_way):
        study.tell(rows_of(points))
        rows += rows_of(points)
    rows += drain(study)
    (record,) = caplog.records
    assert "env:STUDY cannot be used any more" in record.getMessage() and PASSWORD not in caplog.text
    assert len({(r["sigma_w"], r["sigma_b"], r["depth"], r["seed"]) for r in rows}) == len(rows) == 54
    assert len(places(rows)) == 27 and (tmp_path / JOURNAL).exists()
    if server.kind == "sqlite":
        return
    with pytest.raises(SpecError, match="`study` 'env:STUDY' cannot be used: [A-Za-z]+Error$"):
        SweepStudy(spec, tmp_path, rows)
    server.start()
    assert SweepStudy(spec, tmp_path, rows).ask(4) == []
    ((_, states),) = look().items()
    assert states.count("COMPLETE") >= 27 and "RUNNING" not in states


@pytest.mark.parametrize("server", ["sqlite"], indirect=True)
@pytest.mark.parametrize("search", ["grid", "sobol"])
def test_a_design_is_not_changed_by_a_server_that_goes_away(server, tmp_path, search):
    """Not a cell of the grid is left out."""
    for name in "ab":
        (tmp_path / name).mkdir()
    undisturbed = drain(SweepStudy(SweepSpec(**SPEC | {"search": search, "study": None}), tmp_path / "a"))
    study = SweepStudy(SweepSpec(**SPEC | {"search": search}), tmp_path / "b")
    first = rows_of(study.ask(5))
    server.kill()
    rows = first + drain_after(study, first)
    assert {tuple(r.items()) for r in rows} == {tuple(r.items()) for r in undisturbed}


@redis_alone
def test_a_journal_that_has_lost_lines_is_not_waited_for(server, tmp_path):
    """Redis drops keys when it has no memory left."""
    study = SweepStudy(SweepSpec(**SPEC), tmp_path)
    first = study.ask(4)
    server.connection.incrby(":log_number", 5)
    worker = threading.Thread(target=lambda: drain_after(study, rows_of(first)), daemon=True)
    worker.start()
    worker.join(60)
    assert not worker.is_alive() and study.asked == 27 and (tmp_path / JOURNAL).exists()
    with pytest.raises(SpecError, match="LookupError"):
        SweepStudy(SweepSpec(**SPEC), tmp_path)


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@redis_alone
def test_pickles_of_a_server_are_not_opened(server, tmp_path):
    """Optuna's own journal keeps snapshots that are pickles; whoever may write to the server could plant one."""
    from optuna.storages.journal import JournalRedisBackend

    sprung = tmp_path / "sprung"
    server.connection.set(":snapshot", pickle.dumps(Trap(sprung)))
    drain(
        SweepStudy(SweepSpec(**SPEC | {"points": 150}), tmp_path), pack=16
    )  # Optuna would write a snapshot of its own after 100 trials
    SweepStudy(SweepSpec(**SPEC | {"points": 160}), tmp_path)
    assert not sprung.exists() and server.connection.get(":snapshot") == pickle.dumps(Trap(sprung))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        JournalStorage(JournalRedisBackend(server.url))  # the trap works
    assert sprung.exists()


SECRET = (
    f"postgresql://user:{PASSWORD}@127.0.0.1/x",
    f"postgresql://127.0.0.1/x?user=u&password={PASSWORD}",
    f"redis://:{PASSWORD}@127.0.0.1:6379/0",
    f"user:{PASSWORD}@127.0.0.1/x",
    f"env:redis://:{PASSWORD}@127.0.0.1",
    PASSWORD,
)


@pytest.mark.parametrize("url", SECRET)
def test_a_password_is_refused_and_not_repeated(url, tmp_path):
    config = tmp_path / "c.toml"
    config.write_text(f"study = '{url}'")
    for arguments in (["--study", url], ["--config", str(config)]):
        done = CliRunner().invoke(main, ["run", "--out", str(tmp_path / "out"), *arguments])
        assert done.exit_code == 2 and "study" in done.stderr and PASSWORD not in done.output
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "nonsense",
        f"nonsense://user:{PASSWORD}@127.0.0.1/x",
        f"postgresql://user:{PASSWORD}@127.0.0.1:PORT/x",
        f"redis://:{PASSWORD}@127.0.0.1:PORT/0",
        f"redis://:{PASSWORD}@127.0.0.1:port/0",
        "sqlite:////proc/x/y.sqlite",
    ],
)
def test_a_variable_that_names_no_server(value, tmp_path, monkeypatch):
    monkeypatch.delenv("STUDY", raising=False)
    if value is not None:
        monkeypatch.setenv("STUDY", value.replace("PORT", str(free_port())))
    done = CliRunner().invoke(main, ["run", "--out", str(tmp_path / "out"), "--study", "env:STUDY"])
    assert done.exit_code == 2, done.output
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert "'--study'" in line and "env:STUDY" in line and PASSWORD not in done.output
    assert not (tmp_path / "out").exists()


def test_a_spec_from_elsewhere_chooses_no_database(make_sweep, tmp_path, monkeypatch):
    """It could be any that this user may write to."""
    monkeypatch.setattr(driver, "run_trials", lambda *a: None)
    target = tmp_path / "precious.sqlite"
    path = make_sweep(SweepSpec(points=64, study=f"sqlite:///{target}")).path
    with pytest.raises(SpecError, match="`study` must be given again"):
        sweep.resume(path)
    assert not target.exists() and not (path / STUDY_NAME).exists()
    done = CliRunner().invoke(main, ["resume", str(path), "--study", "none", "--quiet"])
    assert done.exit_code == 0, done.output
    assert not target.exists() and (path / JOURNAL).exists() and SweepSpec.read(path / "spec.json").study is None
    assert len(sweep.resume(path, study=f"sqlite:///{target}").points) == 64 and target.exists()


def test_the_end_of_a_sweep_does_not_wait_for_a_server_that_hangs(monkeypatch):
    monkeypatch.setattr(planner, "_LAST_WORDS", 0.3)
    hung = threading.Event()

    class Study:
        def ask(self, count):
            hung.wait(60)
            return []

        def tell(self, rows):
            pytest.fail("it hangs")

    waiting = Planner(Study(), lambda: 1, lambda: 1)
    waiting.tell([{}])
    started = time.monotonic()
    waiting.close()
    assert time.monotonic() - started < 10
    hung.set()


def test_replicas_whose_part_was_lost_are_measured_again_with_or_without_a_study(tmp_path):
    """Those of a place may stand in several parts."""
    spec = SweepSpec(points=3, replicas=3, search="sobol")
    study = SweepStudy(spec, tmp_path)
    points = study.ask(9)
    study.tell(rows_of(points))
    lost = points[4]
    kept = rows_of([p for p in points if p != lost])
    assert SweepStudy(spec, tmp_path, kept).ask(9) == [lost]
    (tmp_path / JOURNAL).unlink()
    (again,) = SweepStudy(spec, tmp_path, kept).ask(9)
    assert (again.sigma_w, again.depth) == (lost.sigma_w, lost.depth)
    assert again not in points or again == lost


@pytest.mark.parametrize("server", ["postgresql"], indirect=True)
def test_a_sweep_goes_on_without_its_server(server, tmp_path):
    """And nobody sees the password: not in the list of processes, a log, a file of the sweep."""
    path, log = tmp_path / "sweep", tmp_path / "driver.log"
    small = "--probe direct --images 200 --width 32 --depth 3 12 --pack 2 --search sobol".split()
    command = [sys.executable, "-m", "sweep", "run", "--out", path, "--points", "120", *small, "--study", "env:STUDY"]
    with log.open("wb") as out:
        driver = subprocess.Popen(command, stdout=out, stderr=out, cwd=tmp_path)
    end = time.monotonic() + 100
    try:
        while len(list(path.glob("parts/*.parquet"))) < 5:
            assert driver.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        titles = subprocess.run(["ps", "-eww", "-o", "args="], capture_output=True, check=True).stdout
        assert b"env:STUDY" in titles and PASSWORD.encode() not in titles
        server.kill()
        assert driver.wait(150) == 0, log.read_text()
    finally:
        driver.kill()
        driver.wait(30)
    said = log.read_text()
    assert said.count("the study env:STUDY cannot be used any more") == 1 and "Traceback" not in said
    points = sweep.load(path).points
    assert len(points) == 120 and set(points.status) == {"ok"}
    server.start()
    resume = [sys.executable, "-m", "sweep", "resume", path, "--points", "124", "--quiet", "--study", "env:STUDY"]
    done = subprocess.run(resume, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0 and not done.stdout, done.stderr
    assert len(sweep.load(path).points) == 124
    ((_, states),) = look().items()
    assert states.count("COMPLETE") >= 124 and "RUNNING" not in states
    assert PASSWORD not in said + done.stderr
    assert [p for p in path.rglob("*") if p.is_file() and PASSWORD.encode() in p.read_bytes()] == []
