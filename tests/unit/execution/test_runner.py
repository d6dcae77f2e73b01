"""Sweeps from their beginning to their end, by the command line and from Python, on a fake Tune."""

import contextlib
import json
import shutil
from dataclasses import dataclass, replace
from unittest import mock

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import sweep
from probes import Point
from sweep.cli.main import main
from sweep.errors import SpecError, StoreError, UnavailableError
from sweep.execution import driver, runner
from sweep.measuring.rehearsal import Rehearsal
from sweep.spec.spec import SweepSpec
from sweep.storage.lock import LOCK_FILE, locked
from sweep.storage.store import Store
from sweep.storage.sweep_files import SweepFiles
from tests.helpers.fake_tune import NODE_DIED, WORKER_DIED

SMALL = ["--probe", "direct", "--images", "200", "--depth", "3", "12"]
KEY = ["sigma_w", "sigma_b", "depth", "seed"]


def command(*arguments, draws=False):
    """Run a command and return its outcome; the picture at its end, which takes longest, is drawn only on demand."""
    with contextlib.nullcontext() if draws else mock.patch("sweep.plots.diagram.save_phase_diagram"):
        return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture
def rehearsed(without_ray, monkeypatch):
    """Make the command line sleep for a second per point in place of measuring it."""
    from sweep.execution import trainable

    monkeypatch.setattr(trainable, "make_prober", Rehearsal(seconds=1.0))
    return without_ray


def read_parts(path):
    return {p.name: p.read_bytes() for p in (path / "parts").glob("*.parquet")}


def rows_in_parts(path):
    return sum(pq.read_metadata(p).num_rows for p in (path / "parts").glob("*.parquet"))


def stop():
    raise KeyboardInterrupt


def test_a_sweep_and_then_more_points(rehearsed, tmp_path):
    path = tmp_path / "first"
    done = command("run", "--out", path, draws=True)
    assert done.exit_code == 0, done.output
    assert "64 points: 64 ok" in done.stdout and str(path) in done.stdout and "64/64 done" in done.stderr
    assert (path / "phase_diagram.png").stat().st_size > 20_000
    before = sweep.load(path).points
    assert len(before.drop_duplicates(KEY[:3])) == len(before) == rows_in_parts(path) == 64
    assert rehearsed.workers == 2 and 32 <= rehearsed.clock.now <= 48
    more = command("resume", path, "--points", 70, "--json")
    assert more.exit_code == 0, more.output
    report = json.loads(more.stdout)
    assert (report["total"], report["done"], report["failed"], report["running"]) == (70, 70, 0, 0)
    assert before.merge(sweep.load(path).points, on=KEY)["margin_x"].notna().sum() == 64
    assert not (path / ".tune").exists()


def test_killed_and_resumed(rehearsed, tmp_path):
    """A driver that is killed at any moment leaves a sweep in which nothing is lost, repeated or changed."""
    path, killed = tmp_path / "sweep", tmp_path / "killed"
    rehearsed.at(7.5, lambda: shutil.copytree(path, killed, ignore=shutil.ignore_patterns("*.tmp")))  # half of a write
    sweep.run(SweepSpec(points=40, pack=2), path)
    before, count = read_parts(killed), rows_in_parts(killed)
    assert 0 < count < 40
    status = json.loads(command("status", killed, "--json").stdout)
    assert (status["done"], status["total"]) == (count, 40)
    trials = len(rehearsed.trials)
    assert command("resume", killed, "--quiet").exit_code == 0
    assert before.items() <= read_parts(killed).items()
    points = sweep.load(killed).points
    assert rows_in_parts(killed) == len(points) == len(points.drop_duplicates(KEY[:3])) == 40
    assert sum(len(t.points) for t in rehearsed.trials[trials:]) == 40 - count


def test_interrupted(rehearsed, tmp_path):
    path = tmp_path / "interrupted"
    rehearsed.at(10.5, stop)
    done = command("run", "--out", path, "--points", 50, "--pack", 1)
    assert done.exit_code == 130 and f"continue with: sweep resume {path}" in done.stderr
    count = rows_in_parts(path)
    assert 18 <= count <= 20  # two devices, a second each
    done = command("resume", path, "--quiet")
    assert done.exit_code == 0 and len(sweep.load(path).points) == rows_in_parts(path) == 50


