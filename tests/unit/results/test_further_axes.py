"""Further axes in tables, files and merged sweeps."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sweep.errors import SpecError
from sweep.results.export import read_table, write_table
from sweep.results.loading import load
from sweep.results.merge import merge
from sweep.spec.columns import COLUMNS
from sweep.spec.spec import SweepSpec
from sweep.storage.store import Store
from tests.helpers.landscape import made_up_sweep

WIDE = SweepSpec(points=24, axis=("width 16 256 log",))
BOTH = SweepSpec(points=24, axis=("lr 0.001 1 log", "width 16 256 log"), train="all", sigma_b=(0.3, 0.3))


@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
@pytest.mark.parametrize("spec", [WIDE, BOTH])
def test_they_are_columns_of_every_table_and_are_read_again(make_sweep, tmp_path, kind, spec):
    results = make_sweep(spec, count=24, shift=0.0 if spec.train == "all" else None)
    for name in ("points", "profiles", "boundary"):
        table = results.table(name)
        further = [n for n in spec.further_names if n not in COLUMNS[name]]
        assert list(table.columns) == [*COLUMNS[name], *further]
        assert table["width"].dtype == "int64" and table.attrs["columns"]["width"] == "value of the further axis width"
        write_table(table, kind, str(tmp_path / f"{name}.{kind}"))
        pd.testing.assert_frame_equal(read_table(tmp_path / f"{name}.{kind}"), table, check_dtype=True)
    assert results.points["lr"].notna().all() == ("lr" in spec.further_names)


def test_other_columns_are_not_taken_for_an_axis(make_sweep, tmp_path):
    table = make_sweep(WIDE, count=12).points
    write_table(table[["width", *table.columns[:-1]]], "csv", str(tmp_path / "first.csv"))
    write_table(table.rename(columns={"width": "layer"}), "csv", str(tmp_path / "layer.csv"))
    for name in ("first", "layer"):
        with pytest.raises(SpecError, match="must hold the table"):
            read_table(tmp_path / f"{name}.csv", "points")


def test_points_that_differ_in_them_alone_are_different_points(tmp_path, make_sweep):
    results = make_sweep(WIDE, count=12)
    (row,) = results.store.read().rows.slice(0, 1).to_pylist()
    store = Store(tmp_path / "twice", WIDE.digest, WIDE.further_names)
    store.create()
    store.write([row, {**row, "width": row["width"] + 1}])
    store.write([row])
    assert store.read().rows.num_rows == 2
    store.compact()
    assert sorted(store.read(["width"]).rows["width"].to_pylist()) == [row["width"], row["width"] + 1]


def test_a_part_without_them_is_of_another_sweep(tmp_path, make_sweep):
    results = make_sweep(WIDE, count=12)
    rows = [{k: v for k, v in row.items() if k != "width"} for row in results.store.read().rows.to_pylist()]
    store = Store(tmp_path / "other", WIDE.digest)
    store.create()
    store.write(rows)
    reading = Store(tmp_path / "other", WIDE.digest, ["width"]).read()
    assert reading.rows.num_rows == 0 and "it has no column width" in str(reading.damaged)


def test_profiles_of_some_points(make_sweep):
    results = make_sweep(WIDE, count=12)
    some = results.points.iloc[:3]
    profiles = results.profiles_at(points=some, columns=["direct_retained"])
    assert set(profiles["width"]) == set(some["width"]) and len(profiles) == some["depth"].sum()


def test_the_boundary_at_what_is_not_there(make_sweep):
    results = make_sweep(WIDE, count=24)
    with pytest.raises(SpecError, match="`at` width must be from 16 to 256, as in the sweep, got 9"):
        results.boundary_at(at={"width": 9})
    with pytest.raises(SpecError, match="`at` width must be a whole number, as in the sweep, got 20.5"):
        results.boundary_at(at={"width": 20.5})
    with pytest.raises(SpecError, match=r"`at` must name a further axis of the sweep \(width\), got 'heads'"):
        results.boundary_at(at={"heads": 9})


def test_a_grid_as_an_array(make_sweep):
    pytest.importorskip("xarray")
    spec = replace(WIDE, search="grid", points=24)
    results = make_sweep(spec, count=24)
    dataset = results.to_xarray()
    assert "width" in dataset.coords
    boundary = results.to_xarray("boundary")
    assert boundary["lower"].dims == ("depth", "sigma_b", "width") and boundary.sizes["width"] == 3


def test_merged_sweeps(tmp_path):
    narrower = replace(WIDE, axis=("width 8 64 log",))
    a, b = made_up_sweep(tmp_path / "a", WIDE, count=12), made_up_sweep(tmp_path / "b", narrower, count=12)
    both = merge([a.path, b.path], tmp_path / "both")
    assert both.spec.axis == ("width 8 256 log int",)
    # Their points have the same places and seeds, but for the width.
    assert len(both.points) == len({*zip(both.points["seed"], both.points["width"], strict=True)}) > 20
    linear = made_up_sweep(tmp_path / "linear", replace(WIDE, axis=("width 20 30",)), count=12)
    assert merge([a.path, linear.path], tmp_path / "scales").spec.axis == ("width 16 256 int",)
    plain = made_up_sweep(tmp_path / "plain", SweepSpec(points=12), count=12)
    with pytest.raises(SpecError, match="axis"):
        merge([a.path, plain.path], tmp_path / "no")


def test_several_sweeps_together(tmp_path):
    a, plain = made_up_sweep(tmp_path / "a", WIDE, count=12), made_up_sweep(tmp_path / "plain", count=12)
    points = load([a.path, plain.path]).points
    assert points["width"].notna().sum() == 12 and np.isnan(points["width"].iloc[-1])
