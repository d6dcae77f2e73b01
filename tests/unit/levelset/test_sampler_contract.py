"""Optuna's own tests of what every sampler must do, on `BoundarySampler`."""

from functools import partial

import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.testing.pytest_samplers import BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase

from sweep import BoundarySampler

X, LOG, N = FloatDistribution(-10, 10, step=0.5), FloatDistribution(1e-7, 1.0, log=True), IntDistribution(3, 9, step=2)


class TestBoundarySampler(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    """All but those of samplers that model categorical parameters, or several objectives."""

    # What is not a number is never in the space that this sampler infers.
    test_sample_relative_categorical = test_sample_relative_mixed = None

    @pytest.fixture
    def sampler(self):
        return partial(BoundarySampler, seed=0)

    # Of Optuna's 36 pairs those in which each kind of axis is once first and once second.
    @pytest.mark.parametrize(
        ("x_distribution", "y_distribution"), [(X, LOG), (LOG, N), (N, IntDistribution(1, 100, log=True))]
    )
    def test_sample_relative_numerical(self, sampler, x_distribution, y_distribution):
        super().test_sample_relative_numerical(sampler, x_distribution, y_distribution)
