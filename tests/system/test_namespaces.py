"""A cluster of two machines: network namespaces with addresses, names and processes of their own."""

import os
import sys
import time
from pathlib import Path

import sweep
from tests.helpers.hosts import hosts
from tests.system.test_faults import SMALL, finish, keys_in_parts, wait_for

ENVIRONMENT = {
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
}
RAY = "ray start --block --num-cpus 1 --object-store-memory 100000000 --node-ip-address".split()


def test_both_machines_are_used_and_one_is_lost(tmp_path):
    """The second is lost with all of its processes, as if its power were cut."""
    path, log = tmp_path / "sweep", tmp_path / "driver.log"
    with hosts(tmp_path, "one", "two") as found:
        for host in found.values():
            token = host.home / ".ray" / "auth_token"
            token.parent.mkdir()
            token.write_text("0123456789abcdef" * 4)
            token.chmod(0o600)

        def start(name, *words):
            log = tmp_path / f"{name}.log"
            up(log, found[name].start([*RAY, *words], ENVIRONMENT, log))

        start("one", "10.251.0.2", "--head", "--port", "6379", "--include-dashboard", "false")
        start("two", "10.251.0.3", "--address", "one:6379")
        small = [*map(str, SMALL), "--points", "200", "--probe", "both", "--probe-steps", "100"]
        command = [sys.executable, "-m", "sweep", "run", "--address", "auto", "--out", str(path), *small]
        driver = found["one"].start(command, ENVIRONMENT, log)
        while not {"one", "two"} <= names(path):
            wait_for(path, sum(keys_in_parts(path).values()) + 2, driver)
        before = sum(keys_in_parts(path).values())
        assert before < 150
        found["two"].stop()
        finish(path, driver, 200)
        points = sweep.load(path).points.sort_values("finished")
        assert set(points.hostname) == {"one", "two"} and set(points.hostname[before + 20 :]) == {"one"}


def names(path):
    """Of the machines that have measured something."""
    return set(sweep.load(path).points["hostname"]) if list(path.glob("parts/*.parquet")) else set()


def up(log, ray, seconds=60):
    end = time.monotonic() + seconds
    while "Ray runtime started" not in log.read_text():
        assert ray.poll() is None and time.monotonic() < end, log.read_text()
        time.sleep(0.2)
