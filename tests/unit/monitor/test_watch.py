import io
import json
import os
import threading
import time

import pytest

from probes import Point
from sweep.errors import StoreError
from sweep.monitor import watch as watch_module
from sweep.monitor.watch import watch
from sweep.spec.rows import row
from sweep.spec.spec import SweepSpec
from sweep.storage.folder import DiskFolder
from sweep.storage.heartbeat import LIVE_FILE, Heartbeat, Running, Sign, read_sign
from sweep.storage.lock import locked
from sweep.storage.sweep_files import SweepFiles
from tests.helpers.landscape import made_up

HERE = Sign((Running("node-a", "cpu", 2, 8),), 3.0, 12.0)


@pytest.fixture
def quickly(monkeypatch):
    monkeypatch.setattr(watch_module, "_DISK_INTERVAL_S", 0.05)
    monkeypatch.setattr(watch_module, "_LOG_INTERVAL_S", 0.1)


def write(results, count, first=0):
    for i in range(first, first + count):
        point = Point(0.5 + 2 * (i * 0.618 % 1), 0.05 + 0.95 * (i * 0.414 % 1), 5 + i % 55, i)
        results.store.write([row(made_up(point, 3), pack=1, device="cpu", hostname="here", finished=1e9 + i)])


def test_a_sweep_under_way_until_it_is_done(make_sweep, quickly):
    """Its driver is a thread that holds the lock, gives signs of life and writes parts."""
    results = make_sweep(SweepSpec(points=40), count=0)
    stream, started = io.StringIO(), threading.Event()

    def drive():
        with locked(results.path):
            beat = Heartbeat([str(results.path)], lambda: HERE)
            while not read_sign([results.files]):
                time.sleep(0.01)
            started.set()
            for i in range(40):
                write(results, 1, i)
                time.sleep(0.03)
            beat.close()

    driver = threading.Thread(target=drive)
    driver.start()
    started.wait(10)
    assert watch(results.path, stream) == 0
    driver.join()
    lines = stream.getvalue().splitlines()
    counts = [int(text.split("/40 done")[0].split()[-1]) for text in lines[:-1]]
    assert counts == sorted(counts) and len(set(counts)) > 4 and counts[-1] == 40
    assert "8 running  0 failed  3.0 points/s" in lines[0] and lines[-1] == "done"


def test_no_part_is_read_twice(make_sweep, quickly, monkeypatch):
    results = make_sweep(SweepSpec(points=40), count=0)
    write(results, 10)
    read = []
    whole = DiskFolder.read
    monkeypatch.setattr(DiskFolder, "read", lambda self, name, *a: read.append(name) or whole(self, name, *a))
    watcher = watch_module.Watcher(results.path)
    (results.path / "parts" / "notes.txt").write_text("no part")
    (results.path / "parts" / "part-0.parquet").write_text("damaged")
    for i in range(3):
        watcher.update()
        write(results, 2, 100 + 2 * i)
        (results.path / "parts" / f"half{i}.parquet").write_bytes(b"PAR1")
    watcher.update()
    assert len(read) == len(set(read)) == 16 + 1 + 3 and watcher.view().done == 16


def test_many_parts_are_read_bit_by_bit(make_sweep, quickly, monkeypatch):
    """There is something to be seen before all is read, and nothing is concluded from a part of it."""
    monkeypatch.setattr(watch_module, "_MAX_PARTS", 8)
    results = make_sweep(SweepSpec(points=40), count=0)
    write(results, 30)  # a part each
    watcher = watch_module.Watcher(results.path)
    done = []
    while (ending := watcher.ending()) is None:
        done.append(watcher.view().done)
        watcher.update()
    assert done == [8, 16, 24] and ending[0] == 1 and "10 points are missing" in ending[1]
    assert watcher.view().rate == 0  # what was there before did not just come in


