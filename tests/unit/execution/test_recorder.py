import time

import pytest

from sweep.errors import StoreError
from sweep.execution.recorder import Recorder
from sweep.storage.store import Store


class Flaky(Store):
    """A store that fails to write while ``down`` is set."""

    def __init__(self, path):
        super().__init__(path)
        self.create()
        self.down, self.attempts = False, 0

    def write(self, rows):
        self.attempts += 1
        if self.down:
            raise StoreError("No space left on device")
        super().write(rows)


def rows(*numbers):
    return [{"sigma_w": 1.0, "sigma_b": 0.1, "depth": n, "seed": 0, "status": "ok", "margin": 0.1} for n in numbers]


def stored(store):
    return sorted(store.read([]).rows["depth"].to_pylist())


def eventually(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_writes_a_part_for_each_pack(tmp_path):
    store, reported = Flaky(tmp_path), []
    recorder = Recorder(store, reported.append)
    recorder.put(rows(1, 2))
    recorder.put(rows(3))
    assert recorder.flush(10) and recorder.backlog == 0
    assert stored(store) == [1, 2, 3] and reported == [rows(1, 2), rows(3)]
    assert recorder.close(1) == 0


def test_a_store_that_fails_is_tried_until_it_works(tmp_path):
    store = Flaky(tmp_path)
    store.down = True
    recorder = Recorder(store, lambda rows: None, first_wait=0.01)
    recorder.put(rows(1))
    recorder.put(rows(2))
    eventually(lambda: store.attempts >= 3)
    assert recorder.trouble == "No space left on device" and recorder.backlog == 2
    assert not recorder.flush(0.05)
    store.down = False
    assert recorder.flush(10) and recorder.trouble is None
    assert stored(store) == [1, 2]


@pytest.mark.parametrize("down", [False, True])
def test_closing_stores_what_can_be_stored_and_counts_the_rest(tmp_path, down):
    store = Flaky(tmp_path)
    store.down = down
    recorder = Recorder(store, lambda rows: None, first_wait=60)
    recorder.put(rows(1, 2))
    recorder.put(rows(3))
    started = time.monotonic()
    assert recorder.close(0.5) == (3 if down else 0)
    assert time.monotonic() - started < 5
    assert not recorder._thread.is_alive()


def test_an_error_that_is_no_fault_of_the_storage_is_not_swallowed(tmp_path):
    class Broken(Flaky):
        def write(self, rows):
            raise ZeroDivisionError

    recorder = Recorder(Flaky(tmp_path), lambda rows: 1 / 0)
    recorder.put(rows(1))
    with pytest.raises(ZeroDivisionError):
        recorder.flush(10)
    recorder = Recorder(Broken(tmp_path), lambda rows: None)
    recorder.put(rows(1))
    with pytest.raises(ZeroDivisionError):
        recorder.flush(10)


@pytest.mark.parametrize("fails", [None, StoreError("No space left on device"), MemoryError()])
def test_many_parts_are_put_together_on_the_way(tmp_path, monkeypatch, fails):
    store, together = Flaky(tmp_path), Store.compact
    monkeypatch.setattr("sweep.execution.recorder._MAX_SMALL_PARTS", 10)
    monkeypatch.setattr("sweep.storage.compaction._MIN_SMALL_PARTS", 10)
    calls = []

    def compact(self):
        calls.append(len(store.read([]).parts))
        if fails:
            raise fails
        together(self)

    monkeypatch.setattr(Store, "compact", compact)
    recorder = Recorder(store, lambda rows: None)
    for n in range(35):
        recorder.put(rows(n + 1))
        assert recorder.flush(30)  # it waits for a moment with nothing else to do
    assert recorder.close(10) == 0
    assert stored(store) == list(range(1, 36)) and store.read([]).rows.num_rows == 35
    assert calls == ([10, 20, 30] if fails else [10, 11, 11]) and len(store.read([]).parts) == (35 if fails else 6)
