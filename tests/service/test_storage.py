"""Processes that write a sweep and are killed, and pickles in a sweep that trains."""

import json
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager

import pytest
from pyarrow import fs

import sweep
from sweep.search.study import SweepStudy
from sweep.spec.spec import SweepSpec
from sweep.storage.lease import Lease
from sweep.storage.lock import LOCK_FILE, is_running, locked
from sweep.storage.store import Store
from tests.helpers.landscape import made_up_sweep
from tests.helpers.traps import plant_everywhere, trap  # noqa: F401

# ruff: noqa: F811


@contextmanager
def running(code):
    """A process that runs code, as soon as it has said something, and what it said; it is killed."""
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE)
    try:
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_writer_killed_at_any_moment_leaves_whole_parts(tmp_path):
    code = f"""
        from sweep.storage.store import Store
        store = Store({str(tmp_path)!r}); store.create(); print("go", flush=True)
        row = dict(sigma_w=1.0, sigma_b=0.1, depth=5, epoch_x=[0.0] * 1000)
        for i in range(10**6):
            store.write([row | dict(seed=2 * i), row | dict(seed=2 * i + 1)])
    """
    for _ in range(2):
        with running(code):
            time.sleep(0.4)
        reading = Store(tmp_path).read()
        assert reading.rows.num_rows and reading.rows.num_rows % 2 == 0 and not reading.damaged


def test_a_driver_that_is_killed_holds_nothing(tmp_path):
    code = f"""
        import time
        from sweep.storage.lock import locked
        with locked({str(tmp_path)!r}):
            print(1, flush=True)
            time.sleep(1000)
    """
    with running(code):
        assert is_running(tmp_path)
    assert not is_running(tmp_path)
    with locked(tmp_path):
        pass


def test_a_process_of_this_machine_that_is_killed_holds_no_lease(tmp_path):
    """At once, even before its parent has noticed."""
    code = """
        import json, time
        from sweep.processes import myself
        print(json.dumps(myself()), flush=True)
        time.sleep(1000)
    """
    lease = Lease(fs.LocalFileSystem(), str(tmp_path / LOCK_FILE))
    with running(code) as (process, said):
        about = json.loads(said)
        if not about["host"]:
            pytest.skip("needs /proc")
        (tmp_path / LOCK_FILE).write_text(json.dumps({"id": "x", **about}))
        assert lease.is_held()
        process.kill()
        deadline = time.monotonic() + 10
        while lease.is_held():
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_no_pickle_is_opened_by_a_sweep_that_trains(tmp_path, trap):
    """Through Ray, with a checkpoint for every point that it will train."""
    data, sprung = trap
    path = tmp_path / "sweep"
    spec = SweepSpec(points=4, search="sobol", probe="direct", images=200, depth=(2, 4), train="all", epochs=2)
    (tmp_path / "plan").mkdir()
    points = SweepStudy(spec, tmp_path / "plan").ask(4)
    made_up_sweep(path, spec, count=0)
    plant_everywhere(path, data, points)
    again = sweep.resume(path)
    assert sorted(again.points["seed"]) == sorted(p.seed for p in points)
    assert (again.points["status"] == "ok").all() and again.points["accuracy"].notna().all()
    assert not sprung.exists()
