"""The most robust place of made-up margins."""

import numpy as np
import pytest

from sweep.advice.robust import most_promising, most_robust

SIGMA_W, SIGMA_B = np.geomspace(0.5, 2.5, 121), np.linspace(0, 1, 51)
W, B = np.meshgrid(SIGMA_W, SIGMA_B)
SURE = np.full_like(W, 0.05)


def place(margin, deviation=SURE, cap=1.0, retained=None):
    row, column = most_robust(margin, deviation, cap, retained)
    return SIGMA_W[column], SIGMA_B[row]


def band(middle, width):
    """Return a margin that is 1 in the middle of a band and falls to 0 at its edges, which are a factor apart."""
    return 1 - np.abs(np.log(W / middle)) / np.log(width)


def test_a_band_that_narrows_is_entered_where_it_is_widest_and_in_its_middle():
    sigma_w, sigma_b = place(band(1.3 + 0.4 * B, 1.4 - 0.35 * B))
    assert sigma_w == pytest.approx(1.3, rel=0.04) and sigma_b == 0


def test_the_bias_is_no_smaller_than_it_should_be():
    sigma_w, sigma_b = place(np.minimum(band(1.3, 1.5), (B - 0.4) / 0.3))
    assert sigma_w == pytest.approx(1.3, rel=0.05) and sigma_b > 0.6


def test_of_a_band_of_one_width_the_smallest_biases_are_taken():
    assert place(band(1.3, 1.4)) == pytest.approx((1.3, 0), rel=0.02)


def test_a_plateau_that_no_probe_can_see_above_is_entered_in_its_middle():
    high = 5 * band(1.2, 1.8) - 0.5 * B
    high += 3 * np.exp(-(((W - 0.8) / 0.02) ** 2))  # what the model makes up where it knows nothing
    sigma_w, sigma_b = place(high, cap=1.0)
    assert sigma_w == pytest.approx(1.2, rel=0.04)


def test_a_band_at_the_end_of_the_range_is_entered_between_its_edge_and_the_end():
    sigma_w, _ = place(np.clip(5 * np.log(W / 1.6), -1, 1))
    assert 1.8 < sigma_w < 2.3


def test_a_high_margin_that_is_doubtful_is_left_alone():
    doubtful = (W > 1.8) & (B > 0.5)
    margin = np.where(doubtful, 1.0, 0.8 * band(1.2, 1.3))
    sigma_w, _ = place(margin, np.where(doubtful, 0.6, 0.05))
    assert sigma_w == pytest.approx(1.2, rel=0.05)


def test_where_everything_is_trainable_the_middle_is_taken():
    assert place(np.ones_like(W)) == pytest.approx((np.sqrt(0.5 * 2.5), 0), rel=0.02)


def test_where_nothing_is_trainable_the_nearest_place_is_taken():
    margin = band(1.4, 1.3) - 2 - B
    assert place(margin, cap=margin.max()) == pytest.approx((1.4, 0), rel=0.02)


def test_where_nothing_is_certain_a_place_that_is_probably_trainable_is_taken():
    margin = np.where(W < 1, 0.1, -0.1)
    sigma_w, _ = place(margin, np.where(W < 1, 0.5, 0.01))
    assert sigma_w < 1


def test_of_places_that_come_equally_near_the_smallest_biases_are_taken():
    margin = band(1.4, 1.3) - 1.2 + 0.05 * B  # by less than the uncertainty of 0.08
    assert place(margin, cap=margin.max()) == pytest.approx((1.4, 0), rel=0.02)
    margin += 0.2  # 0.05 at most, and not for certain
    assert place(margin, cap=margin.max()) == pytest.approx((1.4, 0), rel=0.02)


def test_a_place_that_comes_nearer_for_certain_is_taken_whatever_its_biases():
    margin = band(1.4, 1.3) - 2 + B
    sigma_w, sigma_b = place(margin, cap=margin.max())
    assert sigma_w == pytest.approx(1.4, rel=0.02) and 0.85 < sigma_b < 0.95


def test_a_place_of_which_little_is_known_is_no_near_tie():
    margin = band(1.4, 1.3) - 1.2
    _, sigma_b = place(margin, np.where(B < 0.5, 1.0, 0.05), cap=margin.max())
    assert sigma_b == 0.5


def test_where_the_probe_sees_no_edge_a_place_that_retains_more_is_taken():
    plateau, retained = np.full_like(W, 1.2), 1 - np.log(W / 0.5) / np.log(5)
    assert place(plateau) == pytest.approx((np.sqrt(0.5 * 2.5), 0), rel=0.02)
    assert place(plateau, retained=retained) == pytest.approx((0.5 * 5**0.25, 0), rel=0.02)


def test_where_the_model_has_nothing_retained_the_middle_is_taken():
    assert place(np.full_like(W, 1.2), retained=np.full_like(W, -0.1)) == place(np.full_like(W, 1.2))


def test_what_is_retained_says_nothing_where_margins_differ():
    retained = 1 - np.log(W / 0.5) / np.log(5)
    for margin in (band(1.3, 1.4), 1.1 * band(1.3, 1.4)):  # of the latter, few are above what a probe can see
        assert place(margin, retained=retained) == place(margin)


def test_a_fixed_bias_is_one_row():
    margin = band(1.3, 1.4)[:1]
    row, column = most_robust(margin, SURE[:1], 1.0)
    assert row == 0 and SIGMA_W[column] == pytest.approx(1.3, rel=0.02)


def test_the_most_promising_place_is_where_the_upper_bound_is_highest():
    deviation = np.where((np.abs(W - 2) < 0.02) & (B < 0.01), 1.0, 0.1)
    row, column = most_promising(band(1.2, 1.3), deviation)
    assert SIGMA_W[column] == pytest.approx(1.2, rel=0.02)
    row, column = most_promising(np.zeros_like(W), deviation)
    assert SIGMA_W[column] == pytest.approx(2, rel=0.02) and row == 0
