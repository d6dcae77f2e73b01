import math

import numpy as np
import pytest
import torch

from probes.entropy import cutoff, differential_entropy, horizon, relative_entropy
from probes.seeds import generator


def test_relative_entropy_of_equals_is_zero_and_of_shifted_and_scaled_too():
    x = torch.rand(5, 30, generator=generator(0, "test"))
    np.testing.assert_allclose(relative_entropy(x, x), 0, atol=1e-12)
    np.testing.assert_allclose(relative_entropy(x, 3 * x.double() + 2), 0, atol=1e-6)


def test_relative_entropy_agrees_with_the_sum_written_out():
    x, r = torch.tensor([[0.0, 1.0, 3.0]]), torch.tensor([[0.5, 0.7, 0.9]])
    p, q = np.array([1e-12, 1, 3]) / 4, np.array([1e-12, 0.2, 0.4]) / 0.6
    assert float(relative_entropy(x, r)[0]) == pytest.approx(float((p * np.log(p / q)).sum()), abs=1e-6)


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
