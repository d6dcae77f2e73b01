"""A sweep that may take so long and no longer, and what is said before it begins."""

import json
import os
import signal
import time

import pytest
from click.testing import CliRunner

import sweep
from sweep import Rehearsal, SpecError, SweepSpec
from sweep.cli.main import main
from sweep.execution import deadline
from sweep.execution.deadline import Deadline, time_left
from sweep.processes import terminated_is_interrupted
from sweep.spec.kinds import seconds_of

SMALL = ["--probe", "direct", "--images", "200", "--depth", "3", "12"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90m", 5400), ("3h", 10_800), ("1d12h", 129_600), ("1h30m15s", 5415), ("2s", 2)]
)
def test_durations(text, seconds):
    assert seconds_of(text) == seconds
    assert time_left(SweepSpec(time_limit=text)) == seconds


@pytest.mark.parametrize("text", ["", "3", "h", "3x", "1.5h", "-1h", "0m", "1m1h", "３h", 5])
def test_what_is_no_duration(text):
    with pytest.raises(SpecError, match="`time_limit` must be a duration, such as 90m, 3h or 1d12h, got"):
        SweepSpec(time_limit=text)


def test_a_job_has_an_end(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    assert time_left(SweepSpec()) is None
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time()) + 1000))
    assert 900 < time_left(SweepSpec()) < 945  # some of it is left to store and to end
    assert time_left(SweepSpec(time_limit="1h")) == 3600
    monkeypatch.setenv("SLURM_JOB_END_TIME", "soon")
    assert time_left(SweepSpec()) is None


def test_nothing_begins_that_would_not_be_done_in_time():
    end = Deadline(60)
    assert end.allows(5) and not end.reached
    assert not end.allows(55) and end.reached and not end.allows(0)
    assert Deadline().allows(1e9)


def test_what_takes_longer_is_interrupted():
    end = Deadline(deadline._CLOSING_TIME_S + 0.05)
    with pytest.raises(KeyboardInterrupt), terminated_is_interrupted(), end.enforced():
        time.sleep(10)
    assert end.reached
    before = signal.getsignal(signal.SIGTERM)
    with terminated_is_interrupted(), Deadline(60).enforced():
        pass
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_sweep_whose_time_is_up_can_be_gone_on_with(without_ray, tmp_path):
    path, make = tmp_path / "sweep", Rehearsal(seconds=5.0)
    with pytest.raises(KeyboardInterrupt, match="the time limit of the sweep is reached"):
        sweep.run(SweepSpec(points=64, pack=2, time_limit="60s"), path, make=make)
    done = len(sweep.load(path).points)
    assert 8 <= done < 64 and without_ray.clock.now <= 60
    assert not any(t.error for t in without_ray.trials)  # every trial that began has ended well
    assert len(sweep.resume(path, time_limit="1h", make=make).points) == 64


def test_the_command_line_says_how_to_go_on(without_ray, tmp_path, monkeypatch):
    from sweep.execution import trainable

    monkeypatch.setattr(trainable, "make_prober", Rehearsal(seconds=5.0))
    path = tmp_path / "sweep"
    done = CliRunner().invoke(main, ["run", "--out", str(path), "--points", "64", "--time-limit", "1m", *SMALL])
    assert done.exit_code == 130 and f"interrupted; continue with: sweep resume {path}" in done.stderr


def test_a_dry_run_says_what_would_run_and_runs_nothing(without_ray, tmp_path):
    path = tmp_path / "sweep"
    arguments = [
        "run",
        "--out",
        str(path),
        "--points",
        "30",
        "--search",
        "grid",
        "--time-limit",
        "2h",
        *SMALL,
        "--dry-run",
    ]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    for text in (
        "27 (sigma_w 0.5 to 2.5, sigma_b 0.05 to 1, depth 3 to 12, a grid of 3 x 3 x 3; search: grid)",
        f"{len(os.sched_getaffinity(0))} at once",
        "digits, 1437 training and 360 test images of 64 numbers",
        "GiB a trial",
        "for a network of 8 layers, alone",
        "2 h 00 min, after which the sweep stops",
        str(path),
    ):
        assert text in done.stdout, text
    assert not path.exists() and without_ray.starts == 0
    preview = json.loads(CliRunner().invoke(main, [*arguments, "--json"]).stdout)
    assert list(preview) == ["points", "data", "trials", "device", "memory", "time", "limit", "results", "study"]


def test_a_dry_run_refuses_what_a_run_would(without_ray, tmp_path):
    path = tmp_path / "sweep"
    for arguments, message in (
        (["--cpus-per-trial", "1000"], "'--cpus-per-trial': must be at most"),
        (["--width", "16384", "--depth", "2000", "2000"], "GiB"),
        (["--dataset", "nowhere.npz"], "'--dataset'"),
    ):
        done = CliRunner().invoke(main, ["run", "--out", str(path), "--dry-run", *arguments])
        assert done.exit_code == 2 and message in done.stderr
    sweep.run(SweepSpec(points=2), path, make=Rehearsal(0.1))
    done = CliRunner().invoke(main, ["run", "--out", str(path), "--dry-run"])
    assert done.exit_code == 2 and "holds a sweep already" in done.stderr


def test_a_dry_run_joins_no_cluster(without_ray, tmp_path):
    done = CliRunner().invoke(main, ["run", "--out", str(tmp_path / "x"), "--dry-run", "--address", "10.0.0.1:6379"])
    assert done.exit_code == 0 and "not known: the cluster is not joined" in done.stdout
