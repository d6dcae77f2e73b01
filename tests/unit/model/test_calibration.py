"""The calibration of the margin, and the boundary that follows it."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from sweep.model.calibration import (
    MIN_TRAININGS,
    Calibration,
    Prior,
    calibration_of,
    default_calibration,
    expected,
    fitted,
    prior_of,
    sentence,
)
from sweep.model.estimate import PhaseModel
from sweep.spec.spec import SweepSpec

PRIOR = Prior(shift_deviation=0.5, slope=4.0, slope_deviation=0.7)


def outcomes(shift, slope, count, seed=0):
    random = np.random.default_rng(seed)
    margin = random.uniform(-2, 2, count)
    return margin, random.uniform(size=count) < 1 / (1 + np.exp(-slope * (margin - shift)))


@pytest.mark.parametrize(("shift", "slope"), [(0.0, 4.0), (0.7, 2.0), (-0.6, 9.0)])
def test_a_known_shift_and_slope_are_found(shift, slope):
    found = fitted(PRIOR, *outcomes(shift, slope, 30_000))
    assert found.shift == pytest.approx(shift, abs=0.05) and found.slope == pytest.approx(slope, rel=0.1)
    assert found.networks == 30_000 and 0 < found.deviation < 0.05


def test_a_few_trainings_move_the_shift_most_of_the_way():
    found = [fitted(PRIOR, *outcomes(0.6, 5.0, 12, seed)).shift for seed in range(40)]
    assert 0.3 < np.mean(found) < 0.6 and np.sqrt(np.mean((np.array(found) - 0.6) ** 2)) < 0.35


def test_deviations_are_as_large_as_errors_are():
    random = np.random.default_rng(1)
    errors = []
    for seed in range(100):
        shift, slope = random.normal(0, 0.5), 4 * np.exp(random.normal(0, 0.7))
        found = fitted(PRIOR, *outcomes(shift, slope, 16, seed))
        errors.append((found.shift - shift) / found.deviation)
    assert 0.7 < np.std(errors) < 1.3


def test_without_trainings_the_prior_remains():
    found = fitted(PRIOR, np.array([math.nan]), np.array([True]))
    assert found == default_calibration(PRIOR) and (found.shift, found.networks, found.deviation) == (0, 0, 0)
    assert 0 < found.slope < PRIOR.slope  # a shift that is not known makes outcomes less certain
    assert default_calibration(replace(PRIOR, shift_deviation=1e-9)).slope == pytest.approx(PRIOR.slope)


@pytest.mark.parametrize("outcome", [True, False])
def test_a_single_outcome_moves_the_boundary_a_little(outcome):
    margin = np.linspace(-0.3, 0.5, 12)
    found = fitted(PRIOR, margin, np.full(12, outcome))
    assert -1.5 < found.shift < -0.1 if outcome else 0.5 < found.shift < 1.5
    assert 0 < found.slope < 50
    far = fitted(PRIOR, np.full(12, 3.0 if outcome else -3.0), np.full(12, outcome))  # as it was expected
    assert abs(far.shift) < 0.05 and far.deviation == pytest.approx(PRIOR.shift_deviation, rel=0.05)


def test_surprising_outcomes_leave_all_numbers_finite():
    margin = np.array([1e3, -1e3, 5.0, -5.0])
    found = fitted(PRIOR, margin, margin < 0)
    assert all(math.isfinite(v) for v in (found.shift, found.slope, found.deviation))
    assert np.isfinite(found.probability([1e9, -1e9])).all() and math.isnan(found.probability(math.nan))


def test_networks_whose_horizon_is_out_of_sight_hardly_move_the_boundary():
    """The cascade looks no further than the depth: all that train well have the margin log(1 / 0.6)."""
    margin, trained = outcomes(0.4, 10.0, 400)
    bound = math.log(1 / 0.6)
    seen, censored = np.minimum(margin, bound), margin > bound
    spec = SweepSpec(probe="cascade", train="all", level=0.5)
    found = calibration_of(spec, seen, censored, np.where(trained, 0.9, 0.1), np.full(400, 0.1))
    assert found.shift == pytest.approx(0.4, abs=0.08)
    assert (found.probability(expected(seen, censored))[censored] > 0.9).all()


def test_the_order_of_the_networks_does_not_matter():
    margin, trained = outcomes(0.3, 3.0, 50)
    order = np.random.default_rng(5).permutation(50)
    assert fitted(PRIOR, margin, trained) == fitted(PRIOR, margin[order], trained[order])


def test_the_probability_grows_with_the_margin():
    p = Calibration(0.4, 2.5).probability(np.linspace(-5, 5, 101))
    assert (np.diff(p) > 0).all() and Calibration(0.4, 2.5).probability(0.4) == 0.5


def test_a_sweep_is_calibrated_by_its_own_trainings_only():
    margin, trained = outcomes(0.8, 4.0, 30)
    accuracy, chance = np.where(trained, 0.9, 0.1), np.full(30, 0.1)
    default = calibration_of(SweepSpec(), margin, False, accuracy, chance)
    assert default == default_calibration(prior_of("trainable_depth"))  # it trains nothing
    for train in ("boundary", "all"):
        assert calibration_of(SweepSpec(train=train), margin, False, accuracy, chance).networks == 30
    some = np.where(np.arange(30) < MIN_TRAININGS, accuracy, math.nan)
    assert calibration_of(SweepSpec(train="all"), margin, False, some, chance).networks == MIN_TRAININGS
    few = np.where(np.arange(30) < MIN_TRAININGS - 1, accuracy, math.nan)
    assert calibration_of(SweepSpec(train="all"), margin, False, few, chance) == default
    # What counts as trained depends on the level.
    assert (
        calibration_of(
            SweepSpec(train="all", level=0.95, statistic="direct_horizon"), margin, False, accuracy, chance
        ).shift
        > 1.2
    )


def test_a_sweep_of_before_calibrations_keeps_its_boundary():
    margin, trained = outcomes(0.8, 4.0, 30)
    accuracy, chance = np.where(trained, 0.9, 0.1), np.full(30, 0.1)
    stored = {k: v for k, v in json.loads(SweepSpec(train="all").as_json()).items() if k != "calibration"}
    spec = SweepSpec.from_json(json.dumps(stored), "spec.json")
    assert spec.calibration == 0 and SweepSpec.from_json(SweepSpec().as_json(), "spec.json").calibration == 1
    assert calibration_of(spec, margin, False, accuracy, chance) == default_calibration(prior_of("trainable_depth"))
    assert spec.digest == SweepSpec(train="all").digest  # nothing else was measured


def test_the_sentence_names_what_the_statistic_is_compared_with():
    def said(shift, **options):
        return sentence(SweepSpec(**options), Calibration(shift, 4.0, 12, 0.1))

    start = "calibrated by 12 trainings: half of the networks train where "
    assert said(math.log(1.24)) == start + "the trainable depth is 1.2 of the depth (1 uncalibrated)"
    direct = said(math.log(1.24), statistic="direct_horizon")
    assert direct == start + "the horizon is 0.62 of the depth (0.5 uncalibrated)"
    assert said(0.3, statistic="direct_retained") == start + "0.32 of the information is retained (0.02 uncalibrated)"
    gradient = said(math.log(5.25 / 4), statistic="gradient_ratio")
    assert gradient == start + "the logarithm of the gradient is 3 from 0 (4.25 uncalibrated)"
    assert sentence(SweepSpec(), Calibration(0.0, 4.0)) == ""


def trained_points(make_sweep, spec, shift):
    """Points of the made-up landscape, whose networks train where the margin exceeds a shift."""
    points = make_sweep(spec, count=120, folder=spec.train).points
    accuracy = np.where(points["margin"] > shift, 0.9, 0.1)
    return points.assign(accuracy=accuracy, chance=0.1)


def test_the_boundary_moves_by_the_shift_in_depth(make_sweep):
    """In a network that contains all shallower ones: what was the boundary at a depth is that at exp(-shift) of it."""
    spec = SweepSpec(points=120, depth=(5, 60), train="all")
    points = trained_points(make_sweep, spec, math.log(2))
    phase, before = PhaseModel(spec, points), PhaseModel(replace(spec, calibration=0), points)
    shift = phase.calibration.shift
    assert shift == pytest.approx(math.log(2), abs=0.1) and before.calibration.shift == 0
    at = {"sigma_w": np.array([0.9, 1.3, 1.7]), "sigma_b": 0.3}
    np.testing.assert_allclose(phase.mean(**at, depth=20), before.mean(**at, depth=20) - shift)
    np.testing.assert_allclose(phase.mean(**at, depth=20), before.mean(**at, depth=20 * math.exp(shift)))
    ends = ["lower", "upper"]
    moved, expected = phase.boundary([10]), before.boundary([round(10 * math.exp(shift))])
    np.testing.assert_allclose(moved[ends], expected[ends], rtol=0.02)
    assert (moved["trainable_share"] < before.boundary([10])["trainable_share"]).all()
    # The critical line is where information travels deepest, whatever else that is enough for.
    np.testing.assert_allclose(phase.critical_line(), before.critical_line())


def test_the_interval_of_a_calibrated_boundary_allows_for_the_calibration(make_sweep):
    spec = SweepSpec(points=120, depth=(5, 60), train="all")
    points = trained_points(make_sweep, spec, 0.0)
    few = points.assign(accuracy=points["accuracy"].where(points.index < 12))
    width = [
        (b["lower_95"] - b["lower_5"]).mean()
        for b in (PhaseModel(s, few).boundary([15]) for s in (spec, replace(spec, calibration=0)))
    ]
    assert width[0] > 1.1 * width[1]


def test_without_trainings_nothing_changes(make_sweep):
    spec = SweepSpec(points=64)
    points = make_sweep(spec, count=64).points
    one, other = (PhaseModel(s, points).boundary() for s in (spec, replace(spec, calibration=0)))
    assert one.equals(other) and len(one)
