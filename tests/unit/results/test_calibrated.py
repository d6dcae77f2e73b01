"""A sweep that was calibrated by its own trainings, in tables and texts."""

import math
from dataclasses import replace

import numpy as np
import pytest

import sweep
from sweep.cli.tables import status_text, table
from sweep.results.status import status
from sweep.spec.columns import DTYPES, KINDS
from sweep.spec.spec import SweepSpec

SENTENCE = (
    "calibrated by 120 trainings: half of the networks train where the horizon is 1 of the depth (0.5 uncalibrated)"
)


@pytest.fixture
def calibrated(make_sweep):
    return make_sweep(SweepSpec(points=120, train="all", statistic="direct_horizon"), count=120, shift=math.log(2))


def test_the_probability_follows_the_calibration(calibrated, make_sweep):
    for results in (calibrated, make_sweep(SweepSpec(points=120), count=120, folder="untrained")):
        points, calibration = results.points.sort_values("margin"), results.calibration
        assert (np.diff(points["p_trainable"]) >= 0).all() and points["p_trainable"].between(0, 1).all()
        assert ((points["p_trainable"] >= 0.5) == (points["margin"] >= calibration.shift)).all()
        assert results.phase.calibration == calibration
    assert calibrated.calibration.shift == pytest.approx(math.log(2), abs=0.1)
    assert calibrated.calibration.networks == 120
    assert (calibration.shift, calibration.networks) == (0, 0)  # nothing was trained


def test_what_was_not_measured_has_no_probability(make_sweep):
    points = make_sweep(count=12, failed=2).points
    assert points["p_trainable"].isna().tolist() == points["margin"].isna().tolist()
    assert points["p_trainable"].isna().sum() == 2


def test_the_probability_is_no_part_of_what_is_stored(calibrated):
    assert DTYPES["p_trainable"] == "float64" and "p_trainable" in KINDS
    assert calibrated.dataset.to_table(columns=["p_trainable"])["p_trainable"].null_count == 120


def test_tables_and_texts_say_so(calibrated):
    assert calibrated.calibration_sentence == SENTENCE == calibrated.boundary.attrs["calibration"]
    assert calibrated.boundary_at([10]).attrs["calibration"] == SENTENCE
    summary = status(calibrated)
    assert summary["calibration"]["sentence"] == SENTENCE and summary["calibration"]["networks"] == 120
    assert SENTENCE in status_text(summary) and SENTENCE in table(calibrated, 1.0, None)
    assert SENTENCE in calibrated._repr_html_()
    assert calibrated.to_xarray("boundary").attrs["calibration"] == SENTENCE


def test_the_boundary_is_where_networks_train(calibrated):
    before = sweep.load(calibrated.path)
    before.spec = replace(before.spec, calibration=0)
    assert "calibration" not in before.boundary.attrs and before.calibration_sentence == ""
    for depth in (8, 12):
        after, then = calibrated.boundary_at([depth]), before.boundary_at([2 * depth])
        np.testing.assert_allclose(after[["lower", "upper"]], then[["lower", "upper"]], rtol=0.05)
