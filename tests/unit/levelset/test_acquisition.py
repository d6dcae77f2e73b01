import numpy as np
import pytest
from scipy.special import ndtr

from sweep.levelset.acquisition import expected_gain


def test_gain_is_the_fall_of_the_variance_of_the_classification():
    """Against draws: p (1 - p) now, less its expectation once a part of the variance is explained."""
    rng = np.random.default_rng(0)
    for z, explained in ((0.0, 0.5), (0.8, 0.9), (1.5, 0.3), (2.5, 0.99)):
        after = z + np.sqrt(explained) * rng.standard_normal(400_000)
        p = ndtr(after / np.sqrt(1 - explained))
        expected = ndtr(z) * ndtr(-z) - np.mean(p * (1 - p))
        gain = expected_gain(np.array([[explained]]), np.array([z * z]))[0, 0] / (2 * np.pi) * 1.0
        assert gain == pytest.approx(expected, rel=0.05, abs=1e-3)
