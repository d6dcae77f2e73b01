import errno
import math
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from sweep.errors import StoreError
from sweep.results.unfolded import load_points
from sweep.spec.columns import KINDS
from sweep.storage import files
from sweep.storage import store as store_module
from sweep.storage.store import Store

KEY = {"sigma_w": [1.0], "sigma_b": [0.1], "depth": [5], "seed": [0]}


def rows(*seeds, **more):
    return [{"sigma_w": 1.0, "sigma_b": 0.1, "depth": 5, "seed": s, "margin": 0.5, **more} for s in seeds]


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    store.create()
    return store


def test_what_was_written_is_read(store):
    store.write(rows(0, 1, profile_x=[1.0, 2.0]))
    store.write(rows(2))
    table = store.read().to_pylist()
    assert sorted(r["seed"] for r in table) == [0, 1, 2]
    assert sorted((r["profile_x"] or []) for r in table) == [[], [1.0, 2.0], [1.0, 2.0]]


def test_an_empty_store(store):
    assert store.read().num_rows == 0


def test_only_the_columns_asked_for(store):
    store.write(rows(0, profile_x=[1.0], status="ok"))
    assert store.read(["status", "nothing"]).column_names == ["sigma_w", "sigma_b", "depth", "seed", "status"]


def test_a_point_in_two_parts_counts_once(store):
    store.write(rows(0, 1))
    store.write(rows(1, 2))
    assert sorted(store.read()["seed"].to_pylist()) == [0, 1, 2]


def test_columns_may_differ_in_type_between_parts(store):
    store.write(rows(0, accuracy=None))
    store.write(rows(1, accuracy=0.5))
    assert store.read(["accuracy"]).num_rows == 2


@pytest.mark.parametrize("content", [b"", b"PAR1", b"nonsense" * 100])
def test_damaged_parts_are_named_and_the_others_read(tmp_path, store, content):
    store.write(rows(0))
    (tmp_path / "parts" / "bad.parquet").write_bytes(content)
    assert store.read().num_rows == 1
    assert [p.rsplit("/", 1)[1] for p in store.damaged] == ["bad.parquet"]


def test_a_truncated_part_is_named(tmp_path, store):
    store.write(rows(0))
    (part,) = (tmp_path / "parts").glob("*.parquet")
    part.write_bytes(part.read_bytes()[:-20])
    assert store.read().num_rows == 0 and len(store.damaged) == 1


def test_a_foreign_table_is_named(tmp_path, store):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "parts" / "foreign.parquet")
    assert store.read().num_rows == 0 and len(store.damaged) == 1


def test_a_writer_killed_at_any_moment_leaves_whole_parts(tmp_path):
    code = f"""
        from sweep.store import Store
        store = Store({str(tmp_path)!r}); store.create(); print("go", flush=True)
        row = dict(sigma_w=1.0, sigma_b=0.1, depth=5, epoch_x=[0.0] * 1000)
        for i in range(10**6):
            store.write([row | dict(seed=2 * i), row | dict(seed=2 * i + 1)])
    """
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE)
        writer.stdout.readline()
        time.sleep(0.4)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        store = Store(tmp_path)
        assert store.read().num_rows % 2 == 0 and not store.damaged


@pytest.mark.parametrize("uri", ["nonsense://x", "s3://", "/dev/null/x", "/proc/x"])
def test_a_place_that_cannot_be_used(uri):
    with pytest.raises(StoreError) as caught:
        Store(uri).create()
    assert "\n" not in str(caught.value)


def test_a_file_uri(tmp_path):
    store = Store(f"file://{tmp_path}/elsewhere")
    store.create()
    store.write(rows(0))
    assert Store(tmp_path / "elsewhere").read().num_rows == 1