def test_a_sweep_that_another_driver_is_at(make_sweep):
    results = make_sweep()
    with locked(results.path), pytest.raises(SpecError, match=r"is being run by process \d+ on"):
        sweep.resume(results.path)


def test_the_same_point_gives_the_same_numbers_whatever_the_pack_and_the_workers(without_ray, tmp_path):
    """Tolerance: float32 rounding (2^-24) of products batched differently, carried through 100 Adam steps."""
    tables = []
    for pack, workers in ((1, 1), (8, 2)):
        spec = SweepSpec(
            points=8, search="sobol", replicas=2, pack=pack, concurrency=workers, probe_steps=100, depth=(3, 8)
        )
        tables.append(sweep.run(spec, tmp_path / f"{pack}-{workers}").points)
    one, other = tables
    assert len(one) == 16 and one[KEY].equals(other[KEY]) and (set(one["pack"]), set(other["pack"])) == ({2}, {8})
    np.testing.assert_allclose(one["direct_horizon"], other["direct_horizon"], rtol=1e-5)
    np.testing.assert_allclose(one["margin"], other["margin"], atol=1e-5)
    np.testing.assert_allclose(one["cascade_relative_entropy"], other["cascade_relative_entropy"], rtol=1e-3)


def test_a_grid(rehearsed, tmp_path):
    path = tmp_path / "grid"
    done = command("run", "--out", path, "--search", "grid", "--points", 30, *SMALL)
    assert done.exit_code == 0 and "grid of 3 x 3 x 3 = 27 points" in done.stderr
    points = sweep.load(path).points
    assert len(points) == 27 and points["sigma_w"].nunique() == 3


@dataclass(frozen=True)
class Unlucky(Rehearsal):
    """Stand-in that fails to measure points of a seed below 2."""

    def _measure(self, p, pack):
        measurement = super()._measure(p, pack)
        return replace(measurement, status="failed", error="bad luck", values={}) if p.seed < 2 else measurement


def test_points_that_fail_are_rows_and_are_measured_once_more_if_that_is_asked_for(rehearsed, tmp_path):
    path = tmp_path / "failing"
    points = sweep.run(SweepSpec(points=12, pack=4, retries=2), path, make=Unlucky(1.0)).points
    failed = points[points["status"] == "failed"]
    assert len(points) == 12 and sorted(failed["seed"]) == [0, 1] and set(failed["error"]) == {"bad luck"}
    attempts = [len(t.points) for t in rehearsed.trials if Point(*failed[KEY].iloc[0]) in t.points]
    assert attempts == [4, 1, 1]
    done = command("resume", path)
    assert done.exit_code == 1 and rehearsed.starts == 1  # nothing to measure; still says so
    command("resume", path, "--retry-failed", "--quiet")
    again = sweep.load(path).points
    assert rehearsed.starts == 2 and set(again["status"]) == {"ok"}
    assert sorted(again[KEY].itertuples(index=False)) == sorted(points[KEY].itertuples(index=False))


def test_a_point_that_kills_its_worker_becomes_a_failed_row(rehearsed, tmp_path):
    rehearsed.fail = lambda points, attempt: WORKER_DIED if any(p.seed == 3 for p in points) else None
    points = sweep.run(SweepSpec(points=12, pack=4), tmp_path / "sweep").points
    assert len(points) == 12 and points[points["status"] == "failed"]["seed"].tolist() == [3]
    assert points["error"].str.contains("its process has died").sum() == 1


def test_a_trial_that_raises_is_a_failure_of_its_points(rehearsed, tmp_path):
    @dataclass(frozen=True)
    class Broken(Rehearsal):
        def probe(self, points):
            if any(p.seed == 3 for p in points):
                raise ZeroDivisionError("as it were")
            return super().probe(points)

    points = sweep.run(SweepSpec(points=8, pack=2), tmp_path / "sweep", make=Broken(1.0)).points
    assert points[points["status"] == "failed"]["seed"].tolist() == [3]
    assert points["error"].str.contains("ZeroDivisionError: as it were").sum() == 1


