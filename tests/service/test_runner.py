"""Real sweeps through Ray: slow, but these are the promises."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import sweep
from probes import critical_sigma_w
from sweep.errors import SpecError, StoreError
from sweep.execution import runner
from sweep.spec.spec import SweepSpec
from sweep.storage.home import Home
from sweep.storage.lock import LOCK_FILE
from sweep.storage.store import Store

SMALL = ["--probe", "direct", "--images", "200", "--depth", "3", "12"]
KEY = ["sigma_w", "sigma_b", "depth", "seed"]


def command(*arguments):
    return [sys.executable, "-m", "sweep", *map(str, arguments)]


def run(*arguments):
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=600)


def rows_in_parts(path):
    return sum(pq.read_metadata(p).num_rows for p in (path / "parts").glob("*.parquet"))


def start(path, *arguments, parts=2):
    """A running sweep with at least ``parts`` parts."""
    driver = subprocess.Popen(
        command("run", "--out", path, *arguments),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while len(list((path / "parts").glob("*.parquet"))) < parts:
        assert driver.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    return driver


def read_parts(path):
    return {p.name: p.read_bytes() for p in (path / "parts").glob("*.parquet")}


def test_the_main_job(tmp_path):
    """64 points on digits; the critical line from measured points alone; the picture; then more points."""
    path = tmp_path / "first"
    done = run("run", "--out", path)
    assert done.returncode == 0, done.stderr
    assert "64 points: 64 ok" in done.stdout and str(path) in done.stdout and "64/64 done" in done.stderr
    assert (path / "phase_diagram.png").stat().st_size > 20_000
    results = sweep.load(path)
    assert len(results.points.drop_duplicates(KEY[:3])) == len(results.points) == rows_in_parts(path) == 64
    assert len(results.profiles) == results.points["depth"].sum()
    line = json.loads(run("status", path, "--json").stdout)["critical_line"]
    found = np.interp(0.2236, [r["sigma_b"] for r in line], [r["sigma_w"] for r in line])
    assert found == pytest.approx(critical_sigma_w(0.2236), rel=0.15)

    more = run("resume", path, "--points", 70, "--json")
    assert more.returncode == 0, more.stderr
    report = json.loads(more.stdout)
    assert (report["total"], report["done"], report["failed"], report["running"]) == (70, 70, 0, 0)
    assert results.points.merge(sweep.load(path).points, on=KEY)["margin_x"].notna().sum() == 64
    assert not (path / ".tune").exists()


@pytest.mark.parametrize("whole_group", [False, True])
def test_kill_and_resume(tmp_path, whole_group):
    """The driver is killed, alone or with all of its processes: nothing lost, nothing twice, nothing changed."""
    path = tmp_path / "killed"
    driver = start(path, "--points", 40, "--pack", 2, "--probe-steps", 100)
    (os.killpg if whole_group else os.kill)(driver.pid, signal.SIGKILL)
    driver.wait()
    before, count = read_parts(path), rows_in_parts(path)
    assert 0 < count < 40
    found = json.loads(run("status", path, "--json").stdout)
    assert (found["done"], found["running"]) == (count, 0)
    done = run("resume", path, "--quiet")
    assert done.returncode == 0, done.stderr
    after = read_parts(path)
    assert before.items() <= after.items()
    assert (
        rows_in_parts(path)
        == len(sweep.load(path).points)
        == len(sweep.load(path).points.drop_duplicates(KEY[:3]))
        == 40
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(tmp_path, number):
    path = tmp_path / "interrupted"
    driver = start(path, "--points", 100, "--pack", 1)
    with pytest.raises(SpecError, match=f"is being run by process {driver.pid} on"):
        sweep.resume(path)
    driver.send_signal(number)
    asked = time.monotonic()
    assert driver.wait(60) == 130
    assert time.monotonic() - asked < 30
    count = rows_in_parts(path)
    done = run("resume", path, "--quiet")
    assert done.returncode == 0 and count < rows_in_parts(path) == 100


def test_the_same_point_gives_the_same_numbers_whatever_the_pack_and_the_workers(tmp_path):
    """Tolerance: float32 rounding (2^-24) of products batched differently, carried through 100 Adam steps."""
    tables = []
    for pack, workers in ((1, 1), (8, 2)):
        path = tmp_path / f"{pack}-{workers}"
        done = run(
            "run",
            "--out",
            path,
            "--search",
            "sobol",
            "--points",
            8,
            "--replicas",
            2,
            "--pack",
            pack,
            "--concurrency",
            workers,
            "--probe-steps",
            100,
        )
        assert done.returncode == 0, done.stderr
        tables.append(sweep.load(path).points)
    one, other = tables
    assert len(one) == 16 and one[KEY].equals(other[KEY])
    np.testing.assert_allclose(one["direct_horizon"], other["direct_horizon"], rtol=1e-5)
    np.testing.assert_allclose(one["margin"], other["margin"], atol=1e-5)
    np.testing.assert_allclose(one["cascade_relative_entropy"], other["cascade_relative_entropy"], rtol=1e-3)


def test_training_and_an_npz_and_other_places(tmp_path):
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 400)
    images = (random.random((400, 5, 5, 3)) * (1 + labels[:, None, None, None]) * 127).astype(np.uint8)
    file = tmp_path / "$odd name.npz"
    np.savez(
        file,
        train_images=images[:300],
        train_labels=labels[:300],
        test_images=images[300:],
        test_labels=labels[300:],
    )
    (tmp_path / "config.toml").write_text("points = 3\nsearch = 'random'\ndepth = [2, 6]\n")
    path, storage = tmp_path / "sweep", tmp_path / "elsewhere"
    done = run(
        "run",
        "--out",
        path,
        "--config",
        tmp_path / "config.toml",
        "--dataset",
        file,
        "--train",
        "all",
        "--epochs",
        2,
        "--points",
        4,
        "--storage",
        f"file://{storage}",
        *SMALL[:4],
        "--sigma-b",
        0,
        0,
        "--json",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["done"] == 4
    assert list(storage.glob("parts/*.parquet")) and not list(path.glob("parts/*"))
    results = sweep.load(path)
    assert results.points["accuracy"].between(0, 1).all() and results.points["trainable"].notna().all()
    assert results.truth.groupby(KEY).size().tolist() == [2] * 4
    assert (results.points["depth"] <= 6).all() and (results.points["sigma_b"] == 0).all()


def test_a_grid(tmp_path):
    path = tmp_path / "grid"
    done = run("run", "--out", path, "--search", "grid", "--points", 30, *SMALL)
    assert done.returncode == 0 and "grid of 3 x 3 x 3 = 27 points" in done.stderr
    points = sweep.load(path).points
    assert len(points) == 27 and points["sigma_w"].nunique() == 3


def test_a_worker_that_dies_for_good_becomes_failed_rows(tmp_path):
    """Whatever kills a worker twice over is the point's fault; the sweep goes on and says so with exit code 1."""
    path = tmp_path / "failing"
    driver = start(path, "--points", 6, "--pack", 1, "--concurrency", 1, "--probe-steps", 2000, parts=1)
    while not (sweep.load(path).points["status"] == "failed").any():
        assert driver.poll() is None
        found = subprocess.run(["pgrep", "-s", str(driver.pid), "-f", "ray::.*train"], capture_output=True, text=True)
        for pid in found.stdout.split():
            os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.1)
    assert driver.wait(300) == 1
    points = sweep.load(path).points
    assert len(points) == 6
    failed = points[points["status"] == "failed"]
    assert 1 <= len(failed) <= 2 and failed["error"].str.contains("died").all(), failed["error"].tolist()
    assert run("resume", path).returncode == 1  # nothing to measure; still says so