def test_rows_of_a_part_need_not_have_the_same_columns(tmp_path):
    """A pack may begin with a point that failed, or that was not trained."""
    store = Store(tmp_path)
    store.create()
    point = {"sigma_w": 1.0, "sigma_b": 0.1, "depth": 3}
    store.write([{**point, "seed": 0}, {**point, "seed": 1, "accuracy": 0.5, "epoch_loss": [1.0, 2.0]}])
    rows = store.read().to_pylist()
    assert [r["accuracy"] for r in rows] == [None, 0.5] and rows[1]["epoch_loss"] == [1.0, 2.0]


def test_parts_say_which_sweep_they_belong_to(tmp_path, store):
    Store(tmp_path, "one").write(rows(0))
    Store(tmp_path, "other").write(rows(1))
    pq.write_table(pa.table(KEY | {"seed": [2]}), tmp_path / "parts" / "old.parquet")  # of an older version
    one = Store(tmp_path, "one")
    assert sorted(one.read()["seed"].to_pylist()) == [0, 2]
    assert ["of another sweep, other" in reason for reason in one.damaged.values()] == [True]
    assert store.read().num_rows == 3 and not store.damaged
    schema = pq.read_schema(next(p for p in (tmp_path / "parts").glob("*.parquet") if p.name != "old.parquet"))
    assert schema.metadata[b"schema_version"] == b"1" and schema.metadata[b"sweep"] in (b"one", b"other")


def test_a_part_of_a_newer_format_is_named(tmp_path, store):
    table = pa.table(KEY).replace_schema_metadata({"schema_version": "2", "sweep": "one"})
    pq.write_table(table, tmp_path / "parts" / "new.parquet")
    assert store.read().num_rows == 0 and "version 2" in store.damaged["parts/new.parquet"]


def bomb():
    return pa.table({name: pa.array(values * 2_000_000) for name, values in KEY.items()})


HOSTILE = {
    "text for a number": lambda: pa.table(KEY | {"sigma_w": ["1.0"]}),
    "text in a margin": lambda: pa.table(KEY | {"margin": ["high"]}),
    "a list in a margin": lambda: pa.table(KEY | {"margin": [[1.0]]}),
    "a number in a text": lambda: pa.table(KEY | {"status": [1]}),
    "a truth that is none": lambda: pa.table(KEY | {"margin_censored": [0.5]}),
    "half a step": lambda: pa.table(KEY | {"probe_steps": [0.5]}),
    "half a layer": lambda: pa.table(KEY | {"depth": [5.5]}),
    "a tree in a profile": lambda: pa.table(KEY | {"profile_direct_retained": [[{"a": [[1]]}]]}),
    "no value in a key": lambda: pa.table(KEY | {"seed": pa.array([None], pa.int64())}),
    "nothing but nulls in a key": lambda: pa.table(KEY | {"seed": [None]}),
    "what is no number": lambda: pa.table(KEY | {"sigma_w": [float("nan")]}),
    "a depth below one": lambda: pa.table(KEY | {"depth": [0]}),
    "a sigma_w of zero": lambda: pa.table(KEY | {"sigma_w": [0.0]}),
    "a status that is none": lambda: pa.table(KEY | {"status": ["fine"], "margin": [1.0]}),
    "no status": lambda: pa.table(KEY | {"status": [None], "margin": [1.0]}),
    "no margin": lambda: pa.table(KEY | {"status": ["ok"], "margin": pa.array([None], pa.float64())}),
    "no column margin": lambda: pa.table(KEY | {"status": ["ok"]}),
    "two columns of one name": lambda: pa.table([[1.0]] * 6, names=[*KEY, "status", "status"]),
    "no column status": lambda: pa.table(KEY | {"margin": [1.0]}),
    "more rows than a pack has": bomb,
}


def test_whole_numbers_beyond_those_of_floats_are_numbers(tmp_path, store):
    store.write(rows(1, status="ok", margin=0.5))
    pq.write_table(pa.table(KEY | {"status": ["ok"], "margin": [2**62 + 1]}), tmp_path / "parts" / "odd.parquet")
    assert sorted(load_points(store)["margin"]) == [0.5, 2.0**62] and not store.damaged