def test_nodes_come_and_go(rehearsed, tmp_path):
    """Losing a node uses up no retries, and a node that joins is given trials."""
    rehearsed.nodes = [(1, 0), (1, 0)]
    rehearsed.fail = lambda points, attempt: NODE_DIED if attempt == 1 and points[0].seed % 5 == 0 else None
    rehearsed.at(10.0, lambda: rehearsed.nodes.append((4, 0)))
    rehearsed.at(20.0, lambda: rehearsed.nodes.pop())
    points = sweep.run(SweepSpec(points=100, pack=1, search="sobol", retries=0), tmp_path / "sweep").points
    assert len(points) == 100 and (points["status"] == "ok").all()

    def at_once(second):
        return sum(t.began <= second < t.ended for t in rehearsed.trials)

    assert [at_once(s) for s in (9.5, 15.5, 25.5)] == [2, 6, 2] and len(rehearsed.trials) == 120


def test_results_that_are_away_are_waited_for_and_not_measured_again(without_ray, make_sweep, monkeypatch, caplog):
    results = make_sweep()
    parts, away = results.path / "parts", results.path / "away"
    parts.rename(away)
    monkeypatch.setattr(runner.time, "sleep", lambda seconds: away.rename(parts))
    assert len(sweep.resume(results.path).points) == len(results.points)
    assert "WAITING FOR THE STORAGE" in caplog.text and "no such folder" in caplog.text
    parts.rename(away)
    monkeypatch.setattr(runner, "time", without_ray.clock)
    with pytest.raises(UnavailableError, match="no such folder; make the results available again"):
        sweep.resume(results.path)
    assert not parts.exists() and 30 < without_ray.clock.now < 60


def test_a_storage_that_is_away_is_waited_for(make_sweep, tmp_path, monkeypatch, caplog):
    results = make_sweep()
    storage, away = tmp_path / "mounted", tmp_path / "away"
    storage.mkdir()
    (results.path / "parts").rename(storage / "parts")
    spec = replace(results.spec, storage=str(storage))
    for files in SweepFiles(results.path).spec_copies(spec):
        files.write_spec(spec)
    storage.rename(away)
    monkeypatch.setattr(runner.time, "sleep", lambda seconds: away.rename(storage))
    assert len(sweep.resume(results.path).points) == 64
    assert caplog.text.count("WAITING FOR THE STORAGE") == 1


def test_a_finished_sweep_resumes_to_nothing_without_ray(without_ray, make_sweep):
    results = make_sweep()
    done = command("resume", results.path, "--json")
    assert done.exit_code == 0 and json.loads(done.stdout)["done"] == 64 and without_ray.starts == 0
    assert not (results.path / ".tune").exists() and (results.path / LOCK_FILE).exists()


def test_many_parts_are_put_together_at_the_end(make_sweep, monkeypatch, caplog):
    results = make_sweep(count=70)
    parts = read_parts(results.path)
    monkeypatch.setattr("sweep.storage.compaction._MIN_SMALL_PARTS", len(parts))

    def fail(store, begin):
        raise StoreError("the storage is on fire")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "compact", fail)
        sweep.resume(results.path)
    assert read_parts(results.path) == parts and "on fire" in caplog.text
    again = sweep.resume(results.path)
    assert len(read_parts(results.path)) == 1 < len(parts)
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
        done = command("run", "--points", 1, *arguments)
        assert done.exit_code == 2 and "results of another sweep" in done.stderr, done.stderr
    assert read_parts(results.path) == before


def test_a_sweep_that_ends_short_says_so(make_sweep, monkeypatch):
    results = make_sweep(SweepSpec(points=64), count=60)
    monkeypatch.setattr(driver, "run_trials", lambda *a: None)
    done = command("resume", results.path, "--quiet")
    assert done.exit_code == 1 and "4 points are missing" in done.stderr


def test_failed_rows_are_exit_code_1(make_sweep):
    assert command("resume", make_sweep(failed=1).path, "--quiet").exit_code == 1


@pytest.mark.parametrize("content", ["", "{", '{"points": -1}'])
def test_a_damaged_spec_is_bad_input(make_sweep, content):
    path = make_sweep().path
    (path / "spec.json").write_text(content)
    done = command("resume", path)
    assert done.exit_code == 2 and "Error: " in done.stderr and isinstance(done.exception, SystemExit)


