"""Faults of a cluster, caused for real: no point is lost, none is measured twice.

SOAK=5 runs the soak test in its long form, with five series of faults.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sweep
from tests.helpers.nodes import children, clusters, kill

KEY = ["sigma_w", "sigma_b", "depth", "seed"]
SMALL = ["--probe", "direct", "--images", 200, "--width", 32, "--depth", 3, 12, "--search", "sobol", "--pack", 2]


@pytest.fixture(scope="module")
def cluster():
    """Return a cluster without nodes, which several tests share: all that they start and lose are nodes."""
    with clusters() as make:
        yield make()


def command(*arguments):
    return [sys.executable, "-m", "sweep", *map(str, arguments)]


def start(cluster, path, *arguments):
    verb = ["resume", path] if (path / "spec.json").exists() else ["run", "--out", path, *SMALL]
    with (path.parent / "driver.log").open("ab") as log:
        return subprocess.Popen(
            command(*verb, "--address", cluster.address, *arguments),
            env=cluster.environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def keys_in_parts(path):
    found = Counter()
    for part in (path / "parts").glob("*.parquet"):
        with contextlib.suppress(FileNotFoundError, pa.ArrowInvalid):  # moved, or damaged, this moment
            found.update(zip(*pq.read_table(part, columns=KEY).to_pydict().values(), strict=True))
    return found


def wait_for(path, count, driver, seconds=120, log=None):
    log = log or path.parent / "driver.log"
    end = time.monotonic() + seconds
    while len(keys_in_parts(path)) < count:
        assert driver.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < end, log.read_text()[-3000:]
        time.sleep(0.5)  # what is looked at takes time from who is waited for


def finish(path, driver, points, seconds=200):
    """The sweep ends well: every point once, none failed."""
    assert driver.wait(seconds) == 0, (path.parent / "driver.log").read_text()[-3000:]
    found = keys_in_parts(path)
    assert len(found) == points and set(found.values()) == {1}
    results = sweep.load(path)
    assert len(results.points) == points and (results.points["status"] == "ok").all()
    assert not results.damaged


def test_a_node_dies_and_another_one_joins(cluster, tmp_path):
    path, points = tmp_path / "sweep", 300
    lost, _ = cluster.add(), cluster.add()
    driver = start(cluster, path, "--points", points)
    wait_for(path, 40, driver)
    cluster.lose(lost)
    wait_for(path, len(keys_in_parts(path)) + 20, driver)
    cluster.add()
    finish(path, driver, points)


class Soak:
    """A sweep on three nodes, and what befalls it."""

    def __init__(self, cluster, path, points):
        self.cluster, self.path, self.points = cluster, path, points
        while len(cluster.nodes) < 3:
            cluster.add()
        self.driver = start(cluster, path, "--points", points)

    def a_worker_dies(self, random):
        if workers := self.cluster.workers():
            kill([random.choice(workers)])

    def a_node_dies(self, random):
        self.cluster.lose(random.choice(self.cluster.nodes))
        self.cluster.add()

    def the_driver_dies(self, random):
        self.driver.send_signal(signal.SIGKILL)
        self.driver.wait(30)
        self.driver = start(self.cluster, self.path)

    def the_sweep_is_stopped(self, random):
        number = random.choice([signal.SIGTERM, signal.SIGINT])
        self.driver.send_signal(number)
        assert self.driver.wait(60) in (130, -number)  # the latter where it had only just been started
        self.driver = start(self.cluster, self.path)

    def a_part_is_damaged(self, random):
        self.driver.send_signal(signal.SIGKILL)
        self.driver.wait(30)
        part = random.choice(sorted((self.path / "parts").glob("*.parquet")))
        data = part.read_bytes()
        part.write_bytes(random.choice([data[: len(data) // 2], b"", b"\x00" * len(data)]))
        self.driver = start(self.cluster, self.path)

    def the_storage_goes_away_for_a_while(self, random):
        parts, away = self.path / "parts", self.path / "away"
        parts.rename(away)
        time.sleep(random.uniform(1, 5))
        away.rename(parts)

    FAULTS = {
        a_worker_dies: 7,
        a_node_dies: 4,
        the_driver_dies: 3,
        the_sweep_is_stopped: 2,
        a_part_is_damaged: 2,
        the_storage_goes_away_for_a_while: 2,
    }

    def run(self, seed, faults, share):
        """Let faults befall the sweep while ``share`` of its points are measured."""
        random = Random(seed)
        try:
            for i, fault in enumerate(random.sample(faults, len(faults))):
                wait_for(self.path, int(share * self.points * (i + 1) / len(faults)), self.driver)
                fault(self, random)
            finish(self.path, self.driver, self.points)
        finally:
            self.driver.kill()
            self.driver.wait()


def undergo(faults, points, share, seed, cluster, folder):
    """A sweep that faults befall finds what an undisturbed one finds."""
    alone, path = folder / "undisturbed", folder / "sweep"
    undisturbed = command("run", "--out", alone, *SMALL, "--points", points, "--concurrency", 1, "--quiet")
    subprocess.run(undisturbed, check=True, timeout=600)
    Soak(cluster, path, points).run(seed, faults, share)
    one, other = sweep.load(alone), sweep.load(path)
    assert one.points[KEY].equals(other.points[KEY])
    np.testing.assert_allclose(one.points["margin"], other.points["margin"], atol=1e-4)
    for column in ("lower", "upper", "critical"):
        np.testing.assert_allclose(one.boundary[column], other.boundary[column], rtol=1e-3)


def test_one_fault_of_each_kind_over_a_sweep(cluster, tmp_path):
    """The short form of the soak test."""
    undergo(list(Soak.FAULTS), 200, 0.5, 0, cluster, tmp_path)


@pytest.mark.parametrize("seed", range(int(os.environ.get("SOAK", "0"))))
def test_twenty_faults_over_a_sweep(cluster, tmp_path, seed):
    faults = [fault for fault, times in Soak.FAULTS.items() for _ in range(times)]
    undergo(faults, 500, 0.9, seed, cluster, tmp_path)


def test_the_head_dies(nodes, tmp_path):
    """With it the driver, who cannot go on; the sweep goes on with another cluster."""
    first, path, points = nodes(), tmp_path / "sweep", 150
    first.environment["RAY_gcs_rpc_server_reconnect_timeout_s"] = "5"  # for which Ray looks for its head; else a minute
    first.add()
    driver = start(first, path, "--points", points)
    wait_for(path, 10, driver)
    first.hold()  # else all that is left may be measured before the driver misses the head
    kill([*children(first.head.pid), first.head.pid])
    assert driver.wait(200) != 0
    before = keys_in_parts(path)
    first.close()
    second = nodes()
    second.add()
    finish(path, start(second, path), points)
    assert before.keys() <= keys_in_parts(path).keys()


def test_a_disk_that_is_full_for_a_while(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    path, log = disk / "sweep", tmp_path / "driver.log"
    with log.open("wb") as out:
        driver = subprocess.Popen(command("run", "--out", path, *SMALL, "--points", 80), stdout=out, stderr=out)
    try:
        wait_for(path, 10, driver, log=log)
        filler = disk / "filler"
        with contextlib.suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(bytes(4096))
                file.flush()
        end = time.monotonic() + 60
        while b"WAITING FOR THE STORAGE" not in log.read_bytes():
            assert driver.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.2)
        assert b"No space left" in log.read_bytes()
        assert len(keys_in_parts(path)) < 80 and not list(path.glob("parts/*.tmp"))
        filler.unlink()
        assert driver.wait(120) == 0, log.read_text()
        assert set(keys_in_parts(path).values()) == {1} and len(keys_in_parts(path)) == 80
    finally:
        driver.kill()
        driver.wait()
        subprocess.run(["umount", "-l", disk], check=True)