@pytest.mark.parametrize("what", HOSTILE)
def test_what_no_sweep_writes_is_named_and_set_aside(tmp_path, store, what):
    store.write(rows(1, status="ok", probe_steps=3, margin_censored=False, profile_direct_retained=[1.0]))
    store.write(rows(2, status="failed", margin=None))
    pq.write_table(HOSTILE[what](), tmp_path / "parts" / "bad.parquet")
    assert load_points(store)["seed"].tolist() == [1, 2]
    assert list(store.damaged) == ["parts/bad.parquet"] and len(store.damaged["parts/bad.parquet"]) > 10
    assert list(store.set_aside()) == ["parts/bad.parquet"] and store.aside() == ["damaged/bad.parquet"]
    assert len(load_points(store)) == 2 and not store.damaged


def test_columns_that_are_not_known_do_no_harm(tmp_path, store):
    store.write(rows(0, status="ok"))
    table = pa.table(KEY | {"seed": [1], "status": ["ok"], "margin": [0.1], "later": [[{"a": 1}]]})
    pq.write_table(table, tmp_path / "parts" / "a.parquet")
    pq.write_table(pa.table(KEY | {"seed": [2], "later": ["x"]}), tmp_path / "parts" / "b.parquet")
    assert sorted(store.read()["seed"].to_pylist()) == [0, 1, 2] and not store.damaged


def test_pandas_metadata_is_not_believed(tmp_path, store):
    table = pa.table(KEY | {"status": ["ok"], "margin": [0.1]}).replace_schema_metadata({"pandas": "{nonsense"})
    pq.write_table(table, tmp_path / "parts" / "a.parquet")
    assert len(load_points(store)) == 1


@pytest.fixture
def odd(tmp_path, store):
    """A store with a good part and everything else that a folder can hold; what must be named."""
    parts, elsewhere = tmp_path / "parts", tmp_path / "elsewhere"
    store.write(rows(0, status="ok"))
    elsewhere.mkdir()
    (elsewhere / "precious.txt").write_text("mine")
    (parts / "notes.txt").write_text("hello")
    (parts / "empty.parquet").touch()
    (parts / "folder.parquet").mkdir()
    (parts / "folder.parquet" / "inner.parquet").touch()
    (parts / "pickle.pkl").write_bytes(b"cposix\nsystem\n.")
    (parts / "dangling.parquet").symlink_to(tmp_path / "nowhere")
    (parts / "loop.parquet").symlink_to("loop.parquet")
    (parts / "link.parquet").symlink_to(elsewhere / "precious.txt")
    (parts / "linked-folder").symlink_to(elsewhere)
    (parts / "device.parquet").symlink_to("/dev/zero")
    os.mkfifo(parts / "pipe.parquet")
    (parts / "line\nbreak\x1b[31m.parquet").touch()
    (parts / ".hidden").touch()
    with open(os.fsencode(parts) + b"/\xff.parquet", "wb"):
        pass
    named = {e for e in os.listdir(parts) if e.isprintable()} - {p.name for p in parts.glob("part-*.parquet")}
    return named | {r"line\nbreak\x1b[31m.parquet", r"\udcff.parquet"}


def test_whatever_stands_among_the_parts_is_named_and_set_aside(tmp_path, store, odd):
    assert store.read().num_rows == 1
    assert {name.removeprefix("parts/") for name in store.damaged} == odd and len(odd) == 13
    assert all(reason and reason.isprintable() for reason in store.damaged.values())
    assert {name.removeprefix("parts/") for name in store.set_aside()} == odd
    assert {name.removeprefix("damaged/") for name in store.aside()} == odd
    assert len(os.listdir(tmp_path / "parts")) == 1 and store.read().num_rows == 1 and not store.damaged
    assert (tmp_path / "elsewhere" / "precious.txt").read_text() == "mine"
    assert os.readlink(tmp_path / "damaged" / "linked-folder") == str(tmp_path / "elsewhere")
    assert store.set_aside() == {}


