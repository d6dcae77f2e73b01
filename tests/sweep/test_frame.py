import csv
import io
import json

import numpy as np
import pandas as pd
import pytest

import sweep
from sweep.export import write_table
from sweep.frame import COLUMNS, TABLES
from sweep.spec import SpecError, SweepSpec


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
    from sweep.frame import row

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
    from sweep.frame import SPEC_FILE, Results, row

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


@pytest.mark.parametrize("table", TABLES)
def test_exports_lose_nothing(make_sweep, tmp_path, table):
    frame = make_sweep(failed=1).table(table)
    readers = {
        "csv": lambda p: pd.DataFrame(list(csv.DictReader(p.read_text().splitlines())), columns=frame.columns),
        "parquet": pd.read_parquet,
        "json": lambda p: pd.DataFrame(json.loads(p.read_text()), columns=frame.columns),
    }
    for kind, read in readers.items():
        path = tmp_path / f"{table}.{kind}"
        write_table(frame, None, str(path))
        again = read(path)
        assert list(again.columns) == list(frame.columns) and len(again) == len(frame)
        for name in ("sigma_b", "depth"):
            np.testing.assert_array_equal(again[name].to_numpy(float), frame[name].to_numpy(float))


def test_export_to_standard_output(make_sweep, capfdbinary):
    frame = make_sweep().points
    write_table(frame, "parquet", None)
    assert len(pd.read_parquet(io.BytesIO(capfdbinary.readouterr().out))) == 64


def test_no_sweep_there(tmp_path):
    with pytest.raises(SpecError, match="is no sweep"):
        sweep.load(tmp_path)
