import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.levelset import level_set, targets
from sweep.levelset.domain import Axis
from sweep.levelset.gaussian_process import Kernel, Observations
from sweep.levelset.level_set import LevelSet
from sweep.levelset.merging import merge_nearest
from sweep.levelset.outcome import ValueView

PLANE = [Axis("x", 0, 1), Axis("y", 0, 1)]


def circle(points):
    """Positive inside radius 0.3 around the middle."""
    return 0.3 - np.hypot(points[:, 0] - 0.5, points[:, 1] - 0.5)


def two_regions(points):
    """A large one, and a small one that does not touch it."""
    small = 0.1 - np.hypot(points[:, 0] - 0.85, points[:, 1] - 0.85)
    return np.maximum(0.25 - np.hypot(points[:, 0] - 0.3, points[:, 1] - 0.3), small)


def searched(model, function, count, batch=4, noise=0.0, seed=0):
    """The points of a search, in order."""
    rng = np.random.default_rng(seed)
    asked = []
    while len(model) < count:
        points = model.ask(batch)
        model.tell(points, function(points) + noise * rng.standard_normal(len(points)))
        asked.append(points)
    return np.vstack(asked)


def run(model, *args, **options):
    searched(model, *args, **options)
    return model


def places(model):
    return np.stack(np.meshgrid(*[np.linspace(a.low, a.high, 60) for a in model.axes]), -1).reshape(-1, len(model.axes))


def error(model, function):
    grid = places(model)
    mean = model.mean_and_deviation(grid)[0]
    return np.mean([np.mean((mean > level) != (function(grid) > level)) for level in model.levels])


def sobol(function, count, axes=PLANE, noise=0.0):
    model = LevelSet(axes)
    points = model.ask(count)  # before anything is told, they are spread over the domain
    model.tell(points, function(points) + noise * np.random.default_rng(0).standard_normal(count))
    return model


def test_finds_a_circle_better_than_sobol_points_do():
    assert error(run(LevelSet(PLANE), circle, 40), circle) <= min(0.005, error(sobol(circle, 40), circle))


def test_points_gather_at_the_boundary():
    model = LevelSet(PLANE)
    late = searched(model, circle, 60)[model.initial :]
    assert np.median(np.abs(circle(late))) < 0.5 * np.median(np.abs(circle(np.random.default_rng(0).random((999, 2)))))


def test_noise_is_averaged_where_it_matters():
    ours = [error(run(LevelSet(PLANE, seed=s), circle, 80, 12, noise=0.05, seed=s), circle) for s in range(3)]
    assert np.mean(ours) < 0.03 and np.mean(ours) < error(sobol(circle, 80, noise=0.05), circle)


def test_regions_that_do_not_touch_are_both_found():
    assert error(run(LevelSet(PLANE), two_regions, 96, batch=12), two_regions) < 0.02


def test_several_levels_at_once():
    levels = [0.2, 0.0, -0.2]
    model = run(LevelSet(PLANE, levels=levels), circle, 60)
    assert list(model.levels) == sorted(levels) and error(model, circle) < 0.01


def test_the_ridge_is_found_and_its_neighbourhood_searched():
    def ridge(p):
        return 1 - 6 * (p[:, 1] - 0.3 - 0.3 * p[:, 0]) ** 2

    model = LevelSet(PLANE, aim="ridge", along="y")
    late = searched(model, ridge, 48, batch=8, noise=0.02)[16:]
    x, y = np.linspace(0, 1, 9), np.linspace(0, 1, 401)
    top = [y[model.mean_and_deviation(np.column_stack([np.full(401, v), y]))[0].argmax()] for v in x]
    np.testing.assert_allclose(top, 0.3 + 0.3 * x, atol=0.04)
    assert np.median(np.abs(late[:, 1] - 0.3 - 0.3 * late[:, 0])) < 0.15


def test_both_aims_share_the_points():
    late = searched(LevelSet(PLANE, aim="both"), circle, 72, batch=16)[8:]
    on_ridge = np.abs(late[:, 0] - 0.5) < 0.1
    at_boundary = np.abs(circle(late)) < 0.05
    assert (on_ridge & ~at_boundary).sum() >= 6 and at_boundary.sum() >= 20