def test_a_name_that_was_set_aside_before_is_kept(tmp_path, store):
    for text in "ab":
        (tmp_path / "parts" / "notes.txt").write_text(text)
        store.set_aside()
    assert sorted(p.read_text() for p in (tmp_path / "damaged").iterdir()) == ["a", "b"]


def test_what_a_killed_driver_leaves_is_no_damage_and_removed(tmp_path, store):
    store.write(rows(0, status="ok"))
    leftovers = [f"{'a' * 32}.parquet.tmp", f"part-{'b' * 32}.parquet.{'c' * 8}.tmp", f".writable-{'d' * 32}"]
    for name in leftovers:
        (tmp_path / "parts" / name).write_bytes(b"PAR1")
    assert store.read().num_rows == 1 and not store.damaged
    assert store.set_aside() == {} and len(os.listdir(tmp_path / "parts")) == 1


def test_a_flipped_bit_anywhere_is_harmless_or_named(tmp_path, store):
    """No number is ever read that was not written, and no column is forgotten: parts have a checksum."""
    written = rows(*range(20), status="ok", profile_direct_retained=[0.25, 0.5])
    store.write(written)
    (part,) = (tmp_path / "parts").glob("*.parquet")
    old = part.with_name(f"{'a' * 32}.parquet")
    whole, dice = part.read_bytes(), random.Random(0)
    for _ in range(200):
        data = bytearray(whole)
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        part.write_bytes(data)
        assert store.read(list(KINDS)).num_rows == 0 and len(store.damaged) == 1
        part.rename(old)  # as older versions call them: whatever is read then, nothing is raised
        store.read(list(KINDS))
        old.rename(part)
    for length in range(0, len(whole), 97):
        part.write_bytes(whole[:length])
        assert store.read().num_rows == 0 and len(store.damaged) == 1


class Flaky(fs.FileSystemHandler):
    """A filesystem that fails so many times at everything that reads."""

    def __init__(self, failures):
        self.inner, self.left = fs.LocalFileSystem(), failures

    def _fail(self):
        if self.left:
            self.left -= 1
            raise OSError(errno.EIO, "the storage is on fire")

    def open_input_file(self, path):
        self._fail()
        return self.inner.open_input_file(path)

    def get_file_info_selector(self, selector):
        self._fail()
        return self.inner.get_file_info(selector)

    def __eq__(self, other):
        return self is other

    def __ne__(self, other):
        return self is not other


for _name in Flaky.__abstractmethods__:
    setattr(Flaky, _name, lambda self, *a, _name=_name, **k: getattr(self.inner, _name)(*a, **k))
Flaky.__abstractmethods__ = frozenset()


@pytest.mark.parametrize("failures", [1, 2, 3, 4, 5])
def test_a_storage_that_fails_for_a_while_damages_nothing(tmp_path, store, monkeypatch, failures):
    monkeypatch.setattr(files, "_WAITS", (0.0, 0.0, 0.0, 0.0))
    store.write(rows(0))
    (tmp_path / "parts" / "bad.parquet").write_bytes(b"nonsense")
    handler = Flaky(failures)
    flaky = Store(tmp_path)
    flaky._fs, flaky._local = fs.PyFileSystem(handler), False
    if failures > 4:
        with pytest.raises(StoreError, match="cannot be read: .*on fire"):
            flaky.read()
    assert flaky.read().num_rows == 1 and list(flaky.damaged) == ["parts/bad.parquet"]
    handler.left = 2  # also where the listing has succeeded
    flaky._list = lambda folder: dict.fromkeys(os.listdir(folder), "file")
    assert flaky.read().num_rows == 1 and list(flaky.damaged) == ["parts/bad.parquet"]
    handler.left = 100
    with pytest.raises(StoreError, match="cannot be read: .*on fire"):
        flaky.read()


