"""Estimates over further axes."""

import numpy as np
import pytest

from sweep.model.margin import MarginModel
from sweep.spec.spec import SweepSpec
from tests.helpers.landscape import true_critical, true_horizon

WIDE = SweepSpec(points=200, axis=("width 16 256 log",), probe="direct")


def crossings(depth, sigma_b, width):
    """Ends of the trainable band of the made-up landscape; NaN where no network is trainable."""
    fall = np.log(40 * np.sqrt(width / 64) / depth) / 3
    return true_critical(sigma_b) * np.exp(np.array([-1, 1]) * np.sqrt(fall if fall >= 0 else np.nan))


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    from tests.helpers.landscape import made_up_sweep

    return made_up_sweep(tmp_path_factory.mktemp("further") / "wide", WIDE, count=200)


def test_the_boundary_is_found_at_every_value(wide):
    table = wide.boundary
    assert list(table.columns)[-1] == "width" and sorted(table["width"].unique()) == [16, 64, 256]
    for width, rows in wide.boundary_at([10, 30]).groupby("width"):
        for row in rows.itertuples():
            lower, upper = crossings(row.depth, row.sigma_b, width)
            if 0.6 < lower < 2.4:
                assert row.lower == pytest.approx(lower, rel=0.06)
            if 0.6 < upper < 2.4:
                assert row.upper == pytest.approx(upper, rel=0.06)
    between = wide.boundary_at([20], {"width": 128})
    lower = [crossings(20, b, 128)[0] for b in between["sigma_b"]]
    np.testing.assert_allclose(between["lower"], lower, rtol=0.06)
    assert set(between["width"]) == {128}


def test_the_margin_has_the_middle_for_what_is_left_out(wide):
    phase = wide.phase
    middle, given, other = (
        phase.margin(sigma_w=1.3, sigma_b=0.3, depth=20, **at)[0] for at in ({}, {"width": 64}, {"width": 200})
    )
    assert middle == given != other
    assert float(given[0]) == pytest.approx(np.log(true_horizon(1.3, 0.3) / 20), abs=0.1)
    assert len(wide.middle_boundary) == 4 * 20 and len(wide.boundary) == 4 * 7 * 3


def test_the_model_has_the_axis_but_for_the_learning_rate():
    assert MarginModel(WIDE).names == ["sigma_b", "sigma_w", "width"]
    both = SweepSpec(axis=("width 16 256 log", "lr 0.001 1 log"), train="all")
    assert MarginModel(both).names == ["sigma_b", "sigma_w", "width"]


def test_five_axes(make_sweep):
    spec = SweepSpec(points=60, axis=("lr 0.001 1 log", "width 16 256 log"), train="all", statistic="direct_retained")
    assert MarginModel(spec).names == ["depth", "sigma_b", "sigma_w", "width"]
    results = make_sweep(spec, count=60, shift=0.0)
    assert len(results.phase.further) == 9 and np.isfinite(results.phase.expected_error)
    assert np.isfinite(results.boundary_at([10], {"lr": 0.05, "width": 20})["trainable_share"]).all()


def test_over_learning_rates_the_boundary_is_that_of_the_truth(make_sweep):
    spec = SweepSpec(
        points=150, axis=("lr 0.001 3 log",), train="all", depth=(5, 40), sigma_b=(0.3, 0.3), probe="direct"
    )
    results = make_sweep(spec, count=150, shift=0.0)
    phase = results.phase
    assert phase.is_of_truth
    good, slow, fast = (phase.margin(sigma_w=1.25, depth=10, lr=lr)[0] for lr in (0.05, 0.002, 2.0))
    assert good > 0 > max(slow, fast)
    at = results.boundary_at([20], {"lr": 0.05}).iloc[0]
    assert at[["lower", "upper"]].tolist() == pytest.approx(crossings(20, 0.3, 64).tolist(), rel=0.1)
    assert results.boundary_at([10], {"lr": 0.001})["trainable_share"].iloc[0] < 0.2