@settings(max_examples=8, deadline=None)
@given(st.permutations(range(20)), st.integers(1, 19))
def test_the_order_of_telling_changes_nothing(order, cut):
    points = np.random.default_rng(5).random((20, 2))
    values, censored = circle(points), np.arange(20) % 5 == 0
    one, other = LevelSet(PLANE), LevelSet(PLANE)
    one.tell(points, values, censored)
    for part in (order[:cut], order[cut:]):
        other.tell(points[list(part)], values[list(part)], censored[list(part)])
    assert np.array_equal(one.ask(3), other.ask(3))
    assert np.array_equal(one.mean_and_deviation(points), other.mean_and_deviation(points))


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 40), st.integers(1, 20), st.integers(1, 20))
def test_asking_twice_gives_disjoint_points(told, first, second):
    model = LevelSet(PLANE)
    points = np.random.default_rng(5).random((told, 2))
    model.tell(points, circle(points))
    asked = np.vstack([model.ask(first), model.ask(second)])
    assert len({tuple(p) for p in asked} | {tuple(p) for p in points}) == told + first + second


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_batches_of_any_size_spread(batch):
    model = run(LevelSet(PLANE), circle, 24)
    points = model.ask(batch)
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1) + np.eye(batch)
    assert len(points) == batch and distances.min() > 1e-3


def test_rescaling_an_axis_changes_nothing():
    scaled = [Axis("x", 0, 1000), Axis("y", -1, 1)]
    natural = searched(LevelSet(PLANE), circle, 24)
    other = searched(LevelSet(scaled), lambda p: circle(np.stack([p[:, 0] / 1000, (p[:, 1] + 1) / 2], 1)), 24)
    np.testing.assert_allclose(other[:, 0] / 1000, natural[:, 0], atol=1e-6)


def test_the_same_seed_gives_the_same_points_and_another_others():
    a, b, c = (searched(LevelSet(PLANE, seed=s), circle, 24) for s in (0, 0, 1))
    assert np.array_equal(a, b) and not np.array_equal(a, c)


def test_pending_points_are_not_repeated():
    model = run(LevelSet(PLANE), circle, 24)
    first = model.ask(5, np.empty((0, 2)))
    second = model.ask(5, first)
    assert np.linalg.norm(first[:, None] - second[None], axis=-1).min() > 0.005


@pytest.mark.parametrize("axes", [1, 2, 3, 4])
def test_one_to_four_axes(axes):
    def ball(p):
        return 0.35 - np.linalg.norm(p - 0.5, axis=1)

    model = run(LevelSet([Axis(f"x{i}", 0, 1) for i in range(axes)]), ball, 60, batch=10)
    grid = np.random.default_rng(0).random((4000, axes))
    assert np.mean((model.mean_and_deviation(grid)[0] > 0) != (ball(grid) > 0)) < 0.02


def test_asks_before_anything_was_told():
    points = LevelSet(PLANE).ask(20)
    assert points.shape == (20, 2) and len({tuple(p) for p in points}) == 20


def test_integer_and_log_axes_stay_within_range():
    axes = [Axis("depth", 5, 60, log=True, integer=True), Axis("w", 0.5, 2.5)]
    depth = searched(LevelSet(axes), lambda p: np.log(p[:, 0] / 20) + p[:, 1] - 1.5, 40)[:, 0]
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
    assert honest.mean_and_deviation(top)[1][0] > naive.mean_and_deviation(top)[1][0]


def test_known_noise_is_taken_into_account():
    """Half of the domain is ten times as noisy; told so, the model trusts it less."""
    rng = np.random.default_rng(0)
    points = rng.random((60, 1))
    deviation = np.where(points[:, 0] > 0.5, 0.5, 0.01)
    model = LevelSet([Axis("x", 0, 1)])
    model.tell(points, np.sin(3 * points[:, 0]) + deviation * rng.standard_normal(60), None, deviation**2)
    quiet, loud = model.mean_and_deviation(np.array([[0.25], [0.75]]))[1]
    assert loud > 4 * quiet