def test_writing_the_same_again_changes_nothing(tmp_path, store):
    """Where nobody knows whether a write that failed came through."""
    store.write(rows(0))
    store.write(rows(0))
    assert len(os.listdir(tmp_path / "parts")) == 1


def test_a_file_larger_than_the_memory_is_not_read(tmp_path, store):
    with (tmp_path / "parts" / "huge.parquet").open("wb") as file:
        file.truncate(2**40)
    assert store.read().num_rows == 0 and "more than any pack's" in store.damaged["parts/huge.parquet"]


def test_a_part_that_is_gone_since_it_was_listed_is_no_damage(store):
    store.write(rows(0))
    listed, extra = store._list, iter([{"gone.parquet": "file"}])
    store._list = lambda folder: {**listed(folder), **next(extra, {})}
    assert store.read().num_rows == 1 and not store.damaged


def test_a_folder_that_went_away_while_it_was_read_is_read_again(tmp_path, store):
    store.write(rows(0))
    away, listed = tmp_path / "away", store._list

    def list_and_vanish(folder):
        if away.exists():
            away.rename(tmp_path / "parts")
            store._list = listed
            return listed(folder)
        found = listed(folder)
        (tmp_path / "parts").rename(away)
        return found

    store._list = list_and_vanish
    assert store.read().num_rows == 1 and not store.damaged


def test_files_that_come_and_go_are_not_passed_over(store):
    listed = store._list
    store._list = lambda folder: {**listed(folder), "never.parquet": "file"}
    with pytest.raises(StoreError, match="its files come and go$"):
        store.read()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_a_full_disk_is_said_in_one_line_and_leaves_nothing(tmp_path, store, monkeypatch):
    def full(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="cannot be written: No space left on device$"):
        store.write(rows(0))
    assert os.listdir(tmp_path / "parts") == []
    monkeypatch.undo()
    store.write(rows(0))
    assert store.read().num_rows == 1


def test_a_folder_that_went_away(tmp_path, store):
    (tmp_path / "parts").rmdir()
    with pytest.raises(StoreError, match="No such file or directory$"):
        store.write(rows(0))
    for asked in (store.read, store.check, store.set_aside):
        with pytest.raises(StoreError, match="no such folder$"):
            asked()
    assert not (tmp_path / "parts").exists()


def test_a_link_is_not_written_through(tmp_path):
    victim, target = tmp_path / "victim", tmp_path / "x"
    victim.write_text("mine")
    target.symlink_to(victim)
    files.write_whole(fs.LocalFileSystem(), str(target), b"new")
    assert victim.read_text() == "mine" and target.read_bytes() == b"new" and not target.is_symlink()


@pytest.mark.parametrize(
    "uri", ["s3://KEYKEY:SECRET@bucket/x", "s3://bucket/x?secret_key=SECRET", "s3://KEY:SE/CRET@bucket", "s3://S:E"]
)
def test_a_secret_is_refused_and_not_repeated(uri):
    with pytest.raises(StoreError, match="environment") as caught:
        Store(uri)
    assert not {"SECRET", "KEYKEY", "CRET", "S:E"} & set(str(caught.value).split("'"))
    assert "SECRET" not in str(caught.value) and "KEYKEY" not in str(caught.value)