def test_a_driver_that_is_gone(make_sweep, quickly):
    results = make_sweep(SweepSpec(points=64), count=60)
    stream = io.StringIO()
    assert watch(results.path, stream) == 1
    lines = stream.getvalue().splitlines()
    assert lines[-1] == f"the driver has stopped, 4 points are missing; continue with: sweep resume {results.path}"
    assert "60/64 done" in lines[-2] and "ETA" not in lines[-2]


def test_a_driver_elsewhere_whose_clock_is_wrong(make_sweep):
    """No lock that could be seen from here, and signs of an hour ago: those that change are as good as new."""
    results = make_sweep(SweepSpec(points=64), count=12)
    path = results.path / LIVE_FILE
    sign = {"running": [["node-a", "cpu", 1, 4]], "rate": 1.0, "elapsed": 1.0, "note": "", "trouble": ""}
    sign["driver"] = {"holder": "", "host": "elsewhere", "process": 1, "started": "1"}
    path.write_text(json.dumps({**sign, "time": time.time() - 3600}))
    watcher = watch_module.Watcher(results.path)
    assert watcher.view().running == () and watcher.view().note == "no sign of life from the driver"
    path.write_text(json.dumps({**sign, "time": time.time() - 3595}))
    watcher.update()
    assert watcher.ending() is None and watcher.view().running == (Running("node-a", "cpu", 1, 4),)
    watcher._sign_time -= 100
    watcher.update()  # the same sign as before
    assert watcher.view().running == () and watcher.ending()[0] == 1


def test_a_boundary_that_is_known_is_done(make_sweep):
    results = make_sweep(SweepSpec(points=500, until_boundary_error=0.2), count=60)
    code, message = watch_module.Watcher(results.path).ending()
    assert code == 0 and "440 points were not needed" in message


def test_a_storage_that_fails_for_a_while(make_sweep, monkeypatch):
    results = make_sweep(SweepSpec(points=64), count=12)
    watcher = watch_module.Watcher(results.path)

    def fail(*arguments):
        raise StoreError("it is away")

    with monkeypatch.context() as m:
        m.setattr(watcher._store, "read_new", fail)
        watcher.update()
        assert watcher.view().trouble == "WAITING FOR THE STORAGE: it is away" and watcher.ending() is None
    watcher.update()
    assert watcher.view().trouble == ""


def test_hostile_signs_of_life(make_sweep):
    results = make_sweep(SweepSpec(points=64), count=3)
    for data in (b"\xff", b"[" * 10**5, b"{}", b"x" * 10**7, b'{"running": [["\x1b[2J", "cpu", 1, 1]]}'):
        (results.path / LIVE_FILE).write_bytes(data)
        assert watch(results.path, io.StringIO()) == 1
    (results.path / LIVE_FILE).unlink()
    os.mkfifo(results.path / LIVE_FILE)  # would be waited for
    assert watch(results.path, io.StringIO()) == 1


def test_looks_are_rare_where_they_take_long(make_sweep, monkeypatch):
    watcher = watch_module.Watcher(make_sweep(SweepSpec(points=64), count=12).path)
    assert watcher.update() == watch_module._DISK_INTERVAL_S
    read_sign = watcher._read_sign
    monkeypatch.setattr(watcher, "_read_sign", lambda: time.sleep(0.3) or read_sign())
    assert watcher.update() >= 3


def test_status_tells_what_runs_where(make_sweep):
    from sweep.cli.tables import status_text
    from sweep.results.status import status

    results = make_sweep(SweepSpec(points=64), count=12)
    summary = status(results)
    assert (summary["running"], summary["driver"], summary["nodes"]) == (0, False, [])
    assert "no driver is running" in status_text(summary)
    beat = Heartbeat([str(results.path)], lambda: HERE)
    while not read_sign([SweepFiles(results.path)]):
        time.sleep(0.01)
    summary = status(results)
    beat.close()
    assert (summary["running"], summary["driver"]) == (8, True)
    assert summary["nodes"] == [{"host": "node-a", "kind": "cpu", "trials": 2, "points": 8}]
    assert "8 running" in status_text(summary) and "trials: 2 x CPU on node-a" in status_text(summary)
    assert json.dumps(summary)
