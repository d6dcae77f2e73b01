import numpy as np
import pytest

from sweep.boundary import Axis, LevelSet

PLANE = [Axis("x", 0, 1), Axis("y", 0, 1)]


def circle(points):
    """Positive inside radius 0.3 around the middle."""
    return 0.3 - np.hypot(points[:, 0] - 0.5, points[:, 1] - 0.5)


def run(model, function, count, batch=4, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    while len(model) < count:
        points = model.ask(batch)
        model.tell(points, function(points) + noise * rng.standard_normal(len(points)))
    return model


def error(model, function):
    grid = np.stack(np.meshgrid(*[np.linspace(a.low, a.high, 60) for a in model.axes]), -1).reshape(-1, len(model.axes))
    return np.mean((model.mean_and_deviation(grid)[0] > model.level) != (function(grid) > model.level))


def test_finds_a_circle_better_than_sobol_points_do():
    ours, sobol = run(LevelSet(PLANE), circle, 40), LevelSet(PLANE)
    points = np.array([sobol._initial_point(i) for i in range(40)])
    sobol.tell(points, circle(points))
    assert error(ours, circle) < 0.01
    assert error(ours, circle) <= error(sobol, circle)


def test_points_gather_at_the_boundary():
    model = run(LevelSet(PLANE), circle, 60)
    late = model._points[model.initial :]
    assert np.median(np.abs(circle(late))) < 0.5 * np.median(np.abs(circle(np.random.default_rng(0).random((999, 2)))))


def test_survives_noise():
    assert error(run(LevelSet(PLANE), circle, 80, noise=0.05), circle) < 0.06


def test_a_level_other_than_zero():
    model = run(LevelSet(PLANE, level=5.0), lambda p: 5 + circle(p), 40)
    assert error(model, lambda p: 5 + circle(p)) < 0.01


def test_rescaling_an_axis_changes_nothing():
    scaled = [Axis("x", 0, 1000), Axis("y", -1, 1)]
    natural = run(LevelSet(PLANE), circle, 24)
    other = run(LevelSet(scaled), lambda p: circle(np.stack([p[:, 0] / 1000, (p[:, 1] + 1) / 2], 1)), 24)
    np.testing.assert_allclose(other._points[:, 0] / 1000, natural._points[:, 0], atol=1e-6)


def test_the_same_seed_gives_the_same_points_and_another_others():
    a, b, c = (run(LevelSet(PLANE, seed=s), circle, 24) for s in (0, 0, 1))
    assert np.array_equal(a._points, b._points) and not np.array_equal(a._points, c._points)


def test_pending_points_are_not_repeated():
    model = run(LevelSet(PLANE), circle, 24)
    first = model.ask(5)
    second = model.ask(5, first)
    assert len({tuple(p) for p in np.vstack([first, second])}) == 10
    nearest = np.linalg.norm(first[:, None] - second[None], axis=-1).min()
    assert nearest > 0.005


def test_asks_before_anything_was_told():
    points = LevelSet(PLANE).ask(20)
    assert points.shape == (20, 2) and len({tuple(p) for p in points}) == 20


def test_integer_and_log_axes_stay_within_range():
    axes = [Axis("depth", 5, 60, log=True, integer=True), Axis("w", 0.5, 2.5)]
    model = run(LevelSet(axes), lambda p: np.log(p[:, 0] / 20) + p[:, 1] - 1.5, 40)
    depth = model._points[:, 0]
    assert np.array_equal(depth, np.round(depth)) and depth.min() >= 5 and depth.max() <= 60


def test_an_exhausted_integer_axis_is_survived():
    model = LevelSet([Axis("depth", 1, 3, integer=True)])
    for _ in range(8):
        points = model.ask(1)
        model.tell(points, points[:, 0] - 2)
    assert len(model) == 8


def test_a_censored_value_is_a_lower_bound():
    """A hump of height 2 seen through a ceiling of 1: the model knows that it is higher, and where its top is."""

    def hump(p):
        return 2 - 8 * (p[:, 0] - 0.4) ** 2

    axes = [Axis("x", 0, 1)]
    points = np.linspace(0, 1, 25)[:, None]
    seen, ceiling = hump(points), 1.0
    honest, naive = LevelSet(axes), LevelSet(axes)
    honest.tell(points, np.minimum(seen, ceiling), seen > ceiling)
    naive.tell(points, np.minimum(seen, ceiling))
    top = np.array([[0.4]])
    assert honest.mean_and_deviation(top)[0][0] > 1.2 > 1.1 > naive.mean_and_deviation(top)[0][0]


def test_a_trend_is_exact():
    axes = [Axis("x", 0, 1), Axis("depth", 5, 60)]
    model = LevelSet(axes, trend=lambda p: -np.log(p[:, 1]))
    points = model.ask(12)
    model.tell(points, 3 - np.log(points[:, 1]))
    far = np.array([[0.9, 60.0], [0.1, 5.0]])
    np.testing.assert_allclose(model.mean_and_deviation(far)[0], 3 - np.log(far[:, 1]), atol=0.01)


@pytest.mark.parametrize("values", [[np.nan] * 20, [1.0] * 20, [np.inf, 1.0, np.nan] + [0.5] * 17])
def test_useless_observations_are_survived(values):
    model = LevelSet(PLANE)
    model.tell(model.ask(20), values)
    assert np.isfinite(model.ask(4)).all()


def test_duplicates_are_survived():
    model = LevelSet(PLANE)
    points = np.vstack([model.ask(10)] * 3)
    model.tell(points, circle(points))
    assert np.isfinite(model.mean_and_deviation(points)[0]).all()


def test_draws_agree_with_the_mean_and_deviation():
    model = run(LevelSet(PLANE), circle, 20)
    grid = np.random.default_rng(1).random((15, 2))
    draws = model.sample(grid, 4000)
    mean, deviation = model.mean_and_deviation(grid)
    # 4000 draws know a mean to 1/63 of a deviation, and a deviation to 1 %; four of those. The jitter adds 1e-3.
    assert np.all(np.abs(draws.mean(0) - mean) < 4 * np.sqrt(deviation**2 + 1e-6 * draws.var()) / 63 + 1e-3)
    np.testing.assert_allclose(draws.std(0), deviation, rtol=0.1, atol=2e-3)


@pytest.mark.parametrize(
    "bad",
    [
        lambda: Axis("x", 1, 1),
        lambda: Axis("x", 0, 1, log=True),
        lambda: Axis("x", 0, np.inf),
        lambda: LevelSet([]),
    ],
)
def test_bad_axes(bad):
    with pytest.raises(ValueError, match="must"):
        bad()


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"`points` must be \[2, 2\]"):
        LevelSet(PLANE).tell(np.zeros((2, 3)), [0, 1])
