"""The batch script in a real, private SLURM."""

import contextlib
import os
import re
import shutil
import stat
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import sweep
from tests.helpers.slurm import missing, plan, private_slurm

SMALL = ("--probe", "direct", "--images", "200", "--depth", "3", "12", "--pack", "1", "--gpus-per-trial", "0")


@pytest.fixture(scope="module")
def cluster():
    if reason := missing():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    try:
        with private_slurm(folder) as found:
            found.environment["PATH"] = str(Path(sys.executable).parent) + os.pathsep + found.environment["PATH"]
            yield found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Submitted:
    """A job of the private SLURM, and the processes of its Ray."""

    def __init__(self, cluster, out, arguments):
        self.cluster, self.out = cluster, out
        [command] = plan(out, arguments, gpus=1).commands
        self.number = cluster(*command).split()[-1]
        self.log = cluster.folder / f"a-sweep-{self.number}.log"

    def wait(self, condition, seconds=240):
        deadline = time.monotonic() + seconds
        while not condition():
            log = self.log.read_text() if self.log.exists() else ""
            assert time.monotonic() < deadline, f"{self.cluster.job(self.number)}\n{log}{self.cluster.logs()}"
            time.sleep(0.2)

    def ended(self, state="COMPLETED"):
        found = self.cluster.job(self.number)["JobState"]
        assert found in (state, "PENDING", "RUNNING", "COMPLETING"), f"{found}\n{self.log.read_text()}"
        return found == state

    def restarted(self, times):
        found = self.cluster.job(self.number)
        return found["JobState"] == "PENDING" and found["Restarts"] == str(times)

    def start_now(self):
        """SLURM lets a requeued job wait for two minutes."""
        self.cluster("scontrol", "update", f"JobId={self.number}", "StartTime=now")

    def rays(self):
        """The folders of the job's Ray nodes, by their raylets, each of which has one core and one GPU."""
        found = set()
        marks = {f"SLURM_JOB_ID={self.number}", f"SLURM_CONF={self.cluster.environment['SLURM_CONF']}"}
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if marks <= set((process / "environ").read_text().split("\0")):
                    program, *line = (process / "cmdline").read_text().split("\0")
                    if program.endswith("/raylet"):
                        assert any(",CPU,1,GPU,1," in word for word in line), line
                        found |= set(re.findall(r"=(/tmp/ray-\w+)/ray/", "\n".join(line)))
        return [Path(f) for f in found]


def of_folders(folders):
    """Processes that have files open in them."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            files = [os.readlink(f) for f in (process / "fd").iterdir()]
            if any(f.startswith(f"{folder}/") for f in files for folder in folders):
                found.append((process.name, (process / "cmdline").read_bytes()[:80]))
    return found


def finished(out):
    """When each point was."""
    return dict(zip(*sweep.load(out).points[["seed", "finished"]].to_dict("list").values(), strict=True))


def parts(out):
    return {p.name: p.read_bytes() for p in (out / "parts").glob("*.parquet")}


def check_gone(rays):
    assert len(rays) == 2 and not of_folders(rays) and not any(ray.exists() for ray in rays)


def test_options_of_sbatch_and_a_line_of_the_shell(cluster, tmp_path):
    line = f"touch {tmp_path}/$SLURMD_NODENAME && export MARK='a, b'"
    options = ("--comment=mine", "--mem=1M", "--exclusive")
    [command] = plan(tmp_path / "out", (*SMALL, "--points", "4"), sbatch=options, setup=line).commands
    tested = [*command[: command.index("sbatch") + 1], "--test-only", *command[command.index("sbatch") + 1 :]]
    cluster(*tested)
    number = cluster(*command).split()[-1]
    found = cluster.job(number)
    assert found["Comment"] == "mine" and found["OverSubscribe"] == "NO" and found["Requeue"] == "1"
    deadline = time.monotonic() + 240
    while (state := cluster.job(number)["JobState"]) in ("PENDING", "RUNNING", "COMPLETING"):
        assert time.monotonic() < deadline, cluster.logs()
        time.sleep(0.2)
    assert state == "COMPLETED", (cluster.folder / f"a-sweep-{number}.log").read_text()
    assert {p.name for p in tmp_path.iterdir()} == {"n1", "n2", "out"}
    assert len(sweep.load(tmp_path / "out").points) == 4


def test_arrays_are_refused_in_a_line(cluster, tmp_path):
    [command] = plan(tmp_path / "out", (*SMALL, "--points", "4"), nodes=1).commands
    at = command.index("sbatch") + 1
    number = cluster(*command[:at], "--array=0", *command[at:]).split()[-1]
    deadline = time.monotonic() + 60
    while (state := cluster.job(number)["JobState"]) in ("PENDING", "RUNNING", "COMPLETING"):
        assert time.monotonic() < deadline, cluster.logs()
        time.sleep(0.2)
    logs = [p.read_text() for p in cluster.folder.glob("a-sweep-*.log")]
    assert state == "FAILED" and any("in place of an array" in log for log in logs)
    assert not (tmp_path / "out").exists()


def test_stopped_cancelled_preempted_and_in_the_end_complete(cluster, tmp_path):
    """On two nodes; the job requeues itself when told to stop, stays away when cancelled, and goes on with the rest."""
    out, points = tmp_path / "out", 80
    job = Submitted(cluster, out, (*SMALL, "--points", points))
    job.wait(lambda: len(parts(out)) >= 4)
    rays = job.rays()
    assert len(rays) == 2 and of_folders(rays)
    tokens = {(ray / "token").read_text().strip() for ray in rays}
    assert len(tokens) == 1 and len(tokens.pop()) == 64
    for ray in rays:
        assert stat.S_IMODE(ray.stat().st_mode) == 0o700
        assert stat.S_IMODE((ray / "token").stat().st_mode) == 0o600

    cluster("scancel", "--batch", "--signal=TERM", job.number)  # as SLURM does before the time limit
    job.wait(lambda: job.restarted(1))
    check_gone(rays)
    stopped = finished(out)
    assert 4 <= len(stopped) < points
    assert "requeued" in job.log.read_text()

    job.start_now()
    job.wait(lambda: len(job.rays()) == 2)
    rays = job.rays()
    cluster("scancel", job.number)
    job.wait(lambda: job.ended("CANCELLED"))
    check_gone(rays)
    assert cluster.job(job.number)["Restarts"] == "1"

    job = Submitted(cluster, out, ())  # the directory alone
    job.wait(lambda: len(parts(out)) >= len(stopped) + 4)
    rays = job.rays()
    cluster("sbatch", "--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")
    job.wait(lambda: job.restarted(1))
    check_gone(rays)
    preempted = finished(out)
    assert stopped.items() < preempted.items() and len(preempted) < points

    job.start_now()
    job.wait(job.ended)
    assert cluster.job(job.number)["ExitCode"] == "0:0"
    log = job.log.read_text()
    assert log.count("2 trials at once") == 2 and "restart 1, 2 nodes of 1 cores and 1 GPUs" in log
    assert "Traceback" not in log
    found = sweep.load(out).points
    assert len(found) == len(found.drop_duplicates(["sigma_w", "sigma_b", "depth"])) == points
    assert (found["status"] == "ok").all() and preempted.items() < finished(out).items()
    assert sum(pq.read_metadata(p).num_rows for p in (out / "parts").glob("*.parquet")) == points