def test_a_right_feature_helps_and_a_wrong_one_does_not_mislead():
    def line(p):
        return np.tanh(8 * (p[:, 0] - 0.3 - 0.4 * p[:, 1] ** 2))

    right, wrong, none = (
        run(LevelSet(PLANE, features=f), line, 24, noise=0.05)
        for f in (line, lambda p: np.tanh(8 * (p[:, 0] + p[:, 1] - 1)), None)
    )
    assert error(right, line) < error(none, line)
    assert error(run(wrong, line, 64, noise=0.05), line) < 0.03


def test_a_feature_is_extrapolated():
    axes = [Axis("x", 0, 1), Axis("depth", 5, 60)]
    model = LevelSet(axes, features=lambda p: -np.log(p[:, 1]))
    points = np.column_stack([np.random.default_rng(0).random(20), np.linspace(5, 30, 20)])
    model.tell(points, 3 - np.log(points[:, 1]))
    far = np.array([[0.9, 60.0], [0.1, 5.0]])
    np.testing.assert_allclose(model.mean_and_deviation(far)[0], 3 - np.log(far[:, 1]), atol=0.05)


@pytest.mark.parametrize("axis", [Axis("n", 1, 60, log=True, integer=True), Axis("n", 1, 60, integer=True)])
def test_a_trend_along_an_integer_axis_is_extrapolated(axis):
    def function(points):
        return 0.3 * points[:, 0] - 4 * axis.to_unit(points[:, 1])

    known = np.column_stack([np.random.default_rng(0).random(20), np.linspace(5, 15, 20).round()])
    model = LevelSet([Axis("x", 0, 1), axis])
    model.tell(known, function(known))
    far = np.array([[0.9, 60.0], [0.1, 40.0]])
    np.testing.assert_allclose(model.mean_and_deviation(far)[0], function(far), atol=0.3)


@pytest.mark.parametrize("values", [[np.nan] * 20, [1.0] * 20, [np.inf, 1.0, np.nan] + [0.5] * 17])
def test_useless_observations_are_survived(values):
    model = LevelSet(PLANE)
    model.tell(model.ask(20), values)
    assert np.isfinite(model.ask(4)).all()


def test_only_lower_bounds_leave_open_what_is_above_them():
    model = LevelSet(PLANE, levels=2.0)
    model.tell(model.ask(20), [1.0] * 20, [True] * 20)
    mean, deviation = model.mean_and_deviation(np.array([[0.5, 0.5]]))
    assert np.isfinite(model.ask(4)).all() and mean[0] > 1.0 and deviation[0] > 0.1
    assert model.expected_error() > 0.05


def test_values_equal_but_for_rounding_say_that_no_boundary_is_near():
    model = LevelSet(PLANE, levels=0.5)
    model.tell(model.ask(12), [0.1] * 12)
    mean, deviation = model.mean_and_deviation(np.array([[0.3, 0.3]]))
    assert mean[0] == pytest.approx(0.1, abs=1e-3) and 1e-7 < deviation[0] < 0.1
    assert np.ptp(model.ask(8), axis=0).min() > 0.2


def test_a_place_that_gave_nothing_is_not_tried_again():
    model = LevelSet(PLANE)
    points = [model.ask(1)[0] for _ in range(1)]
    for _ in range(20):
        model.tell(points[-1][None], [np.nan if len(points) % 2 else circle(points[-1][None])[0]])
        points.append(model.ask(1)[0])
    assert len({tuple(p) for p in points}) == len(points)


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_the_ridge_takes_its_turn_in_every_batch(batch):
    """However short a part of the batch is used."""
    model = LevelSet(PLANE, aim="both")
    used, seen, observed = 3, [], []
    real = level_set.ridge_targets
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, "_RIDGE_SECTIONS", 8)  # a third, for speed
        patch.setattr(level_set, "ridge_targets", lambda *a: (seen.append(len(model)), real(*a))[1])
        while len(model) < 36:
            points = model.ask(batch, np.empty((0, 2)))[:used]
            model.tell(points, circle(points))
            observed += list(points)
    assert len(seen) >= 6
    late = np.array(observed[8:])
    assert ((np.abs(late[:, 0] - 0.5) < 0.1) & (np.abs(circle(late)) > 0.05)).sum() >= 3


