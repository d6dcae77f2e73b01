import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sweep
from sweep.errors import SpecError
from sweep.results.export import read_table, write_table
from sweep.spec.columns import COLUMNS, DTYPES, LATER, described
from sweep.spec.options import TABLES

KINDS = ("csv", "parquet", "json")


def same(one, other):
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    assert one.attrs == other.attrs


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("count", [0, 1, 30])
def test_what_was_written_is_read(make_sweep, tmp_path, table, kind, count):
    frame = make_sweep(count=count, failed=min(count, 1)).table(table)
    path = tmp_path / f"x.{kind}"
    write_table(frame, None, str(path))
    same(read_table(path, table), frame)
    if len(frame) or kind != "json":
        same(read_table(path), frame)


@pytest.mark.parametrize("kind", KINDS)
def test_several_sweeps_in_one_table(make_sweep, tmp_path, kind):
    paths = [make_sweep(count=n, folder=f"{n}").path for n in (12, 3)]
    frame = sweep.load(paths).points
    write_table(frame, kind, str(tmp_path / "x"))
    same(read_table(tmp_path / "x", kind=kind), frame)


numbers = st.floats(width=64) | st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 5e-324, 0.1 + 0.2, 1e22])
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12) | st.sampled_from(
    ["", "NA", "nan", "null", "None", "Infinity", '"', "a,b", "line\nline\r\nline\r", "<b>&", "True", "1.0", " x ", "#"]
)
wholes = st.integers(-(2**62), 2**62)
VALUES = {
    "float64": numbers,
    "str": texts,
    "boolean": st.sampled_from([True, False, pd.NA]),
    "Int64": wholes | st.just(pd.NA),
    "int64": wholes,
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), table=st.sampled_from(TABLES), rows=st.integers(0, 4), kind=st.sampled_from(KINDS))
def test_any_values_are_read_again(data, table, rows, kind, tmp_path):
    columns = {
        n: pd.Series(data.draw(st.lists(VALUES[DTYPES[n]], min_size=rows, max_size=rows)), dtype=DTYPES[n])
        for n in COLUMNS[table]
    }
    frame = described(pd.DataFrame(columns), table)
    path = tmp_path / f"x.{kind}"
    write_table(frame, kind, str(path))
    again = read_table(path, table)
    same(again, frame)
    for name in frame.select_dtypes("float64"):
        assert np.array_equal(np.signbit(again[name]), np.signbit(frame[name])) or frame[name].isna().any()


def test_large_whole_numbers_beside_missing_ones(make_sweep, tmp_path):
    frame = make_sweep(count=2).points
    frame["direct_images"] = pd.array([2**53 + 1, None], dtype="Int64")
    for kind in KINDS:
        write_table(frame, kind, str(tmp_path / "x"))
        same(read_table(tmp_path / "x", kind=kind), frame)


def test_a_carriage_return_ends_no_line(make_sweep, tmp_path):
    frame = make_sweep(count=2, failed=1).points
    frame["error"] = ["a\rb, c", "\r"]
    write_table(frame, "csv", str(tmp_path / "x"))
    same(read_table(tmp_path / "x", kind="csv"), frame)


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_of_before_some_columns(make_sweep, tmp_path, kind):
    frame = make_sweep(count=3).points
    frame[["p_trainable", "trainable_depth"]] = math.nan  # which are never missing in a sweep
    frame["trainable_depth_censored"] = pd.array([None] * 3, dtype="boolean")
    write_table(frame.drop(columns=[n for n in frame if n in LATER]), kind, str(tmp_path / "x"))
    again = read_table(tmp_path / "x", kind=kind)
    same(again, frame)
    assert LATER & set(again) and again[list(LATER & set(again))].isna().all(axis=None)
    write_table(frame.drop(columns="xi_c"), kind, str(tmp_path / "x"))
    with pytest.raises(SpecError, match="other columns"):
        read_table(tmp_path / "x", kind=kind)


def test_json_is_what_others_can_read(make_sweep, tmp_path):
    write_table(make_sweep(count=2, failed=1).points, "json", str(tmp_path / "x"))

    def refuse(constant):
        raise AssertionError(constant)

    records = json.loads((tmp_path / "x").read_text(), parse_constant=refuse)
    assert {r["xi_c"] for r in records} == {None, "Infinity"} and {r["accuracy"] for r in records} == {None}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", b"a,b\n1,2\n", "other columns"),
        ("x.csv", b"", "cannot be read"),
        ("x.json", b"[{", "cannot be read"),
        ("x.parquet", b"PAR1", "cannot be read"),
        ("x.csv", ",".join(COLUMNS["truth"]).encode() + b"\nx,0,1,1,0,1,0,0\n", "that the table truth cannot hold"),
    ],
)
def test_what_is_no_table(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SpecError, match=message):
        read_table(tmp_path / name)


def test_no_file(tmp_path):
    with pytest.raises(SpecError, match="No such file"):
        read_table(tmp_path / "x.csv")