def test_a_hundred_thousand_points_are_read_at_once(tmp_path):
    """Processor time, not the wall's: other work on the machine must not fail it. Alone it takes half a second."""
    store = Store(tmp_path, "sweep")
    store.create()
    values = {f"direct_{n}": 0.5 for n in ("retained", "horizon", "seconds")} | {"chi_1": 1.0, "xi_c": 2.0}
    texts = {"status": "ok", "error": "", "device": "cpu", "hostname": "here"}
    for part in range(1600):
        seeds = range(64 * part, 64 * part + 64)
        store.write(rows(*seeds, **values, **texts, margin_censored=True, profile_direct_retained=[0.5] * 30))
    store.write(rows(*range(64), **values, **texts, margin_censored=True))
    started = time.process_time()
    table = store.read([name for name in KINDS if not name.startswith(("profile_", "epoch_"))])
    assert time.process_time() - started < 3.0
    assert table.num_rows == 102_400


def test_a_point_that_failed_and_was_measured_after_all_counts_as_measured(tmp_path):
    store = Store(tmp_path)
    store.create()
    key = {"sigma_w": 1.0, "sigma_b": 0.1, "depth": 3}
    for seed, status in ((0, "failed"), (0, "ok"), (1, "ok"), (1, "failed"), (2, "failed")):
        store.write([{**key, "seed": seed, "status": status, "margin": None if status == "failed" else 1.0}])
    assert store.read(["margin"]).column_names == [*KEY, "margin"]
    found = store.read(["status"]).to_pandas().set_index("seed")
    assert found["status"].sort_index().tolist() == ["ok", "ok", "failed"]


def parts_of(store):
    return sorted(os.listdir(store._root))


def later_in(store, name):
    table = pq.read_table(f"{store._root}/{name}")
    return table["later"].to_pylist() if "later" in table.column_names else []


def same(one, other):
    """Whether two tables hold the same rows, in any order."""
    tables = [t.to_pandas().sort_values([*KEY], ignore_index=True) for t in (one, other)]
    pd.testing.assert_frame_equal(tables[0], tables[1][tables[0].columns], check_dtype=False)


@pytest.fixture
def many(store, monkeypatch):
    """A store with a hundred small parts: columns come and go, some hold nothing but nulls."""
    monkeypatch.setattr(os, "fsync", lambda file: None)  # for speed
    dice = random.Random(0)
    for seed in range(100):
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


@pytest.mark.parametrize("large", [2**22, 20_000])
def test_many_small_parts_are_put_together_without_loss(many, monkeypatch, large):
    monkeypatch.setattr(store_module, "_LARGE", large)
    before, points = many.read(), load_points(many)
    assert many.read(["status"]).num_rows == 200
    many.put_together()
    assert len(parts_of(many)) == 1 if large == 2**22 else 5 < len(parts_of(many)) < 20
    same(before, many.read())
    pd.testing.assert_frame_equal(points, load_points(many))
    assert points["status"].tolist()[:3] == ["ok", "ok", "diverged"] and not many.damaged
    names = parts_of(many)
    many.put_together()
    assert parts_of(many) == names


def test_few_parts_and_large_ones_stay_as_they_are(many, monkeypatch):
    names = parts_of(many)
    for name, value in (("_SMALL", 100), ("_MANY", 102)):
        with monkeypatch.context() as patch:
            patch.setattr(store_module, name, value)
            many.put_together()
            assert parts_of(many) == names


def test_what_is_no_good_part_is_not_put_together(tmp_path, many):
    parts = tmp_path / "parts"
    first = parts / parts_of(many)[0]
    first.write_bytes(first.read_bytes()[:-1])
    (parts / "notes.txt").write_text("mine")
    nonsense = pa.BufferOutputStream()
    pq.write_table(pa.table(KEY | {"depth": [0]}), nonsense)
    bad = parts.part_name(nonsense.getvalue())
    (parts / bad).write_bytes(nonsense.getvalue())
    pq.write_table(pa.table(KEY | {"seed": [1000]}), parts / "old.parquet")
    before = many.read()
    many.put_together()
    same(before, many.read())
    named = {first.name, "notes.txt", bad}
    assert set(parts_of(many)) > named | {"old.parquet"} and len(parts_of(many)) == 5
    assert {name.removeprefix("parts/") for name in many.damaged} == named


