"""Few large parts are made of many small ones."""

import errno
import math
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sweep.errors import StoreError
from sweep.storage import compaction
from sweep.storage.parts import PartFormat, part_name
from sweep.storage.store import Store
from tests.helpers.store_contract import KEY, Place, points, relist, rows


def parts_of(store):
    return sorted(os.listdir(store.folder.path))


def later_in(store, name):
    table = pq.read_table(f"{store.folder.path}/{name}")
    return table["later"].to_pylist() if "later" in table.column_names else []


def same(one, other):
    """Whether two readings hold the same rows, in any order."""
    tables = [r.rows.to_pandas().sort_values([*KEY], ignore_index=True) for r in (one, other)]
    pd.testing.assert_frame_equal(tables[0], tables[1][tables[0].columns], check_dtype=False)


@pytest.fixture
def many(tmp_path, monkeypatch):
    """A store with forty small parts, which are many: columns come and go, some hold nothing but nulls."""
    monkeypatch.setattr(os, "fsync", lambda file: None)  # for speed
    monkeypatch.setattr(compaction, "_MIN_SMALL_PARTS", 20)
    store, dice = Place(tmp_path).store(), random.Random(0)
    for seed in range(40):
        value = {
            "status": ["ok", "diverged"][seed % 2],
            "margin": dice.choice([1, 0.5, math.inf, math.nan]),
            "margin_censored": dice.choice([True, False, None]),
            "probe_steps": dice.choice([None, 3]),
            "error": dice.choice(["", "a\nb\u2028"]),
            "profile_direct_retained": dice.choice([None, [], [0.5, math.nan, 0.25]]),
            "epoch_lr": dice.choice([None, [0.1] * 3]),
        }
        kept = {k: v for k, v in value.items() if k in ("status", "margin") or dice.random() < 0.7}
        store.write(rows(2 * seed, **kept) + rows(2 * seed + 1, status="failed", error="x"))
    store.write(rows(1, status="ok", margin=2.0))  # measured after all
    return store


@pytest.mark.parametrize("large", [2**22, 10_000])
def test_many_small_parts_are_put_together_without_loss(many, monkeypatch, large):
    monkeypatch.setattr(compaction, "_LARGE_PART_BYTES", large)
    before, then = many.read(), points(many)
    assert many.read(["status"]).rows.num_rows == 80
    many.compact()
    assert len(parts_of(many)) == 1 if large == 2**22 else 5 < len(parts_of(many)) < 20
    same(before, many.read())
    pd.testing.assert_frame_equal(then, points(many))
    assert then["status"].tolist()[:3] == ["ok", "ok", "diverged"] and not many.read().damaged
    names = parts_of(many)
    many.compact()
    assert parts_of(many) == names


def test_few_parts_and_large_ones_stay_as_they_are(many, monkeypatch):
    names = parts_of(many)
    for name, value in (("_SMALL_PART_BYTES", 100), ("_MIN_SMALL_PARTS", 42)):
        with monkeypatch.context() as patch:
            patch.setattr(compaction, name, value)
            many.compact()
            assert parts_of(many) == names


def test_what_is_no_good_part_is_not_put_together(tmp_path, many):
    parts = tmp_path / "parts"
    first = parts / parts_of(many)[0]
    first.write_bytes(first.read_bytes()[:-1])
    (parts / "notes.txt").write_text("mine")
    nonsense = pa.BufferOutputStream()
    pq.write_table(pa.table(KEY | {"depth": [0]}), nonsense)
    bad = part_name(nonsense.getvalue())
    (parts / bad).write_bytes(nonsense.getvalue())
    pq.write_table(pa.table(KEY | {"seed": [1000]}), parts / "old.parquet")
    before = many.read()
    many.compact()
    reading = many.read()
    same(before, reading)
    named = {first.name, "notes.txt", bad}
    assert set(parts_of(many)) > named | {"old.parquet"} and len(parts_of(many)) == 5
    assert {name.removeprefix("parts/") for name in reading.damaged} == named


