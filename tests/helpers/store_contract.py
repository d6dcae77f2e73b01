"""Tests that every store must pass, on a disk and in a bucket."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from sweep.errors import StoreError
from sweep.results.unfolded import points_of
from sweep.spec.columns import COLUMNS
from sweep.storage.files import filesystem_at
from sweep.storage.store import Store

__all__ = ["FlakyDisk", "KEY", "Place", "StoreContract", "points", "relist", "rows", "seeds"]

KEY = {"sigma_w": [1.0], "sigma_b": [0.1], "depth": [5], "seed": [0]}


def rows(*seeds, **more):
    return [{"sigma_w": 1.0, "sigma_b": 0.1, "depth": 5, "seed": s, "margin": 0.5, **more} for s in seeds]


def seeds(reading):
    return sorted(reading.rows["seed"].to_pylist())


def points(store):
    return points_of(store.read(list(COLUMNS["points"])).rows)


class Place:
    """A folder on a disk or in a bucket, for stores."""

    def __init__(self, path, options=""):
        self._path, self._options = path, options
        self.uri = f"{path}{options}"
        self._fs, self._root = filesystem_at(self.uri)

    def store(self, digest="", folder=None):
        store = Store(f"{self._path}/{folder}{self._options}" if folder else self.uri, digest)
        store.create()
        return store

    def names(self):
        """Return the paths of all files below the folder, sorted."""
        listed = self._fs.get_file_info(fs.FileSelector(self._root, recursive=True, allow_not_found=True))
        return sorted(info.path.removeprefix(self._root + "/") for info in listed if info.is_file)

    def parts(self):
        return [name for name in self.names() if name.startswith("parts/")]

    def get(self, name):
        with self._fs.open_input_file(f"{self._root}/{name}") as file:
            return file.readall()

    def put(self, name, data):
        path = f"{self._root}/{name}"
        self._fs.create_dir(path.rpartition("/")[0], recursive=True)
        with self._fs.open_output_stream(path) as out:
            out.write(data)

    def put_table(self, name, table):
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer)
        self.put(name, buffer.getvalue())


def relist(folder, change):
    """Apply a function to every listing of a folder from now on."""
    listed = folder.kinds
    folder.kinds = lambda: change(listed())


class FlakyDisk(fs.FileSystemHandler):
    """A disk that does not look like one, and calls `fail` before anything is opened or listed."""

    def __init__(self):
        self.inner = fs.LocalFileSystem()

    def fail(self):
        pass

    def open_input_file(self, path):
        self.fail()
        return self.inner.open_input_file(path)

    def open_output_stream(self, path, metadata):
        self.fail()
        return self.inner.open_output_stream(path)

    def create_dir(self, path, recursive):
        self.inner.create_dir(path, recursive=recursive)

    def get_file_info_selector(self, selector):
        self.fail()
        return self.inner.get_file_info(selector)

    def __eq__(self, other):
        return self is other

    def __ne__(self, other):
        return self is not other


for _name in FlakyDisk.__abstractmethods__:
    setattr(FlakyDisk, _name, lambda self, *a, _name=_name, **k: getattr(self.inner, _name)(*a, **k))
FlakyDisk.__abstractmethods__ = frozenset()


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


class StoreContract:
    """Tests of a store, for a class that has a fixture ``place``."""

    @pytest.fixture
    def store(self, place):
        return place.store()

    def test_what_was_written_is_read(self, store):
        store.write(rows(0, 1, profile_x=[1.0, 2.0]))
        store.write(rows(2))
        reading = store.read()
        assert seeds(reading) == [0, 1, 2] and len(reading.parts) == 2 and not reading.damaged
        assert sorted((r["profile_x"] or []) for r in reading.rows.to_pylist()) == [[], [1.0, 2.0], [1.0, 2.0]]

    def test_an_empty_store(self, store):
        assert store.read().rows.num_rows == 0

    def test_only_the_columns_asked_for(self, store):
        store.write(rows(0, profile_x=[1.0], status="ok"))
        assert store.read(["status", "nothing"]).rows.column_names == [*KEY, "status"]
        store.write(rows(0, 1, profile_x=[2.0], status="ok"))
        assert store.read(["profile_x"]).rows.column_names == [*KEY, "profile_x"]

    def test_a_point_in_two_parts_counts_once(self, store):
        store.write(rows(0, 1))
        store.write(rows(1, 2))
        assert seeds(store.read()) == [0, 1, 2]

    def test_columns_may_differ_in_type_between_parts(self, store):
        store.write(rows(0, accuracy=None))
        store.write(rows(1, accuracy=0.5))
        assert store.read(["accuracy"]).rows.num_rows == 2

    def test_rows_of_a_part_need_not_have_the_same_columns(self, store):
        """Write a pack whose first point was not trained."""
        point = {"sigma_w": 1.0, "sigma_b": 0.1, "depth": 3}
        store.write([{**point, "seed": 0}, {**point, "seed": 1, "accuracy": 0.5, "epoch_loss": [1.0, 2.0]}])
        rows = store.read().rows.to_pylist()
        assert [r["accuracy"] for r in rows] == [None, 0.5] and rows[1]["epoch_loss"] == [1.0, 2.0]

    def test_each_part_may_be_narrowed_while_it_is_read(self, store):
        for seed in range(4):
            store.write(rows(seed, seed + 10, status="ok"))
        reading = store.read(["status"], transform=lambda part: part.filter(pa.compute.field("seed") < 3))
        assert seeds(reading) == [0, 1, 2]

    def test_parts_that_were_seen_are_not_read_again(self, place, store):
        store.write(rows(0))
        place.put("parts/notes.txt", b"hello")
        first = store.read_new(set(), ["margin"])
        assert seeds(first) == [0] and "notes.txt" in first.seen and len(first.seen) == 2
        store.write(rows(0, 1))
        store.write(rows(2))
        second = store.read_new(first.seen, ["margin"], max_parts=1)
        third = store.read_new(first.seen | second.seen, ["margin"])
        assert sorted(seeds(second) + seeds(third)) == [0, 1, 2] and not second.damaged
        assert not store.read_new(first.seen | second.seen | third.seen, ["margin"]).seen

    @pytest.mark.parametrize("content", [b"", b"PAR1", b"nonsense" * 100])
    def test_damaged_parts_are_named_and_the_others_read(self, place, store, content):
        store.write(rows(0))
        place.put("parts/bad.parquet", content)
        reading = store.read()
        assert seeds(reading) == [0] and list(reading.damaged) == ["parts/bad.parquet"]

    def test_a_truncated_part_is_named(self, place, store):
        store.write(rows(0))
        (part,) = place.parts()
        place.put(part, place.get(part)[:-20])
        reading = store.read()
        assert reading.rows.num_rows == 0 and "never complete" in reading.damaged[part]

    def test_a_foreign_table_is_named(self, place, store):
        place.put_table("parts/foreign.parquet", pa.table({"a": [1]}))
        reading = store.read()
        assert reading.rows.num_rows == 0 and "no column sigma_w" in reading.damaged["parts/foreign.parquet"]

    def test_parts_say_which_sweep_they_belong_to(self, place, store):
        one = place.store("one")
        one.write(rows(0))
        (part,) = place.parts()
        place.store("other").write(rows(1))
        place.put_table("parts/old.parquet", pa.table(KEY | {"seed": [2]}))  # of an older version
        reading = one.read()
        assert seeds(reading) == [0, 2]
        assert ["of another sweep, other" in reason for reason in reading.damaged.values()] == [True]
        reading = store.read()
        assert reading.rows.num_rows == 3 and not reading.damaged
        metadata = pq.read_schema(pa.BufferReader(place.get(part))).metadata
        assert (metadata[b"schema_version"], metadata[b"sweep"]) == (b"1", b"one")

    def test_a_part_of_a_newer_format_is_named(self, place, store):
        table = pa.table(KEY).replace_schema_metadata({"schema_version": "2", "sweep": "one"})
        place.put_table("parts/new.parquet", table)
        reading = store.read()
        assert reading.rows.num_rows == 0 and "version 2" in reading.damaged["parts/new.parquet"]

    def test_whole_numbers_beyond_those_of_floats_are_numbers(self, place, store):
        store.write(rows(1, status="ok", margin=0.5))
        place.put_table("parts/odd.parquet", pa.table(KEY | {"status": ["ok"], "margin": [2**62 + 1]}))
        assert sorted(points(store)["margin"]) == [0.5, 2.0**62]

    @pytest.mark.parametrize("what", HOSTILE)
    def test_what_no_sweep_writes_is_named_and_set_aside(self, place, store, what):
        store.write(rows(1, status="ok", probe_steps=3, margin_censored=False, profile_direct_retained=[1.0]))
        store.write(rows(2, status="failed", margin=None))
        place.put_table("parts/bad.parquet", HOSTILE[what]())
        reading = store.read(list(COLUMNS["points"]) + ["profile_direct_retained"])
        assert seeds(reading) == [1, 2]
        assert list(reading.damaged) == ["parts/bad.parquet"] and len(reading.damaged["parts/bad.parquet"]) > 10
        assert list(store.set_aside()) == ["parts/bad.parquet"] and store.damaged_files() == ["damaged/bad.parquet"]
        reading = store.read()
        assert seeds(reading) == [1, 2] and not reading.damaged

    def test_columns_that_are_not_known_do_no_harm(self, place, store):
        store.write(rows(0, status="ok"))
        table = pa.table(KEY | {"seed": [1], "status": ["ok"], "margin": [0.1], "later": [[{"a": 1}]]})
        place.put_table("parts/a.parquet", table)
        place.put_table("parts/b.parquet", pa.table(KEY | {"seed": [2], "later": ["x"]}))
        reading = store.read()
        assert seeds(reading) == [0, 1, 2] and not reading.damaged

    def test_pandas_metadata_is_not_believed(self, place, store):
        table = pa.table(KEY | {"status": ["ok"], "margin": [0.1]}).replace_schema_metadata({"pandas": "{nonsense"})
        place.put_table("parts/a.parquet", table)
        assert len(points(store)) == 1

    def test_files_and_folders_that_are_no_parts_are_set_aside(self, place, store):
        store.write(rows(0, status="ok"))
        whole = place.parts()
        place.put("parts/notes.txt", b"hello")
        place.put("parts/sub/deep/inner.parquet", b"x")
        assert set(store.read().damaged) == set(store.set_aside()) == {"parts/notes.txt", "parts/sub"}
        assert place.parts() == whole and place.get("damaged/sub/deep/inner.parquet") == b"x"
        assert store.damaged_files() == ["damaged/notes.txt", "damaged/sub"]
        assert not store.read().damaged and store.set_aside() == {}

    def test_a_name_that_was_set_aside_before_is_kept(self, place, store):
        for text in (b"a", b"b"):
            place.put("parts/notes.txt", text)
            store.set_aside()
        assert sorted(map(place.get, place.names())) == [b"a", b"b"]

    def test_what_a_killed_driver_leaves_is_no_damage_and_removed(self, place, store):
        store.write(rows(0, status="ok"))
        whole = place.names()
        for name in (f"{'a' * 32}.parquet.tmp", f"part-{'b' * 32}.parquet.{'c' * 8}.tmp", f".writable-{'d' * 32}"):
            place.put(f"parts/{name}", b"PAR1")
        reading = store.read()
        assert reading.rows.num_rows == 1 and not reading.damaged
        assert store.set_aside() == {} and place.names() == whole

    def test_writing_the_same_again_changes_nothing(self, place, store):
        """Write again, as is done when nobody knows whether a write that failed came through."""
        store.write(rows(0))
        store.write(rows(0))
        assert len(place.names()) == 1

    def test_a_point_that_failed_and_was_measured_after_all_counts_as_measured(self, store):
        for seed, status in ((0, "failed"), (0, "ok"), (1, "ok"), (1, "failed"), (2, "failed")):
            store.write(rows(seed, status=status, margin=None if status == "failed" else 1.0))
        assert store.read(["margin"]).rows.column_names == [*KEY, "margin"]
        points = store.read(["status"]).rows.to_pandas().set_index("seed")
        assert points["status"].sort_index().tolist() == ["ok", "ok", "failed"]

    def test_a_part_that_is_gone_since_it_was_listed_is_no_damage(self, store):
        store.write(rows(0))
        extra = iter([{"gone.parquet": "file"}])
        relist(store.folder, lambda listed: {**listed, **next(extra, {})})
        reading = store.read()
        assert reading.rows.num_rows == 1 and not reading.damaged

    def test_files_that_come_and_go_are_not_passed_over(self, store):
        relist(store.folder, lambda listed: {**listed, "never.parquet": "file"})
        with pytest.raises(StoreError, match="its files come and go$"):
            store.read()

    def test_a_copy_holds_the_readable_parts(self, place, store):
        for seed in range(3):
            store.write(rows(seed, status="ok"))
        place.put("parts/notes.txt", b"hello")
        copy = place.store(folder="copy")
        assert list(copy.copy(store)) == ["parts/notes.txt"]
        reading = copy.read()
        assert seeds(reading) == [0, 1, 2] and reading.parts == store.read().parts and not reading.damaged

    def test_a_dataset_streams_the_readable_parts(self, place, store):
        store.write(rows(0, status="ok"))
        store.write(rows(1, 2, status="ok", profile_direct_retained=[1.0, 0.5]))
        place.put("parts/bad.parquet", b"nonsense")
        table = store.dataset().to_table(["seed", "profile_direct_retained"])
        assert sorted(table["seed"].to_pylist()) == [0, 1, 2]
        assert table["profile_direct_retained"].to_pylist().count([1.0, 0.5]) == 2

    def test_few_parts_stay_as_they_are(self, place, store):
        for seed in range(3):
            store.write(rows(seed, status="ok"))
        before = place.names()
        store.compact(lambda: pytest.fail("it began"))
        assert place.names() == before