def test_columns_that_are_not_known_are_not_lost_when_parts_are_put_together(many):
    table = many.read([]).slice(0, 1).replace_schema_metadata(None)
    for seed, value in ((1000, [{"a": 1}]), (1001, "x")):
        many._write(table.set_column(3, "seed", pa.array([seed])).append_column("later", pa.array([value])))
    many.put_together()
    assert len(parts_of(many)) == 3
    for kind in (str, list):
        assert any(isinstance(v, kind) for part in parts_of(many) for v in later_in(many, part))


@pytest.mark.parametrize("when", ["written", "read back", "removed"])
def test_a_fault_while_parts_are_put_together_loses_nothing(many, monkeypatch, when):
    before, left = many.read(), [40]

    def fail(*args):
        left[0] -= 1
        if left[0] < 0 or when == "written":
            raise OSError(errno.EIO, "the storage is on fire")
        return remove(*args)

    remove, part, names = many._remove, many._part, parts_of(many)
    with monkeypatch.context() as patch:
        if when == "read back":
            patch.setattr(
                many, "_part", lambda name, *a: part(name, *a) if name in names else "its content has changed"
            )
            many.put_together()
        else:
            patch.setattr(many, "_remove" if when == "removed" else "_write", fail)
            with pytest.raises(StoreError, match="on fire"):
                many.put_together()
    assert len(parts_of(many)) == {"written": 101, "read back": 101, "removed": 62}[when]
    same(before, many.read())
    many.put_together()
    same(before, many.read())
    assert len(parts_of(many)) <= 62 and not many.damaged
    if when == "removed":  # what was left of the small ones is in the large one already
        monkeypatch.setattr(store_module, "_MANY", 2)
        many.put_together()
        assert len(parts_of(many)) == 1 and many.dataset().count_rows() == 200


def test_a_part_alone_is_not_written_anew(many, monkeypatch):
    monkeypatch.setattr(store_module, "_LARGE", 1)
    monkeypatch.setattr(many, "_write", lambda table: pytest.fail("written"))
    names = parts_of(many)
    many.put_together()
    assert parts_of(many) == names


def test_names_that_are_no_text_are_left_alone(tmp_path, many):
    with open(os.fsencode(tmp_path / "parts") + b"/\xff", "wb") as file:
        file.write(b"x")
    many.put_together()
    assert len(parts_of(many)) == 2 and many.read([]).num_rows == 200


def test_who_reads_while_parts_are_put_together_misses_nothing(tmp_path, many):
    before = many.read()
    reader, merged, once = Store(tmp_path), Store(tmp_path / "merged"), iter([True])
    merged.create()
    listed, names = reader._list, reader.names

    def list_and_put_together(folder):
        found = listed(folder)
        if next(once, False):
            many.put_together()
        return found

    reader._list = list_and_put_together
    same(before, reader.read())
    assert len(parts_of(many)) == 1 and not reader.damaged

    for seed in range(1000, 1100):
        many.write(rows(seed, status="failed"))
    once = iter([True])
    reader._list = listed
    reader.names = lambda: [*names(), *(many.put_together() or () if next(once, False) else ())]
    assert merged.copy(reader) == {} and merged.read(["status"]).num_rows == many.read([]).num_rows == 300


def test_readers_and_one_who_puts_together_at_once(tmp_path, many, monkeypatch):
    monkeypatch.setattr(store_module, "_MANY", 2)
    monkeypatch.setattr(store_module, "_LARGE", 5_000)
    seen, stop = [], threading.Event()

    def look():
        while not stop.is_set():
            seen.append(Store(tmp_path).read(["status"]).num_rows)

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(look) for _ in range(2)]
        for _ in range(3):
            many.put_together()
            time.sleep(0.05)
        stop.set()
    assert [r.result() for r in readers] == [None, None] and set(seen) == {200}
