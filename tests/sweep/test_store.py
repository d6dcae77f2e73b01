import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from sweep.store import Store, StoreError


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


def test_an_empty_store(tmp_path, store):
    assert store.read().num_rows == 0 and Store(tmp_path / "nowhere").read().num_rows == 0


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
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [1]}), tmp_path / "parts" / "foreign.parquet")
    assert store.read().num_rows == 0 and len(store.damaged) == 1


def test_a_writer_killed_at_any_moment_leaves_whole_parts(tmp_path):
    code = f"""
        from sweep.store import Store
        store = Store({str(tmp_path)!r}); store.create(); print("go", flush=True)
        for i in range(10**6):
            store.write([dict(sigma_w=1.0, sigma_b=0.1, depth=5, seed=2 * i + j, x=[0.0] * 1000) for j in range(2)])
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
