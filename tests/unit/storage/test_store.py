import errno
import os
import random
import sys
import time

import pyarrow as pa
import pytest
from pyarrow import fs

from sweep.errors import SpecError, StoreError, UnavailableError
from sweep.spec.columns import KINDS
from sweep.storage import files
from sweep.storage.folder import DiskFolder, folder_at
from sweep.storage.parts import PartFormat, table_of
from sweep.storage.store import Store
from tests.helpers.store_contract import FlakyDisk, Place, StoreContract, relist, rows, seeds


class TestOnADisk(StoreContract):
    @pytest.fixture
    def place(self, tmp_path):
        return Place(tmp_path)


@pytest.fixture
def store(tmp_path):
    return Place(tmp_path).store()


@pytest.mark.parametrize("uri", ["nonsense://x", "s3://", "/dev/null/x", "/proc/x"])
def test_a_place_that_cannot_be_used(uri):
    with pytest.raises(SpecError if "://" in uri else StoreError) as caught:
        Store(uri).create()
    assert not isinstance(caught.value, UnavailableError)
    assert "\n" not in str(caught.value)


def test_a_file_uri(tmp_path):
    store = Store(f"file://{tmp_path}/elsewhere")
    store.create()
    store.write(rows(0))
    assert seeds(Store(tmp_path / "elsewhere").read()) == [0]


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
    reading = store.read()
    assert reading.rows.num_rows == 1
    assert {name.removeprefix("parts/") for name in reading.damaged} == odd and len(odd) == 13
    assert all(reason and reason.isprintable() for reason in reading.damaged.values())
    assert {name.removeprefix("parts/") for name in store.set_aside()} == odd
    assert {name.removeprefix("damaged/") for name in store.damaged_files()} == odd
    reading = store.read()
    assert len(os.listdir(tmp_path / "parts")) == 1 and reading.rows.num_rows == 1 and not reading.damaged
    assert (tmp_path / "elsewhere" / "precious.txt").read_text() == "mine"
    assert os.readlink(tmp_path / "damaged" / "linked-folder") == str(tmp_path / "elsewhere")
    assert store.set_aside() == {}


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
        reading = store.read(list(KINDS))
        assert reading.rows.num_rows == 0 and len(reading.damaged) == 1
        part.rename(old)  # as older versions call them: whatever is read then, nothing is raised
        store.read(list(KINDS))
        old.rename(part)
    for length in range(0, len(whole), 97):
        part.write_bytes(whole[:length])
        reading = store.read()
        assert reading.rows.num_rows == 0 and len(reading.damaged) == 1


class Flaky(FlakyDisk):
    """A filesystem that fails so many times at everything that reads."""

    def __init__(self, failures):
        super().__init__()
        self.left = failures

    def fail(self):
        if self.left:
            self.left -= 1
            raise OSError(errno.EIO, "the storage is on fire")


@pytest.mark.parametrize("failures", [1, 2, 3, 4, 5])
def test_a_storage_that_fails_for_a_while_damages_nothing(tmp_path, store, monkeypatch, failures):
    monkeypatch.setattr(files, "_RETRY_DELAYS_S", (0.0, 0.0, 0.0, 0.0))
    store.write(rows(0))
    (tmp_path / "parts" / "bad.parquet").write_bytes(b"nonsense")
    handler = Flaky(failures)
    flaky = Store(tmp_path)
    flaky.folder = folder_at(fs.PyFileSystem(handler), str(tmp_path / "parts"))

    def check():
        reading = flaky.read()
        assert seeds(reading) == [0] and list(reading.damaged) == ["parts/bad.parquet"]

    if failures > 4:
        with pytest.raises(StoreError, match="cannot be read: .*on fire"):
            flaky.read()
    check()
    flaky.folder.kinds = lambda: dict.fromkeys(os.listdir(tmp_path / "parts"), "file")
    handler.left = 2  # also where the listing has succeeded
    check()
    handler.left = 100
    with pytest.raises(StoreError, match="cannot be read: .*on fire"):
        flaky.read()


def test_a_file_larger_than_the_memory_is_not_read(tmp_path, store):
    with (tmp_path / "parts" / "huge.parquet").open("wb") as file:
        file.truncate(2**40)
    reading = store.read()
    assert reading.rows.num_rows == 0 and "more than any part of a sweep" in reading.damaged["parts/huge.parquet"]


def test_a_folder_that_went_away_while_it_was_read_is_read_again(tmp_path, store):
    store.write(rows(0))
    away, times = tmp_path / "away", iter([1, 2])

    def vanish(listed):
        if next(times, 0) == 1:
            (tmp_path / "parts").rename(away)
        return listed

    def come_back(folder, name, check):
        if away.exists():
            away.rename(tmp_path / "parts")
            raise FileNotFoundError
        return DiskFolder.read(folder, name, check)

    relist(store.folder, vanish)
    store.folder.read = come_back.__get__(store.folder)
    reading = store.read()
    assert reading.rows.num_rows == 1 and not reading.damaged and next(times, None) is None


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
    assert store.read().rows.num_rows == 1


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
    with pytest.raises(SpecError, match="environment") as caught:
        Store(uri)
    assert not {"SECRET", "KEYKEY", "CRET", "S:E"} & set(str(caught.value).split("'"))
    assert "SECRET" not in str(caught.value) and "KEYKEY" not in str(caught.value)


def test_a_hundred_thousand_points_are_read_at_once(tmp_path, store, monkeypatch):
    """Processor time, not the wall's: other work on the machine must not fail it. Alone it takes half a second."""
    monkeypatch.setattr(os, "fsync", lambda file: None)  # writing is not what is measured
    values = {f"direct_{n}": 0.5 for n in ("retained", "horizon", "seconds")} | {"chi_1": 1.0, "xi_c": 2.0}
    texts = {"status": "ok", "error": "", "device": "cpu", "hostname": "here"}
    more = {**values, **texts, "margin_censored": True, "profile_direct_retained": [0.5] * 30}
    table, format = table_of(rows(*range(64), **more)), PartFormat("sweep")
    at = table.column_names.index("seed")
    for part in range(1600):
        format.write(store.folder, table.set_column(at, "seed", pa.array(range(64 * part, 64 * part + 64))))
    store.write(rows(*range(64), **values, **texts, margin_censored=True))
    started = time.process_time()
    reading = store.read([name for name in KINDS if not name.startswith(("profile_", "epoch_"))])
    assert time.process_time() - started < 3.0
    assert reading.rows.num_rows == 102_400 and len(reading.parts) == 1601
