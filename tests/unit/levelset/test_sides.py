import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.special import ndtr

from sweep.levelset.fitting import fit_side_kernels, side_loss
from sweep.levelset.gaussian_process import Kernel
from sweep.levelset.merging import merge_nearest_sides
from sweep.levelset.sides import SidePosterior, Sides, propagate


def sides(x, above, below, variance=0.0):
    x = np.atleast_2d(np.asarray(x, dtype=float))
    count = np.stack([np.asarray(above, dtype=float), np.asarray(below, dtype=float)])
    return Sides(x, np.ones((len(x), 1)), count, np.full(len(x), variance))


def drawn(n, steep, axes=2, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.random((n, axes))
    above = rng.random(n) < ndtr(steep * (np.sin(4 * x[:, 0]) - x[:, -1]))
    return sides(x, above, ~above)


def integrated(prior, data, noise):
    """Log evidence, means and variances at one or two positions by summation over a grid."""
    nodes = np.linspace(-9, 9, 1201)
    grid = np.stack(np.meshgrid(*[nodes] * len(data), indexing="ij"), -1).reshape(-1, len(data))
    f = grid @ np.linalg.cholesky(prior).T
    p = ndtr(f / np.sqrt(noise + data.variance))
    weight = np.exp(-0.5 * (grid**2).sum(1)) * ((nodes[1] - nodes[0]) / np.sqrt(2 * np.pi)) ** len(data)
    weight *= (p ** data.count[0] * (1 - p) ** data.count[1]).prod(1)
    mean = np.average(f, weights=weight, axis=0)
    return np.log(weight.sum()), mean, np.average((f - mean) ** 2, weights=weight, axis=0)


@pytest.mark.parametrize(
    ("above", "below", "known"), [(1, 0, 0.0), (0, 1, 0.3), (3, 1, 0.0), (4, 4, 0.1), (0, 8, 0.0), (0.5, 0.5, 0.0)]
)
@pytest.mark.parametrize("noise", [0.05, 1.0])
def test_one_position_agrees_with_integration(above, below, known, noise):
    data, prior = sides([[0.0]], [above], [below], known), np.array([[1.7]])
    found = propagate(prior, data, noise, tolerance=1e-8)
    evidence, mean, variance = integrated(prior, data, noise)
    exact = min(above, below) > 0 or above + below == 1  # of several that agree, the likelihood is approximated
    assert found.log_evidence == pytest.approx(evidence, abs=1e-3 if exact else 5e-3)
    assert prior @ found.alpha == pytest.approx(mean, abs=1e-3 if exact else 0.02)
    assert prior[0, 0] - prior[0, 0] ** 2 * found.inverse[0, 0] == pytest.approx(
        variance[0], rel=0.01 if exact else 0.1
    )


@pytest.mark.parametrize(("above", "below"), [([1, 0], [0, 1]), ([1, 1], [0, 0]), ([5, 1], [1, 0]), ([20, 0], [1, 3])])
def test_two_positions_agree_with_integration(above, below):
    """Expectation propagation is not exact here, but nearly."""
    data, prior = sides([[0.0], [1.0]], above, below), np.array([[1.5, 1.2], [1.2, 2.0]])
    found = propagate(prior, data, 0.2)
    evidence, mean, variance = integrated(prior, data, 0.2)
    assert found.log_evidence == pytest.approx(evidence, abs=0.03)
    np.testing.assert_allclose(prior @ found.alpha, mean, atol=0.03)
    np.testing.assert_allclose(np.diag(prior - prior @ found.inverse @ prior), variance, rtol=0.06)


@pytest.mark.parametrize("times", [1, 7])
@pytest.mark.parametrize("steep", [1, 5, 1e6])
def test_the_gradient_of_the_evidence_is_that_of_finite_differences(steep, times):
    data = drawn(40, steep)
    data = Sides(data.x, data.features, data.count * times, np.where(np.arange(40) % 3, 0.0, 0.4))
    for theta in ([-1.0, -0.5, 0.0, -2.0], [0.0, 0.0, 0.0, -6.0], [-1.5, -1.0, 0.0, 1.0]):
        slope = approx_fprime(np.array(theta), lambda t: side_loss(data)(t)[0], 1e-4)
        np.testing.assert_allclose(side_loss(data)(np.array(theta))[1], slope, atol=0.02, rtol=0.02)


def test_a_start_elsewhere_changes_nothing():
    data, kernel = drawn(60, 3), Kernel(np.array([0.4, 0.6]), 1.0, 0.1)
    prior = kernel(data.x, data.x, data.features, data.features)
    cold = propagate(prior, data, 0.1, tolerance=1e-6)
    other = propagate(0.5 * prior, data, 0.3)
    warm = propagate(prior, data, 0.1, (other.precision, other.shift), tolerance=1e-6)
    assert warm.log_evidence == pytest.approx(cold.log_evidence, abs=1e-4)
    np.testing.assert_allclose(warm.alpha, cold.alpha, atol=1e-4)


def test_steep_sides_get_little_noise():
    noise = [fit_side_kernels(drawn(150, steep))[0].noise for steep in (1, 4, 1e6)]
    assert noise[0] > 2 * noise[1] and noise[1] > 2 * noise[2]


@pytest.mark.parametrize("noise", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("times", [1, 1000])
def test_hard_cases_are_survived(noise, times):
    """Hundreds of contradictory sides at nearly the same position, and sides that all agree."""
    rng = np.random.default_rng(0)
    x, above = 0.5 + 1e-6 * rng.random((200, 2)), rng.random(200) < 0.5
    kernel, places, ones = Kernel(np.array([0.3, 0.3]), 1.0, noise), rng.random((50, 2)), np.ones((50, 1))
    for data in (sides(x, times * above, times * ~above), sides(rng.random((200, 2)), [times] * 200, [0] * 200)):
        mean, deviation = SidePosterior(kernel, data).mean_and_deviation(places, ones)
        assert np.isfinite(mean).all() and (deviation > 0).all() and (deviation <= np.sqrt(2) + 1e-6).all()
    assert mean.min() > 0  # all above


@pytest.mark.parametrize("draws", [1, 5])
@pytest.mark.parametrize(("mean", "variance"), [(0.0, 0.5), (0.7, 0.1), (-1.5, 1.0)])
def test_the_effective_noise_gives_the_expected_fall_of_the_variance(mean, variance, draws):
    noise, f = 0.2, mean + np.sqrt(variance) * np.linspace(-9, 9, 4001)
    density = np.exp(-0.5 * (f - mean) ** 2 / variance)
    density /= density.sum()
    p = ndtr(f / np.sqrt(noise))
    after = 0.0
    for likelihood in (p, 1 - p):
        weight = density * likelihood
        center = np.average(f, weights=weight)
        after += weight.sum() * np.average((f - center) ** 2, weights=weight)
    posterior = SidePosterior(Kernel(np.array([0.3]), 1.0, noise), sides([[0.5]], [1], [0]), draws)
    effective = posterior.noise_at(np.array([mean]), np.array([variance]))[0] * draws
    assert variance - variance**2 / (variance + effective) == pytest.approx(after, rel=1e-3)


def test_what_is_merged():
    data, kernel = drawn(300, 3), Kernel(np.array([0.4, 0.6]), 1.0, 0.1)
    merged, cell = merge_nearest_sides(data, kernel, 100)
    assert 50 < len(merged) <= 100 and cell.shape == (300,)
    np.testing.assert_array_equal(merged.count.sum(1), data.count.sum(1))
    for i in range(len(merged)):
        np.testing.assert_allclose(merged.x[i], data.x[cell == i].mean(0))
    places = np.random.default_rng(1).random((40, 2))
    one, other = (SidePosterior(kernel, d).mean_and_deviation(places, np.ones((40, 1))) for d in (data, merged))
    assert 0 < np.abs(one[0] - other[0]).mean() < 0.4 * one[1].mean()
