import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from sweep.levelset import fitting
from sweep.levelset.fitting import fit_kernels
from sweep.levelset.gaussian_process import JITTER, Kernel, Observations, Posterior


def observations(x, y, variance=0.0, bound=False):
    n = len(y)
    return Observations(
        x, y, np.full(n, variance) if np.isscalar(variance) else variance, bound & np.ones(n, bool), np.ones((n, 1))
    )


def smooth(x):
    return np.sin(4 * x[:, 0]) + x[:, -1] ** 2


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    x = rng.random((30, 2))
    return observations(x, smooth(x) + 0.1 * rng.standard_normal(30))


def test_posterior_is_that_of_scikit_learn(data):
    kernel = Kernel(np.array([0.3, 0.7]), 1.7, 0.01)
    variance = np.linspace(0, 0.2, 30)
    places = np.random.default_rng(1).random((15, 2))
    theirs = GaussianProcessRegressor(
        ConstantKernel(1.7) * Matern([0.3, 0.7], nu=2.5) + ConstantKernel(1.0),
        alpha=0.01 + variance + JITTER,
        optimizer=None,
    ).fit(data.x, data.y)
    mean, deviation = theirs.predict(places, return_std=True)
    ours = Posterior(kernel, observations(data.x, data.y, variance)).mean_and_deviation(places, np.ones((15, 1)))
    np.testing.assert_allclose(ours[0], mean, atol=1e-8)
    np.testing.assert_allclose(ours[1], deviation, atol=1e-8)


def test_the_fit_follows_the_gradient_to_a_maximum(data, monkeypatch):
    seen = []
    real = fitting.minimize

    def spy(loss, theta, **options):
        result = real(loss, theta, **options)
        seen.append((loss, theta, result.x))
        return result

    monkeypatch.setattr(fitting, "minimize", spy)
    fit_kernels(data)
    for loss, start, end in seen:
        for theta in (start, end):
            slope = approx_fprime(theta, lambda t, loss=loss: loss(t)[0], 1e-6)
            np.testing.assert_allclose(loss(theta)[1], slope, atol=2e-3)


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.3])
def test_the_noise_is_found(noise):
    rng = np.random.default_rng(3)
    x = rng.random((150, 2))
    (kernel,) = fit_kernels(observations(x, smooth(x) + noise * rng.standard_normal(150)))
    assert np.sqrt(kernel.noise) == pytest.approx(noise, rel=0.25, abs=2e-3)


def test_axes_of_no_influence_get_long_lengths():
    x = np.random.default_rng(0).random((80, 2))
    length = fit_kernels(observations(x, np.sin(6 * x[:, 0])))[0].length
    assert length[1] > 4 * length[0]


def test_a_precise_observation_counts_more():
    x = np.array([[0.5], [0.5]])
    posterior = Posterior(
        Kernel(np.array([0.5]), 1.0, 1e-4), observations(x, np.array([0.0, 1.0]), np.array([0.01, 1.0]))
    )
    assert posterior.mean_and_deviation(x[:1], np.ones((1, 1)))[0][0] < 0.05


def test_lower_bounds_agree_with_brute_force():
    """Draws of the function at three places, kept where they exceed the bounds."""
    kernel = Kernel(np.array([0.4]), 1.0, 0.01)
    x = np.array([[0.1], [0.3], [0.5], [0.9]])
    y, bound = np.array([0.2, 0.8, 1.0, -0.5]), np.array([False, True, True, False])
    place = np.array([[0.4]])
    both, ones = np.vstack([x, place]), np.ones((5, 1))
    rng = np.random.default_rng(0)
    draws = rng.multivariate_normal(np.zeros(5), kernel(both, both, ones, ones), 500_000)
    observed = draws[:, :4] + 0.1 * rng.standard_normal((len(draws), 4))
    weight = np.exp(-0.5 * ((draws[:, [0, 3]] - y[[0, 3]]) ** 2).sum(1) / 0.01)
    weight *= (observed[:, 1] > y[1]) & (observed[:, 2] > y[2])
    mean = np.average(draws[:, 4], weights=weight)
    deviation = np.sqrt(np.average((draws[:, 4] - mean) ** 2, weights=weight))
    posterior = Posterior(kernel, observations(x, y, 0.0, bound))
    ours = [float(v[0]) for v in posterior.mean_and_deviation(place, np.ones((1, 1)))]
    assert ours == pytest.approx([mean, deviation], abs=0.03)


def test_bounds_far_below_say_nothing(data):
    kernel, place = Kernel(np.array([0.3, 0.7])), np.array([[0.4, 0.4]])
    x = np.vstack([data.x, [[0.4, 0.4]]])
    low = observations(x, np.append(data.y, -9.0), 0.0, np.arange(31) == 30)
    ones = np.ones((1, 1))
    np.testing.assert_allclose(
        Posterior(kernel, low).mean_and_deviation(place, ones),
        Posterior(kernel, data).mean_and_deviation(place, ones),
        atol=1e-4,
    )


def test_draws_agree_with_the_mean_and_deviation(data):
    posterior = Posterior(fit_kernels(data)[0], data)
    places, ones = np.random.default_rng(1).random((12, 2)), np.ones((12, 1))
    draws = posterior.sample(places, ones, 20_000, np.random.default_rng(2))
    mean, deviation = posterior.mean_and_deviation(places, ones)
    assert np.all(np.abs(draws.mean(0) - mean) < 4 * deviation / np.sqrt(20_000) + 1e-6)
    np.testing.assert_allclose(draws.std(0), deviation, rtol=0.03)


def test_a_weight_of_two_is_as_good_as_two_observations(data):
    kernel = Kernel(np.array([0.3, 0.7]), 1.0, 0.05)
    twice = data[np.append(np.arange(30), 7)]
    weights = np.ones((1, 30))
    weights[0, 7] = 2
    places, ones = np.random.default_rng(1).random((9, 2)), np.ones((9, 1))
    ours = Posterior(kernel, data).reweighted(places, ones, weights)[0]
    np.testing.assert_allclose(ours, Posterior(kernel, twice).mean_and_root(places, ones)[0], atol=1e-6)