def test_a_hundred_and_more_points_at_once():
    model = run(LevelSet(PLANE), circle, 24)
    assert len({tuple(p) for p in model.ask(150)}) == 150


def test_duplicates_are_survived():
    model = LevelSet(PLANE)
    points = np.vstack([model.ask(10)] * 3)
    model.tell(points, circle(points))
    assert np.isfinite(model.mean_and_deviation(points)[0]).all() and np.isfinite(model.ask(4)).all()


def test_many_observations_are_merged_without_loss(monkeypatch):
    rng = np.random.default_rng(0)
    points, grid = rng.random((1500, 2)), rng.random((300, 2))
    values = circle(points) + 0.05 * rng.standard_normal(1500)
    all_of_them, merged = LevelSet(PLANE), LevelSet(PLANE)
    all_of_them.tell(points, values)
    merged.tell(points, values)
    mean, deviation = all_of_them.mean_and_deviation(grid)
    monkeypatch.setattr(ValueView, "max_conditioned", 1000)
    merged_mean, merged_deviation = merged.mean_and_deviation(grid)
    assert 0 < np.abs(merged_mean - mean).max() < 0.2 * deviation.mean()
    np.testing.assert_allclose(merged_deviation, deviation, rtol=0.05)


@pytest.mark.parametrize("bounds", [False, True])
def test_what_is_merged(bounds):
    rng = np.random.default_rng(0)
    x, y, bound = rng.random((300, 2)), rng.random(300), bounds & (rng.random(300) > 0.5)
    data = Observations(x, y, np.zeros(300), bound, np.ones((300, 1)))
    merged, cell = merge_nearest(data, Kernel(np.array([0.5, 0.5])), 100)
    assert 50 < len(merged) <= 100 and cell.shape == (300,)
    for i in range(len(merged)):
        part = cell == i
        assert merged.y[i] == pytest.approx(y[part].mean()) and (bound[part] == merged.bound[i]).all()
        np.testing.assert_allclose(merged.x[i], x[part].mean(0))
        assert np.ptp(x[part], axis=0).max() < 0.2
        assert 0.01 + merged.variance[i] == pytest.approx(0.01 / part.sum())


def test_the_expected_error_is_about_the_error():
    ratios = []
    for seed in range(4):
        model = run(LevelSet(PLANE, seed=seed), circle, 48, batch=10, noise=0.05, seed=seed)
        ratios.append(error(model, circle) / model.expected_error())
    assert 0.5 < np.mean(ratios) < 2


def test_draws_agree_with_the_mean_and_deviation():
    model = run(LevelSet(PLANE), circle, 20)
    grid = np.random.default_rng(1).random((15, 2))
    draws = model.sample(grid, 4000)
    mean, deviation = model.mean_and_deviation(grid)
    np.testing.assert_allclose(model.mean(grid), mean, rtol=1e-9)
    # 4000 draws know a mean to 1/63 of a deviation, and a deviation to 1 %; four of those.
    assert np.all(np.abs(draws.mean(0) - mean) < 4 * deviation / 63 + 1e-4)
    np.testing.assert_allclose(draws.std(0), deviation, rtol=0.1, atol=1e-4)


@pytest.mark.parametrize(
    "bad",
    [
        lambda: Axis("x", 1, 1),
        lambda: Axis("x", 0, 1, log=True),
        lambda: Axis("x", 0, np.inf),
        lambda: LevelSet([]),
        lambda: LevelSet(PLANE, aim="minimum"),
        lambda: LevelSet(PLANE, along="z"),
        lambda: LevelSet(PLANE, levels=[]),
        lambda: LevelSet(PLANE, levels=[0.0, np.nan]),
    ],
)
def test_bad_arguments(bad):
    with pytest.raises(ValueError, match="must"):
        bad()


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"`points` must be \[2, 2\]"):
        LevelSet(PLANE).tell(np.zeros((2, 3)), [0, 1])
