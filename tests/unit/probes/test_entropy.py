import math

import numpy as np
import pytest
import torch

from probes.entropy import cutoff, differential_entropy, horizon, relative_entropy, squared_correlation
from probes.seeds import generator


def test_relative_entropy_of_equals_is_zero_and_of_shifted_and_scaled_too():
    x = torch.rand(5, 30, generator=generator(0, "test"))
    np.testing.assert_allclose(relative_entropy(x, x), 0, atol=1e-12)
    np.testing.assert_allclose(relative_entropy(x, 3 * x.double() + 2), 0, atol=1e-6)


def test_relative_entropy_agrees_with_the_sum_written_out():
    x, r = torch.tensor([[0.0, 1.0, 3.0]]), torch.tensor([[0.5, 0.7, 0.9]])
    p, q = np.array([1e-12, 1, 3]) / 4, np.array([1e-12, 0.2, 0.4]) / 0.6
    assert float(relative_entropy(x, r)[0]) == pytest.approx(float((p * np.log(p / q)).sum()), abs=1e-6)


def test_squared_correlation_asks_for_what_sets_images_apart_at_any_strength():
    x = torch.rand(50, 30, generator=generator(0, "test"))
    offset = torch.rand(30, generator=generator(1, "test"))
    r = torch.stack([x, 1e-6 * x.double() + offset, offset - x, offset.expand_as(x)])
    np.testing.assert_allclose(squared_correlation(x, r), [1, 1, 0, 0], atol=1e-9)


def test_squared_correlation_agrees_with_numpy():
    x, r = (torch.rand(40, 7, generator=generator(seed, "test"), dtype=torch.float64) for seed in (0, 1))
    r = r + 0.4 * x
    expected = np.corrcoef((x - x.mean(0)).ravel(), (r - r.mean(0)).ravel())[0, 1] ** 2
    assert float(squared_correlation(x, r)) == pytest.approx(expected) and 0.05 < expected < 0.5


def test_squared_correlation_of_unrelated_images_is_as_small_as_their_number_is_large():
    x, r = (torch.rand(100, 64, generator=generator(seed, "test")) for seed in (0, 1))
    assert float(squared_correlation(x, r)) < 0.003


def test_differential_entropy_of_gaussian_pixels():
    # 1000 images of 2 x 500 pixels: x and -x, and a constant that makes every sum the same.
    z = torch.randn(20_000, 5, generator=generator(0, "test"), dtype=torch.float64)
    images = torch.cat([10 + z, 10 - z], 1)  # sums to 100; each pixel then has deviation 1/100
    expected = math.log(1 / 100) + math.log(2 * math.pi * math.e) / 2
    assert float(differential_entropy(images)) == pytest.approx(expected, abs=0.01)


def test_differential_entropy_of_identical_reconstructions_is_finite():
    assert math.isfinite(float(differential_entropy(torch.ones(4, 6))))
    assert math.isfinite(float(differential_entropy(torch.zeros(4, 6))))


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ([1.0, 2.0, 3.0, 4.0, 4.0], 2),
        ([4.0, 4.0, 4.0], 3),
        ([1.0, 4.0, 1.0, 4.0], 2),
        ([3.9, 3.99, 4.0], 0),  # 3.99 is within 0.5 % of 4
        ([5.0], 1),
    ],
)
def test_cutoff(curve, expected):
    assert cutoff(np.array(curve)) == expected


def test_horizon_is_interpolated():
    assert horizon([1, 2, 3], [0.9, 0.5, 0.1], 0.3) == (pytest.approx(2.5), False)
    assert horizon([1, 2], [0.1, 0.0], 0.25) == (pytest.approx(0.75 / 0.9), False)
    assert horizon([1, 5, 9], [0.9, 0.5, 0.1], 0.3) == (pytest.approx(7.0), False)


def test_horizon_is_censored_where_nothing_is_lost():
    assert horizon([1, 2, 3], [0.9, 0.8, 0.7], 0.3) == (3.0, True)