def test_results_that_are_away_are_waited_for_and_not_measured_again(make_sweep, monkeypatch, caplog):
    results = make_sweep()
    parts, away = results.path / "parts", results.path / "away"
    parts.rename(away)
    monkeypatch.setattr(runner.time, "sleep", lambda seconds: away.rename(parts))
    assert len(sweep.resume(results.path).points) == len(results.points)
    assert "WAITING FOR THE STORAGE" in caplog.text and "no such folder" in caplog.text
    parts.rename(away)
    monkeypatch.setattr(runner.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(runner, "_STORE_COMES_BACK", 2.0)
    with pytest.raises(SpecError, match="no such folder; where are the results"):
        sweep.resume(results.path)
    assert not parts.exists()


def test_a_storage_that_is_away_is_waited_for(make_sweep, tmp_path, monkeypatch, caplog):
    results = make_sweep()
    storage, away = tmp_path / "mounted", tmp_path / "away"
    storage.mkdir()
    (results.path / "parts").rename(storage / "parts")
    spec = replace(results.spec, storage=str(storage))
    for home in Home(results.path).places(spec):
        home.write_spec(spec)
    storage.rename(away)
    monkeypatch.setattr(runner.time, "sleep", lambda seconds: away.rename(storage))
    assert len(sweep.resume(results.path).points) == 64
    assert caplog.text.count("WAITING FOR THE STORAGE") == 1


def test_a_finished_sweep_resumes_to_nothing_without_ray(make_sweep):
    results = make_sweep()
    done = run("resume", results.path, "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["done"] == 64
    assert not (results.path / ".tune").exists() and (results.path / LOCK_FILE).exists()


def test_many_parts_are_put_together_at_the_end(make_sweep, monkeypatch, caplog):
    results = make_sweep(count=70)

    def fail(store, begin):
        raise StoreError("the storage is on fire")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "put_together", fail)
        sweep.resume(results.path)
    assert len(read_parts(results.path)) == 70 and "on fire" in caplog.text
    again = sweep.resume(results.path)
    assert len(read_parts(results.path)) == 1
    pd.testing.assert_frame_equal(again.points, results.points)
    pd.testing.assert_frame_equal(again.profiles, results.profiles)


def test_what_is_not_ours_is_left_alone(make_sweep, tmp_path):
    results = make_sweep()
    for changes in ({"probe": "cascade"}, {"sigma_w": (1.0, 2.0)}, {"storage": "x"}, {"nonsense": 1}):
        with pytest.raises(SpecError, match="cannot be changed"):
            sweep.resume(results.path, **changes)
    (results.path / "spec.json").unlink()
    before = read_parts(results.path)
    for arguments in (["--out", results.path], ["--out", tmp_path / "new", "--storage", results.path]):
        done = run("run", "--points", 1, *arguments)
        assert done.returncode == 2 and "results of another sweep" in done.stderr, done.stderr
    assert read_parts(results.path) == before


def test_a_sweep_that_ends_short_says_so(make_sweep, monkeypatch, capsys):
    from sweep.cli import main
    from sweep.execution import driver

    results = make_sweep(SweepSpec(points=64), count=60)
    monkeypatch.setattr(driver, "run_trials", lambda *a: None)
    with pytest.raises(SystemExit) as ended:
        main.main(["resume", str(results.path), "--quiet"])
    assert ended.value.code == 1 and "4 points are missing" in capsys.readouterr().err


def test_failed_rows_are_exit_code_1(make_sweep):
    assert run("resume", make_sweep(failed=1).path, "--quiet").returncode == 1


@pytest.mark.parametrize("content", ["", "{", '{"points": -1}'])
def test_a_damaged_spec_is_bad_input(make_sweep, content):
    path: Path = make_sweep().path
    (path / "spec.json").write_text(content)
    done = run("resume", path)
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_a_sweep_stops_when_the_boundary_is_known(tmp_path):
    path = tmp_path / "known"
    done = run("run", "--out", path, "--points", 60, "--until-boundary-error", 0.03, "--probe", "direct", "--pack", 4)
    assert done.returncode == 0 and "not needed" in done.stderr, done.stderr
    first = rows_in_parts(path)
    assert 10 <= first < 60
    found = json.loads(run("status", path, "--json").stdout)
    assert found["done"] == first and found["boundary_error"] < 0.04
    again = run("resume", path)
    assert again.returncode == 0 and rows_in_parts(path) == first  # nothing is measured when it is known
    finer = run("resume", path, "--until-boundary-error", 0.002)
    assert rows_in_parts(path) > first, finer.stderr


def test_the_boundary_of_the_truth_is_searched(tmp_path):
    path = tmp_path / "truth"
    options = ["--probe", "direct", "--points", 32, "--train", "boundary", "--depth", 4, 40, "--sigma-b", 0.1, 0.1]
    done = run("run", "--out", path, *options, "--epochs", 20, "--lr", 0.05)
    assert done.returncode == 0, done.stderr
    points = sweep.load(path).points
    trained = points["trainable"].dropna()
    assert 12 <= len(trained) <= 32 and 0.2 < trained.mean() < 0.9
