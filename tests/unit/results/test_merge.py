import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import sweep
from probes import Point
from sweep.cli.main import main
from sweep.errors import SpecError
from sweep.results.merge import merge
from sweep.search.study import SweepStudy
from sweep.spec.columns import POINT
from sweep.spec.rows import row
from sweep.spec.spec import SweepSpec
from sweep.storage.sweep_files import SPEC_FILE
from tests.helpers import ROOT
from tests.helpers.landscape import made_up


def test_two_sweeps_become_one(make_sweep, tmp_path):
    one = make_sweep(SweepSpec(points=40, sigma_w=(0.5, 1.5), depth=(5, 30)), count=40, folder="one")
    wider = SweepSpec(points=50, sigma_w=(1, 2.5), depth=(10, 60), seed=7)
    other = make_sweep(wider, count=30, failed=2, folder="other")
    both = merge([one.path, other.path], tmp_path / "both")
    assert (both.spec.sigma_w, both.spec.sigma_b, both.spec.depth) == ((0.5, 2.5), (0.05, 1.0), (5, 60))
    assert both.spec.points == 90 and both.spec.digest == one.spec.digest  # 20 of the second are still to come
    joined = sweep.load([one.path, other.path])
    for table in ("points", "profiles"):
        expected = joined.table(table).drop(columns="sweep").sort_values([*POINT], kind="stable", ignore_index=True)
        found = both.table(table)
        np.testing.assert_array_equal(found["sigma_w"], expected["sigma_w"])
        np.testing.assert_array_equal(found["direct_retained"], expected["direct_retained"])
    assert len(both.boundary) and [s["points"] for s in json.loads((both.path / "merged.json").read_text())] == [40, 30]
    assert len(merge([both.path, one.path], tmp_path / "again").points) == 70


def test_a_merged_sweep_goes_on(make_sweep, tmp_path):
    one, other = (make_sweep(SweepSpec(points=n, seed=n), count=n, folder=f"{n}") for n in (20, 30))
    other.store.write([row(made_up(Point(1.0, 0.5, 9, s))) for s in (98, 99)])
    both = merge([one.path, other.path], tmp_path / "both")
    rows = both.store.read(["status", "margin", "margin_censored", "accuracy", "chance"]).rows.to_pylist()
    study = SweepStudy(SweepSpec(**{**both.spec.__dict__, "points": both.spec.points + 3}), both.path, rows)
    places = set(both.points[["sigma_w", "sigma_b", "depth"]].itertuples(index=False, name=None))
    new = [study.ask(1)[0] for _ in range(3)]
    assert study.ask(1) == [] and len(places) == 31 == both.spec.points
    assert not {(p.sigma_w, p.sigma_b, p.depth) for p in new} & places


def test_points_that_both_hold_count_once(make_sweep, tmp_path):
    one, copy = (make_sweep(SweepSpec(points=30), count=30, folder=name) for name in ("one", "copy"))
    both = merge([one.path, copy.path], tmp_path / "both")
    assert len(both.points) == both.spec.points == 30


def test_a_sweep_of_an_older_version(tmp_path):
    """Its trials under way are forgotten: the places are measured by whoever goes on with the merged sweep."""
    old = ROOT / "tests" / "data" / "d721f3d"
    one, copy = (Path(shutil.copytree(old, tmp_path / name)) for name in ("one", "copy"))
    both = merge([one, copy], tmp_path / "both")
    assert (len(both.points), both.spec.points, both.spec.search) == (10, 10 + 14 + 14, "boundary")
    for table in ("points", "profiles", "truth"):
        pd.testing.assert_frame_equal(both.table(table), sweep.load(old).table(table))
    wider = replace(sweep.load(old).spec, sigma_w=(0.4, 3.0), points=30)
    (tmp_path / "other").mkdir()
    wider.save(tmp_path / "other" / SPEC_FILE)
    other = sweep.load(tmp_path / "other")
    other.store.create()
    other.store.write([row(made_up(Point(2.9, 0.2, 5, 77)))])
    more = merge([one, tmp_path / "other"], tmp_path / "more")
    assert len(more.points) == 11 and more.spec.sigma_w == (0.4, 3.0) and more.spec.points == 11 + 14 + 29


def test_grids(make_sweep, tmp_path):
    grid = SweepSpec(search="grid", points=27)
    one, same = make_sweep(grid, count=5, folder="one"), make_sweep(grid, count=5, folder="same")
    other = make_sweep(SweepSpec(search="grid", points=64), count=5, folder="other")
    assert merge([one.path, same.path], tmp_path / "a").spec == grid
    assert merge([one.path, other.path], tmp_path / "b").spec.search == "boundary"


def test_what_is_damaged_is_left_out_and_said(make_sweep, tmp_path):
    one, other = make_sweep(count=12, folder="one"), make_sweep(count=1, folder="other")
    (one.path / "parts" / "x.parquet").write_bytes(b"PAR1")
    both = merge([one.path, other.path], tmp_path / "both")
    (told, _) = json.loads((both.path / "merged.json").read_text())
    assert list(told["left_out"]) == ["parts/x.parquet"] and both.damaged == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 32}, "width 32"),
        ({"activation": "erf"}, "activation 'erf'"),
        ({"initialise": "uniform"}, "initialise 'uniform'"),
        ({"dataset": "noise"}, "dataset 'noise'"),
        ({"train": "all"}, "train 'all'"),
    ],
)
def test_sweeps_that_measured_something_else(make_sweep, tmp_path, change, message):
    one, other = make_sweep(count=1, folder="one"), make_sweep(SweepSpec(**change), count=1, folder="other")
    with pytest.raises(SpecError, match="must have measured the same") as caught:
        merge([one.path, other.path], tmp_path / "both")
    assert message in str(caught.value) and not (tmp_path / "both").exists()


def test_outputs_that_will_not_do(make_sweep, tmp_path):
    one, other = make_sweep(count=1, folder="one"), make_sweep(count=1, folder="other")
    for output, message in ((one.path, "a sweep already"), ("/dev/null/x", "cannot be written")):
        result = CliRunner().invoke(main, ["merge", str(one.path), str(other.path), "-o", str(output)])
        assert result.exit_code == 2 and message in result.stderr and "Traceback" not in result.output
    result = CliRunner().invoke(main, ["merge", str(one.path), "-o", str(tmp_path / "x")])
    assert result.exit_code == 2 and "at least two" in result.stderr


def test_the_command(make_sweep, tmp_path):
    paths = [str(make_sweep(count=n, folder=f"{n}").path) for n in (12, 3)]
    result = CliRunner().invoke(main, ["merge", *paths, "-o", str(tmp_path / "both"), "--json"])
    assert json.loads(result.stdout)["points"] == len(sweep.load(tmp_path / "both").points) >= 12
    table = CliRunner().invoke(main, ["results", str(tmp_path / "both")]).stdout
    assert len(table.splitlines()) == 1 + json.loads(result.stdout)["points"]