def test_a_sweep_stops_when_the_boundary_is_known(rehearsed, tmp_path):
    path = tmp_path / "known"
    done = command("run", "--out", path, "--points", 60, "--until-boundary-error", 0.05, "--pack", 4)
    assert done.exit_code == 0 and "not needed" in done.stderr, done.output
    first = rows_in_parts(path)
    assert 10 <= first < 60
    status = json.loads(command("status", path, "--json").stdout)
    assert status["done"] == first and status["boundary_error"] < 0.06
    again = command("resume", path)
    assert again.exit_code == 0 and rows_in_parts(path) == first  # nothing is measured when it is known
    finer = command("resume", path, "--until-boundary-error", 1e-5)
    assert rows_in_parts(path) > first, finer.stderr


@dataclass(frozen=True)
class Trained(Rehearsal):
    """Stand-in that trains what `Prober` would; networks learn where the margin is above 0.4, not 0 as predicted."""

    def train(self, measured, saved=None, doubtful=()):
        for m in measured:
            if m.point in doubtful or abs(m.values["margin"]) < 0.2:
                m.values.update(accuracy=0.9 if m.values["margin"] > 0.4 else 0.1, chance=0.1)
        return iter(())


def test_the_boundary_of_the_truth_is_searched(without_ray, tmp_path):
    """Points that the study doubts are trained, whatever the probe says of them."""
    spec = SweepSpec(points=60, train="boundary", depth=(4, 40), sigma_b=(0.1, 0.1))
    points = sweep.run(spec, tmp_path / "truth", make=Trained(1.0)).points
    doubted = {t.points[i] for t in without_ray.trials for i in t.config.get("doubtful", ())}
    near = {Point(*p) for p in points[points["margin"].abs() < 0.2][KEY].itertuples(index=False)}
    trained = points[points["trainable"].notna()]
    assert {Point(*p) for p in trained[KEY].itertuples(index=False)} == doubted | near
    assert len(doubted - near) >= 8 and 0.2 < trained["trainable"].mean() < 0.9


@pytest.mark.parametrize("probe", ["direct", "cascade"])
def test_a_sweep_by_gradients(without_ray, tmp_path, probe):
    """Gradients are measured with any probe, and their margin is searched for."""
    options = ["--probe", probe, "--statistic", "gradient_norm", "--threshold", 3, "--points", 12, "--images", 100]
    done = command("run", "--out", tmp_path / "sweep", *options, "--depth", 4, 20, "--probe-steps", 1)
    assert done.exit_code == 0, done.output
    results = sweep.load(tmp_path / "sweep")
    expected = np.log(4 / (1 + results.points["gradient_norm"].abs()))
    np.testing.assert_allclose(results.points["margin"], expected)
    assert not results.points["margin_censored"].any() and results.points["gradient_ratio"].notna().all()
    first = results.profiles[results.profiles["layer"] == 1]["gradient_norm"]
    np.testing.assert_allclose(sorted(first), sorted(results.points["gradient_norm"]))
    assert len(results.boundary) and results.phase.has_estimates


@pytest.mark.parametrize(
    ("statistic", "threshold", "says"),
    [("gradient_ratio", "-1", "from 0.001 to 999"), ("direct_horizon", "3", "from 0.001 to 0.999, got 3")],
)
def test_a_threshold_of_another_kind_is_refused(without_ray, tmp_path, statistic, threshold, says):
    done = command("run", "--out", tmp_path / "sweep", "--statistic", statistic, "--threshold", threshold)
    assert done.exit_code == 2 and says in done.stderr and not (tmp_path / "sweep").exists()


def test_a_sweep_that_trains(without_ray, tmp_path):
    """A sweep that really trains a few small networks."""
    options = ["--probe", "direct", "--points", 12, "--train", "boundary", "--depth", 4, 20, "--sigma-b", 0.1, 0.1]
    small = ["--epochs", 8, "--lr", 0.05, "--train-images", 400, "--images", 300]
    done = command("run", "--out", tmp_path / "truth", *options, *small)
    assert done.exit_code == 0, done.output
    trained = sweep.load(tmp_path / "truth").points["trainable"].dropna()
    assert 4 <= len(trained) <= 12 and 0.2 < trained.mean() < 0.9
