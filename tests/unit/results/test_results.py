import io

import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pytest

import sweep
from sweep.errors import SpecError
from sweep.results.export import write_table
from sweep.spec.columns import COLUMNS, DTYPES, POINT
from sweep.spec.options import TABLES
from sweep.spec.spec import SweepSpec
from tests.helpers import ROOT


def test_tables_have_the_documented_columns(make_sweep):
    results = make_sweep(failed=2)
    for name in TABLES:
        frame = results.table(name)
        assert list(frame.columns) == list(COLUMNS[name]) == list(frame.attrs["columns"])


def test_points(make_sweep):
    points = make_sweep(failed=3).points
    assert len(points) == 64 and (points["status"] == "failed").sum() == 3
    failed = points[points["status"] == "failed"].iloc[0]
    assert failed["error"] == "RuntimeError: <b>no & luck</b>" and np.isnan(failed["margin"])
    assert points["margin_censored"].dtype == "boolean" and points["probe_steps"].dtype == "Int64"
    assert points["accuracy"].isna().all()


def test_profiles_are_long(make_sweep):
    results = make_sweep(failed=1)
    profiles = results.profiles
    measured = results.points[results.points["status"] == "ok"]
    assert len(profiles) == measured["depth"].sum()
    for seed, rows in profiles.groupby("seed"):
        depth = int(measured.set_index("seed").loc[seed, "depth"])
        assert rows["layer"].tolist() == list(range(1, depth + 1))
        np.testing.assert_allclose(rows["direct_retained"], np.linspace(1, 0.3, depth))
    assert profiles["cascade_retained"].isna().all()


@pytest.mark.parametrize("count", [0, 1])
def test_tables_of_hardly_anything(make_sweep, count):
    results = make_sweep(count=count)
    assert len(results.points) == count and len(results.truth) == len(results.boundary) == 0
    assert (len(results.profiles) > 0) == (count > 0)


def test_curves_become_the_truth_table(tmp_path, make_sweep):
    from probes import Measurement, Point
    from sweep.spec.rows import row

    results = make_sweep(count=2)
    m = Measurement(
        Point(1.0, 0.1, 9, 99),
        "ok",
        "",
        {"margin": 0.1, "margin_censored": False, "accuracy": 0.7, "chance": 0.1},
        {},
        {
            "lr": np.array([0.1, 0.2, 0.2]),
            "epoch": np.array([1, 1, 2]),
            "accuracy": np.array([0.3, 0.5, 0.7]),
            "loss": np.array([2.0, 1.0, np.inf]),
        },
    )
    results.store.write([row(m)])
    truth = sweep.load(results.path).truth
    assert truth["lr"].tolist() == [0.1, 0.2, 0.2] and truth["epoch"].tolist() == [1, 1, 2]
    assert truth["accuracy"].tolist() == [0.3, 0.5, 0.7]
    assert (truth["seed"] == 99).all()


def test_trained_is_half_way_to_the_best_unless_the_level_is_given(tmp_path):
    from probes import Measurement, Point
    from sweep.results.results import Results
    from sweep.spec.rows import row
    from sweep.storage.sweep_files import SPEC_FILE

    def trainable(accuracies, **keys):
        path = tmp_path / str(len(list(tmp_path.iterdir())))
        path.mkdir()
        SweepSpec(points=4, train="all", **keys).save(path / SPEC_FILE)
        results: Results = sweep.load(path)
        results.store.create()
        for i, accuracy in enumerate(accuracies):
            known = {"margin": 0.0, "margin_censored": False}
            known |= {} if accuracy is None else {"accuracy": accuracy, "chance": 0.1}
            results.store.write([row(Measurement(Point(1.0, 0.1, 9, i), "ok", "", known))])
        known = results.points["trainable"]
        assert known.dtype == "boolean"
        return [None if pd.isna(v) else bool(v) for v in known], results.level

    assert trainable([0.2, 0.54, 0.56, 1.0]) == ([False, False, True, True], pytest.approx(0.55))
    assert trainable([0.2, 0.54, None, 0.6], level=0.4) == ([False, True, None, True], 0.4)
    # Nothing was learnt: the best of many is no level.
    assert trainable([0.1, 0.12, 0.14, 0.13]) == ([False] * 4, pytest.approx(0.19))


def test_export_to_standard_output(make_sweep, capfdbinary):
    frame = make_sweep().points
    write_table(frame, "parquet", None)
    assert len(pd.read_parquet(io.BytesIO(capfdbinary.readouterr().out))) == 64


def test_no_sweep_there(tmp_path):
    with pytest.raises(SpecError, match="is no sweep"):
        sweep.load(tmp_path)


@pytest.mark.parametrize("count", [0, 1, 30])
def test_every_column_has_its_type_whatever_is_in_it(make_sweep, count):
    results = make_sweep(count=count, failed=min(count, 1))
    for table in TABLES:
        frame = results.table(table)
        assert {n: str(t) for n, t in frame.dtypes.items()} == {n: DTYPES[n] for n in COLUMNS[table]}
        assert frame.attrs["schema_version"] == "1"


