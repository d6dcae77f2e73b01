import numpy as np
import pytest

from sweep.spec.spec import SweepSpec
from tests.helpers.landscape import true_critical


def crossing(depth, sigma_b, sign):
    """Where 40 exp(-3 ln^2(w / w_c)) = depth."""
    return true_critical(sigma_b) * np.exp(sign * np.sqrt(np.log(40 / depth) / 3))


def test_critical_line_is_found(make_sweep):
    line = make_sweep().phase.critical_line()
    np.testing.assert_allclose(line["sigma_w"], true_critical(line["sigma_b"]), rtol=0.05)
    assert (line["lower"] <= line["sigma_w"]).all() and (line["sigma_w"] <= line["upper"]).all()
    assert list(line.columns) == ["sigma_b", "sigma_w", "lower", "upper"]


def test_critical_line_is_the_middle_of_a_censored_band(make_sweep):
    # Nothing deeper than 12 layers is ever seen: horizons above 36 are out of sight, and for shallow points above 15.
    line = make_sweep(SweepSpec(points=100, depth=(5, 12)), count=100, cap=3).phase.critical_line()
    np.testing.assert_allclose(line["sigma_w"], true_critical(line["sigma_b"]), rtol=0.08)


def test_boundary_is_found_on_both_sides(make_sweep):
    boundary = make_sweep(count=120).boundary
    assert sorted(boundary["depth"].unique()) == [5, 11, 26, 60]
    middle = boundary[boundary["depth"] == 26]
    for end, sign in (("lower", -1), ("upper", 1)):
        np.testing.assert_allclose(middle[end], crossing(26, middle["sigma_b"], sign), rtol=0.06)
        assert (middle[f"{end}_5"] <= middle[end]).all() and (middle[end] <= middle[f"{end}_95"]).all()
    deepest = boundary[boundary["depth"] == 60]
    assert deepest[["lower", "upper"]].isna().all(axis=None) and (deepest["trainable_share"] < 0.05).all()


def test_the_order_of_the_rows_does_not_matter(make_sweep):
    results = make_sweep()
    from sweep.model.estimate import PhaseModel

    shuffled = PhaseModel(results.spec, results.points.sample(frac=1, random_state=1))
    assert shuffled.critical_line().equals(results.phase.critical_line())


@pytest.mark.parametrize("count", [0, 1, 9])
def test_nothing_is_estimated_from_too_few_points(make_sweep, count):
    results = make_sweep(count=count)
    assert len(results.phase.critical_line()) == len(results.boundary) == 0


def test_fixed_axes(make_sweep):
    line = make_sweep(SweepSpec(points=40, sigma_b=(0.3, 0.3)), folder="a").phase.critical_line()
    assert len(line) == 1 and line["sigma_w"][0] == pytest.approx(1.25, rel=0.05)
    line = make_sweep(SweepSpec(points=40, depth=(20, 20)), folder="b").phase.critical_line()
    np.testing.assert_allclose(line["sigma_w"], true_critical(line["sigma_b"]), rtol=0.05)
    assert len(make_sweep(SweepSpec(points=40, sigma_w=(1.3, 1.3)), folder="c").phase.critical_line()) == 0
