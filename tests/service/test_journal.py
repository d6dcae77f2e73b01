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
from optuna.storages import JournalStorage

import sweep
from sweep.errors import SpecError, UnavailableError
from sweep.search.journal import JOURNAL
from sweep.search.study import SweepStudy
from sweep.spec.spec import SweepSpec
from tests.helpers.servers import KINDS, PASSWORD
from tests.helpers.study import drain, places, rows_of

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
    assert all(p.depth >= 70 for p in again.ask(27)) and again.budget == again.places_handed_out == 27


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


@pytest.mark.parametrize("server", ["postgresql", "redis"], indirect=True)
def test_a_server_that_goes_away_costs_nothing(server, tmp_path, caplog):
    """The sweep goes on without it; the next time the server is told all."""
    spec = SweepSpec(**SPEC | {"search": "boundary", "replicas": 2})
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
    with pytest.raises(UnavailableError, match="`study` 'env:STUDY' cannot be used: [A-Za-z]+Error$"):
        SweepStudy(spec, tmp_path, rows)
    server.start()
    assert SweepStudy(spec, tmp_path, rows).ask(4) == []
    ((_, states),) = look().items()
    assert states.count("COMPLETE") >= 27 and "RUNNING" not in states


@redis_alone
def test_a_journal_that_has_lost_lines_is_not_waited_for(server, tmp_path):
    """Redis drops keys when it has no memory left."""
    study = SweepStudy(SweepSpec(**SPEC), tmp_path)
    first = study.ask(4)
    server.connection.incrby(":log_number", 5)
    worker = threading.Thread(target=lambda: drain_after(study, rows_of(first)), daemon=True)
    worker.start()
    worker.join(60)
    assert not worker.is_alive() and study.places_handed_out == 27 and (tmp_path / JOURNAL).exists()
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
