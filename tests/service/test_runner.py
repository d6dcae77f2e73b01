"""Real sweeps through Ray: slow, but these are the promises. All else of a sweep is tested without Ray."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

import sweep
from probes import Point, critical_sigma_w, load_images
from probes.prober import measure
from sweep.errors import SpecError
from sweep.measuring.settings import probe_settings
from tests.helpers import ROOT

KEY = ["sigma_w", "sigma_b", "depth", "seed"]


def command(*arguments):
    return [sys.executable, "-m", "sweep", *map(str, arguments)]


def run(*arguments):
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=600)


def read_parts(path):
    return {p.name: p.read_bytes() for p in (path / "parts").glob("*.parquet")}


def rows_in_parts(path):
    return sum(pq.read_metadata(p).num_rows for p in (path / "parts").glob("*.parquet"))


@pytest.fixture
def start():
    """Return a function that gives the driver of a sweep with at least so many parts; no process outlives the test."""
    drivers = []

    def start(*arguments, path, parts):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        drivers.append(subprocess.Popen(command(*arguments), **quiet, start_new_session=True))
        deadline = time.monotonic() + 300
        while len(list((path / "parts").glob("*.parquet"))) < parts:
            assert drivers[-1].poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        return drivers[-1]

    yield start
    for driver in drivers:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()


def test_the_main_job_is_killed_twice_and_resumed(start, tmp_path):
    """The driver with all of its processes, then the driver alone: nothing lost, nothing twice, nothing changed.

    In the end the critical line is known from measured points alone, and the numbers are those that the probe gives
    in this process.
    """
    path = tmp_path / "killed"
    driver = start("run", "--out", path, "--pack", 2, "--probe-steps", 60, path=path, parts=2)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    before, count = read_parts(path), rows_in_parts(path)
    assert 0 < count < 64
    status = json.loads(run("status", path, "--json").stdout)
    assert (status["done"], status["running"]) == (count, 0)

    driver = start("resume", path, path=path, parts=len(before) + 2)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert before.items() <= read_parts(path).items()
    before, count = read_parts(path), rows_in_parts(path)
    assert count < 64

    done = run("resume", path, "--points", 70)
    assert done.returncode == 0 and "70 points: 70 ok" in done.stdout and "70/70 done" in done.stderr, done.stderr
    assert (path / "phase_diagram.png").stat().st_size > 20_000 and not (path / ".tune").exists()
    assert before.items() <= read_parts(path).items()
    results = sweep.load(path)
    points = results.points
    assert rows_in_parts(path) == len(points) == len(points.drop_duplicates(KEY[:3])) == 70
    assert len(results.profiles) == points["depth"].sum()
    line = results.phase.critical_line()
    assert np.interp(0.2236, line["sigma_b"], line["sigma_w"]) == pytest.approx(critical_sigma_w(0.2236), rel=0.15)

    few = points.nsmallest(3, "depth")
    here = measure(
        [Point(*p) for p in few[KEY].itertuples(index=False)], load_images("digits"), probe_settings(results.spec)
    )
    np.testing.assert_allclose([m.values["margin"] for m in here], few["margin"], atol=1e-5)
    np.testing.assert_allclose(
        [m.values["cascade_relative_entropy"] for m in here], few["cascade_relative_entropy"], rtol=1e-3
    )


def test_interrupted(start, tmp_path):
    """Ctrl-C, then SIGTERM, as from a batch system, then SIGHUP, as from a terminal that is closed."""
    path, count = tmp_path / "interrupted", 0
    small = ["--probe", "direct", "--depth", 20, 60, "--pack", 1, "--points", 2000, "--search", "sobol"]
    run, resume = ["run", "--out", path, *small], ["resume", path]
    for number, arguments in ((signal.SIGINT, run), (signal.SIGTERM, resume), (signal.SIGHUP, resume)):
        driver = start(*arguments, path=path, parts=count + 2)
        with pytest.raises(SpecError, match=f"is being run by process {driver.pid} on"):
            sweep.resume(path)
        driver.send_signal(number)
        asked = time.monotonic()
        assert driver.wait(60) == 130 and time.monotonic() - asked < 30
        points = sweep.load(path).points
        assert count + 2 <= len(points) == rows_in_parts(path) < 2000 and (points["status"] == "ok").all()
        count = len(points)


def test_training_and_an_npz_and_other_places(tmp_path):
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 400)
    images = (random.random((400, 5, 5, 3)) * (1 + labels[:, None, None, None]) * 127).astype(np.uint8)
    file = tmp_path / "$odd name.npz"
    train, test = slice(0, 300), slice(300, 400)
    np.savez(
        file,
        **{"train_images": images[train], "train_labels": labels[train]},
        **{"test_images": images[test], "test_labels": labels[test]},
    )
    (tmp_path / "config.toml").write_text("points = 3\nsearch = 'random'\ndepth = [2, 6]\n")
    path, storage = tmp_path / "sweep", tmp_path / "elsewhere"
    places = ["--out", path, "--config", tmp_path / "config.toml", "--dataset", file, "--storage", f"file://{storage}"]
    small = ["--probe", "direct", "--images", 200, "--points", 4, "--sigma-b", 0, 0]
    done = run("run", *places, *small, "--train", "all", "--epochs", 2, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["done"] == 4
    assert list(storage.glob("parts/*.parquet")) and not list(path.glob("parts/*"))
    results = sweep.load(path)
    assert results.points["accuracy"].between(0, 1).all() and results.points["trainable"].notna().all()
    assert results.truth.groupby(KEY).size().tolist() == [2] * 4
    assert (results.points["depth"] <= 6).all() and (results.points["sigma_b"] == 0).all()


def test_a_worker_that_dies_for_good_becomes_failed_rows(start, tmp_path):
    """Whatever kills a worker twice over is the point's fault; the sweep goes on and says so with exit code 1."""
    path = tmp_path / "failing"
    steps = ["--points", 5, "--pack", 1, "--concurrency", 1, "--depth", 3, 6, "--probe-steps", 2000]
    driver = start("run", "--out", path, *steps, path=path, parts=1)
    while not (sweep.load(path).points["status"] == "failed").any():
        assert driver.poll() is None
        listed = subprocess.run(["pgrep", "-s", str(driver.pid), "-f", "ray::.*train"], capture_output=True, text=True)
        for pid in listed.stdout.split():
            os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.1)
    assert driver.wait(300) == 1
    points = sweep.load(path).points
    failed = points[points["status"] == "failed"]
    assert len(points) == 5 and 1 <= len(failed) <= 2
    assert failed["error"].str.contains("died").all(), failed["error"].tolist()


LAZY = """
def network(sigma_w, sigma_b, depth, shape, classes):
    import networks_of_a_user
    return networks_of_a_user.mlp(sigma_w, sigma_b, depth, shape, classes)
"""


def test_the_code_of_a_users_network_reaches_the_workers(tmp_path):
    (tmp_path / "lazy.py").write_text(LAZY)
    shutil.copy(ROOT / "tests" / "helpers" / "own_networks.py", tmp_path / "networks_of_a_user.py")
    spec = sweep.SweepSpec(network=f"{tmp_path}/lazy.py:network", probe="direct", points=4, depth=(3, 6), images=64)
    results = sweep.run(spec, tmp_path / "sweep")
    assert (results.points["status"] == "ok").all() and results.spec.nested
