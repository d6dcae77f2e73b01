import numpy as np
import pytest

from sweep.levelset.domain import Axis
from sweep.levelset.level_set import LevelSet
from sweep.levelset.scaling import scale_of

PLANE = [Axis("x", 0, 1), Axis("y", 0, 1)]
LEVELS = np.array([0.0])


def wave(points):
    return np.sin(5 * points[:, 0]) + 1.5 * points[:, 1] - 0.9


def searched(function, count=64, level=0.0, outcome="value", noise=0.02):
    model, rng = LevelSet(PLANE, levels=level, outcome=outcome), np.random.default_rng(0)
    asked = []
    while len(asked) < count:
        points = model.ask(8)
        values = function(points)
        model.tell(points, values + noise * np.ptp(wave(points)) * rng.standard_normal(8) * (np.abs(values) < 10))
        asked += list(points)
    return model, np.array(asked)


def error(model, truth, where=None, level=0.0):
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 60)] * 2), -1).reshape(-1, 2)
    grid = grid if where is None else grid[where(grid)]
    return np.mean((model.mean(grid) > level) != (truth(grid) > level))


def test_ordinary_values_are_standardised_exactly():
    y, x = np.random.default_rng(0).standard_normal(60), np.random.default_rng(1).random((60, 2))
    scale = scale_of(y, LEVELS, x)
    assert np.array_equal(scale.values(y), (y - y.mean()) / y.std())
    assert np.array_equal(scale.variances(y, np.ones(60)), np.ones(60) / y.std() ** 2)
    assert np.array_equal(scale.back(scale.values(y)), scale.values(y) * y.std() + y.mean())


@pytest.mark.parametrize("power", [-990, -40, 40, 990])
def test_a_power_of_two_changes_nothing(power):
    """From 1e-298 to 1e298."""
    points = np.random.default_rng(0).random((40, 2))
    plain, other = LevelSet(PLANE, levels=[0.0, 0.3]), LevelSet(PLANE, levels=np.ldexp([0.0, 0.3], power))
    plain.tell(points, wave(points))
    other.tell(points, np.ldexp(wave(points), power))
    assert np.array_equal(plain.ask(8), other.ask(8))
    assert np.array_equal(np.ldexp(plain.mean(points), power), other.mean(points))
    assert np.array_equal(plain.sample(points, 3), np.ldexp(other.sample(points, 3), -power))


@pytest.mark.parametrize("outcome", ["value", "auto"])
def test_a_region_of_huge_values_does_not_spoil_the_rest(outcome):
    def function(points):
        far = (points[:, 0] - 0.75) ** 2 + (points[:, 1] - 0.3) ** 2 < 0.0144
        return np.where(far, 1e4, wave(points))

    model, _ = searched(function, outcome=outcome)
    assert error(model, function) < 0.05
    assert error(model, function, lambda p: p[:, 0] < 0.5) < 0.015


@pytest.mark.parametrize("value", [1e9, -1e300])
def test_one_outlier_does_not_spoil_the_rest(value):
    model, _ = searched(wave, 40)
    model.tell([[0.3, 0.6]], [value])
    assert error(model, wave, lambda p: ((p - [0.3, 0.6]) ** 2).sum(1) > 0.04) < 0.05


def test_half_of_the_values_infinite():
    def function(points):
        return np.where(points[:, 0] > 0.5, np.inf, wave(points))

    model, asked = searched(function, 96)
    assert error(model, wave, lambda p: p[:, 0] < 0.5) < 0.02
    assert len({tuple(p) for p in asked}) == 96


def test_values_of_all_magnitudes():
    """From 1e-300 to 1e300 and back: only the place where they cross 1 matters."""

    def function(points):
        with np.errstate(over="ignore"):
            return 10.0 ** (300 * np.tanh(wave(points)))

    model, _ = searched(function, 64, level=1.0, noise=0.0)
    assert error(model, function, level=1.0) < 0.06


def test_the_order_and_the_sides_stay():
    rng = np.random.default_rng(0)
    y = np.sort(
        np.concatenate([rng.standard_normal(50), 10.0 ** rng.uniform(2, 12, 5), -(10.0 ** rng.uniform(2, 12, 5))])
    )
    scale = scale_of(y, np.array([-0.2, 0.4]), rng.random((60, 2)))
    values, levels = scale.values(y), scale.values(np.array([-0.2, 0.4]))
    assert (np.diff(values) >= 0).all() and np.ptp(values) < 10
    for level, there in zip((-0.2, 0.4), levels, strict=True):
        assert np.array_equal(y > level, values > there)
    near = np.abs(y) < 0.3
    np.testing.assert_allclose(scale.back(values)[near], y[near])


def test_tiny_values_are_no_rounding():
    model = LevelSet(PLANE)
    points = np.random.default_rng(0).random((40, 2))
    model.tell(points, 1e-12 * wave(points))
    assert error(model, lambda p: 1e-12 * wave(p)) < 0.03


def test_a_level_far_from_all_values_leaves_the_search_even():
    model = LevelSet(PLANE, levels=1e12)
    points = np.random.default_rng(0).random((40, 2))
    model.tell(points, wave(points))
    asked = model.ask(16)
    assert np.ptp(asked, axis=0).min() > 0.3 and model.mean(points).max() < 1e11