def test_columns_that_are_not_known_are_not_lost_when_parts_are_put_together(many):
    table = many.read([]).rows.slice(0, 1).replace_schema_metadata(None)
    for seed, value in ((1000, [{"a": 1}]), (1001, "x")):
        part = table.set_column(3, "seed", pa.array([seed])).append_column("later", pa.array([value]))
        PartFormat().write(many.folder, part)
    many.compact()
    assert len(parts_of(many)) == 3
    for kind in (str, list):
        assert any(isinstance(v, kind) for part in parts_of(many) for v in later_in(many, part))


@pytest.mark.parametrize("when", ["written", "read back", "removed"])
def test_a_fault_while_parts_are_put_together_loses_nothing(many, monkeypatch, when):
    before, left = many.read(), [25]

    def fail(*args):
        left[0] -= 1
        if left[0] < 0 or when == "written":
            raise OSError(errno.EIO, "the storage is on fire")
        return whole(*args)

    def read(name, check):
        return whole(name, check) if name in names else pa.py_buffer(b"what was never written")

    names, method = parts_of(many), {"written": "write", "read back": "read", "removed": "remove"}[when]
    whole = getattr(many.folder, method)
    with monkeypatch.context() as patch:
        if when == "read back":
            patch.setattr(many.folder, "read", read)
            many.compact()
        else:
            patch.setattr(many.folder, method, fail)
            with pytest.raises(StoreError, match="on fire"):
                many.compact()
    assert len(parts_of(many)) == {"written": 41, "read back": 41, "removed": 17}[when]
    same(before, many.read())
    many.compact()
    same(before, many.read())
    assert len(parts_of(many)) <= 17 and not many.read().damaged
    if when == "removed":  # what was left of the small ones is in the large one already
        monkeypatch.setattr(compaction, "_MIN_SMALL_PARTS", 2)
        many.compact()
        assert len(parts_of(many)) == 1 and many.dataset().count_rows() == 80


def test_a_part_alone_is_not_written_anew(many, monkeypatch):
    monkeypatch.setattr(compaction, "_LARGE_PART_BYTES", 1)
    monkeypatch.setattr(many.folder, "write", lambda name, data: pytest.fail("written"))
    names = parts_of(many)
    many.compact()
    assert parts_of(many) == names


def test_names_that_are_no_text_are_left_alone(tmp_path, many):
    with open(os.fsencode(tmp_path / "parts") + b"/\xff", "wb") as file:
        file.write(b"x")
    many.compact()
    assert len(parts_of(many)) == 2 and many.read([]).rows.num_rows == 80


def test_who_reads_while_parts_are_put_together_misses_nothing(tmp_path, many):
    before = many.read()
    reader, once = Store(tmp_path), iter([True])

    def compact(listed):
        if next(once, False):
            many.compact()
        return listed

    relist(reader.folder, compact)
    reading = reader.read()
    same(before, reading)
    assert len(parts_of(many)) == 1 and not reading.damaged


def test_who_copies_while_parts_are_put_together_misses_nothing(tmp_path, many):
    reader, copy, reads = Store(tmp_path), Store(tmp_path / "copy"), []
    copy.create()
    read = reader.folder.read

    def compact(name, check):
        reads.append(name)
        if len(reads) == 42:  # all were read once, to check them
            many.compact()
        return read(name, check)

    reader.folder.read = compact
    assert copy.copy(reader) == {} and len(parts_of(many)) == 1
    same(many.read(), copy.read())


def test_readers_and_one_who_puts_together_at_once(tmp_path, many, monkeypatch):
    monkeypatch.setattr(compaction, "_MIN_SMALL_PARTS", 2)
    monkeypatch.setattr(compaction, "_LARGE_PART_BYTES", 5_000)
    seen, stop = [], threading.Event()

    def look():
        while not stop.is_set():
            seen.append(Store(tmp_path).read(["status"]).rows.num_rows)

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(look) for _ in range(2)]
        for _ in range(3):
            many.compact()
            time.sleep(0.05)
        stop.set()
    assert [r.result() for r in readers] == [None, None] and set(seen) == {80}
