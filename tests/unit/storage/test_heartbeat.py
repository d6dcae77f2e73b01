import json
import time
from dataclasses import replace

import pytest

from sweep.processes import myself
from sweep.storage import heartbeat
from sweep.storage.heartbeat import LIVE_FILE, STALE_AFTER_S, Running, Sign, read_sign
from sweep.storage.sweep_files import SweepFiles

NOW = Sign((Running("node-a", "gpu", 2, 8), Running("", "cpu", 1, 1)), 2.5, 60.0, "", "", 1e9, myself())


def test_round_trip():
    assert Sign.from_json(NOW.as_json()) == NOW


def test_it_is_fresh_for_a_while_and_as_long_as_its_driver_lives():
    sign = replace(NOW, time=time.time())
    assert sign.is_fresh
    assert not replace(sign, time=time.time() - STALE_AFTER_S - 1).is_fresh
    assert not replace(sign, time=time.time() + STALE_AFTER_S + 1).is_fresh
    ended = replace(sign, driver={**myself(), "started": "1"})  # another process has its number now
    assert ended.is_dead and not ended.is_fresh
    assert replace(sign, driver={**myself(), "started": "1", "host": "elsewhere"}).is_fresh  # who knows


def changed(**changes):
    return json.dumps(json.loads(NOW.as_json()) | changes).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[" * 100_000,
        b"[]",
        b"{}",
        changed(running=None),
        changed(running=[["a", "cpu", 1]]),
        changed(running=[["a", "cpu", -1, 1]]),
        changed(running=[["a", "cpu", 1e300, 1]]),
        changed(running=[["a", "cpu", 10**400, 1]]),
        changed(running=[[{}, "cpu", 1, 1]]),
        changed(running={"a": 1}),
        changed(rate=float("nan")),
        changed(rate="fast"),
        changed(time=float("inf")),
        changed(elapsed=-1),
        changed(note=["x"]),
        changed(driver=[]),
        changed(driver={"holder": "x", "host": "", "started": "", "process": "1"}),
        changed(driver={}),
        b'{"rate": ' + b"9" * 5000 + b"}",
    ],
    ids=range(22),
)
def test_nonsense_is_no_sign(data, tmp_path):
    assert Sign.from_json(data) is None
    (tmp_path / LIVE_FILE).write_bytes(data)
    assert read_sign([SweepFiles(tmp_path)]) is None


def test_what_a_terminal_would_obey_and_what_is_long_is_not_taken_over():
    evil = "\x1b]0;owned\x07\n" + "x" * 10_000
    sign = Sign.from_json(changed(note=evil, trouble=evil, running=[[evil, evil, 1, 1]] * 5000))
    texts = [sign.note, sign.trouble, *sign.running[0][:2]]
    assert all(t.isprintable() and len(t) < 600 for t in texts) and len(sign.running) <= 1000


def test_a_file_of_any_size_is_not_read(tmp_path):
    (tmp_path / LIVE_FILE).write_bytes(NOW.as_json() + b" " * 2**20)
    assert read_sign([SweepFiles(tmp_path)]) is None
    (tmp_path / LIVE_FILE).unlink()
    (tmp_path / LIVE_FILE).mkdir()
    assert read_sign([SweepFiles(tmp_path)]) is None


def test_the_newest_of_several_places(tmp_path):
    for name, when in (("a", 5.0), ("b", 7.0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / LIVE_FILE).write_bytes(replace(NOW, time=when).as_json())
    assert read_sign([SweepFiles(tmp_path / "a"), SweepFiles(tmp_path / "b")]).time == 7.0


def test_it_is_written_again_and_again(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "_DISK_INTERVAL_S", 0.01)
    beat = heartbeat.Heartbeat([str(tmp_path)], lambda: NOW)
    times = set()
    while len(times) < 3:
        if sign := read_sign([SweepFiles(tmp_path)]):
            times.add(sign.time)
            assert sign.driver == myself() and sign.running == NOW.running
    beat.close()
    assert list(tmp_path.iterdir()) == []