def same(one, other):
    pd.testing.assert_frame_equal(one.reset_index(drop=True), other.reset_index(drop=True), check_exact=True)


def test_some_of_the_profiles(make_sweep):
    results = make_sweep(failed=2)
    every = results.profiles
    depth = int(every["depth"].iloc[0])
    same(results.profiles_at(depth=depth), every[every["depth"] == depth])
    same(results.profiles_at(depth=[depth, 60, 7]), every[every["depth"].isin([depth, 60, 7])])
    same(results.profiles_at(layer=9), every[every["layer"] == 9])
    same(results.profiles_at(layer=[2, 9, 30]), every[every["layer"].isin([2, 9, 30])])
    same(results.profiles_at(depth=depth, layer=depth), every[(every["depth"] == depth) & (every["layer"] == depth)])
    some = results.points[results.points["sigma_w"] > 2]
    seeds = some["seed"]  # those of this sweep are all different
    same(results.profiles_at(points=some), every[every["seed"].isin(seeds)])
    assert len(results.profiles_at(points=some.assign(sigma_b=some["sigma_b"] / 2))) == 0
    assert list(results.profiles_at(columns=["direct_retained"]).columns) == [*POINT, "layer", "direct_retained"]
    for none in ({"depth": 61}, {"layer": 61}, {"depth": []}, {"points": some.iloc[:0]}):
        assert len(results.profiles_at(**none)) == 0


@pytest.mark.parametrize("wrong", [{"layer": 0}, {"layer": 1.5}, {"layer": []}, {"columns": ["margin"]}])
def test_profiles_that_there_are_not(make_sweep, wrong):
    with pytest.raises(SpecError, match="must be"):
        make_sweep(count=1).profiles_at(**wrong)


def test_lists_of_different_lengths_are_filled(make_sweep):
    results = make_sweep(count=0)
    point = {"sigma_w": 1.0, "sigma_b": 0.1, "depth": 3, "status": "ok", "margin": 0.0}
    results.store.write([{**point, "seed": 2, "profile_direct_retained": [1.0, 0.5, 0.2]}])
    shorter = {"profile_cascade_retained": [0.9], "profile_direct_retained": [1.0, 0.4]}
    results.store.write([{**point, "seed": 1, **shorter}])
    results.store.write([{**point, "seed": 3}])
    profiles = results.profiles
    assert profiles["seed"].tolist() == [1, 1, 2, 2, 2] and profiles["layer"].tolist() == [1, 2, 1, 2, 3]
    np.testing.assert_array_equal(profiles["direct_retained"], [1.0, 0.4, 1.0, 0.5, 0.2])
    np.testing.assert_array_equal(profiles["cascade_retained"], [0.9, np.nan, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(results.profiles_at(layer=2)["direct_retained"], [0.4, 0.5])


def test_the_parts_as_a_dataset(make_sweep):
    results = make_sweep(failed=2)
    (results.path / "parts" / "nonsense.parquet").write_bytes(b"PAR1")
    columns = ["depth", "profile_direct_retained", "accuracy"]
    deep = results.dataset.to_table(filter=ds.field("depth") > 40, columns=columns)
    assert deep.num_rows == (results.points["depth"] > 40).sum() > 5
    assert deep.schema.field("accuracy").type == "double"  # which no part has
    lists = deep.filter(ds.field("profile_direct_retained").is_valid())["profile_direct_retained"]
    assert all(len(one) > 40 for one in lists.to_pylist())
    assert sweep.load(ROOT / "tests" / "data" / "ca606a3").dataset.count_rows() == 12


def test_several_sweeps_together(make_sweep):
    one, other = make_sweep(count=20, folder="one"), make_sweep(count=0, folder="none")
    third = make_sweep(SweepSpec(activation="erf"), count=30, folder="third")
    joined = sweep.load([one.path, other.path, third.path])
    names = [str(one.path), str(other.path), str(third.path)]
    assert list(joined.sweeps) == names
    for table in TABLES:
        frame = joined.table(table)
        assert list(frame.columns) == ["sweep", *COLUMNS[table]] == list(frame.attrs["columns"])
        for results, name in zip((one, other, third), names, strict=True):
            same(frame[frame["sweep"] == name].drop(columns="sweep"), results.table(table))
    same(joined.points, joined.table("points"))
    assert joined.profiles_at(layer=5).groupby("sweep").size().sum() == len(one.profiles_at(layer=5)) + len(
        third.profiles_at(layer=5)
    )
    assert joined.boundary_at([20])["depth"].unique().tolist() == [20]


def test_together_with_itself_or_nothing(make_sweep):
    path = make_sweep(count=1).path
    with pytest.raises(SpecError, match="different sweeps"):
        sweep.load([path, f"{path}/."])
    with pytest.raises(SpecError, match="at least one"):
        sweep.load([])


def test_history(make_sweep):
    history = make_sweep(count=100).history
    assert history["points"].iloc[0] == 10 and history["points"].iloc[-1] == 100
    assert history["expected_error"].iloc[-1] < history["expected_error"].iloc[0] / 3
    assert len(make_sweep(count=9, folder="few").history) == 0
