import numpy as np
import optuna
import pytest
from scipy.special import ndtr

from sweep import BoundarySampler
from sweep.levelset.domain import Axis
from sweep.levelset.level_set import LevelSet
from sweep.levelset.outcome import SideView

PLANE = [Axis("x", 0, 1), Axis("y", 0, 1)]
LINE = [Axis("x", 0, 1)]


def circle(points):
    """Positive inside radius 0.3 around the middle."""
    return 0.3 - np.hypot(points[:, 0] - 0.5, points[:, 1] - 0.5)


def searched(model, observe, count, batch=8, seed=0):
    rng = np.random.default_rng(seed)
    while len(model) < count:
        points = model.ask(batch)
        model.tell(points, observe(points, rng))
    return model


def error(model, level=0.0):
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 60)] * 2), -1).reshape(-1, 2)
    return np.mean((model.mean(grid) > level) != (circle(grid) > 0))


def jump(points, rng):
    return np.sign(circle(points)) + 0.05 * rng.standard_normal(len(points))


def yes_or_no(points, rng):
    return (rng.random(len(points)) < ndtr(25 * circle(points))).astype(float)


def smooth(points, rng):
    return circle(points) + 0.01 * rng.standard_normal(len(points))


def test_sides_find_a_jump_better_than_values():
    side, value = (
        np.mean([error(searched(LevelSet(PLANE, outcome=o, seed=s), jump, 64, seed=s)) for s in range(3)])
        for o in ("side", "value")
    )
    assert side < 0.7 * value and side < 0.01


def test_yes_or_no_is_seen_at_once_and_is_about_the_probability():
    model = searched(LevelSet(PLANE, levels=0.5, outcome="auto"), yes_or_no, 96)
    assert model.seen_as == "side" and error(model, 0.5) < 0.06
    mean, deviation = model.mean_and_deviation(np.array([[0.5, 0.5], [0.02, 0.02]]))
    assert 0.9 < mean[0] <= 1 and 0 <= mean[1] < 0.1 and (deviation > 0).all()
    assert 0 < model.expected_error() < 0.1
    draws = model.sample(np.array([[0.5, 0.5], [0.5, 0.2]]), 50)
    assert draws.min() >= 0 and draws.max() <= 1 and np.std(draws[:, 1]) > 0.01


@pytest.mark.parametrize("outcome", ["value", "auto"])
def test_a_few_equal_values_are_not_taken_for_yes_or_no(outcome):
    model = LevelSet(PLANE, levels=0.5, outcome=outcome)
    points = np.random.default_rng(0).random((7, 2))
    model.tell(points, [0.0, 1.0] * 3 + [0.0])
    assert model.seen_as == "value"
    model.tell(1 - points, [0.0, 1.0] * 3 + [0.0])
    assert model.seen_as == ("side" if outcome == "auto" else "value")


def test_auto_takes_values_where_they_are_smooth_and_sides_where_they_jump():
    value, auto = (searched(LevelSet(PLANE, outcome=o), smooth, 40) for o in ("value", "auto"))
    assert auto.seen_as == "value" and np.array_equal(value.ask(8), auto.ask(8))
    assert searched(LevelSet(PLANE, outcome="auto"), jump, 64).seen_as == "side"


@pytest.mark.parametrize("outcome", ["side", "auto"])
def test_the_order_of_telling_changes_nothing(outcome):
    rng = np.random.default_rng(5)
    points = rng.random((40, 2))
    values, censored = jump(points, rng), np.arange(40) % 5 == 0
    order = rng.permutation(40)
    one, other = LevelSet(PLANE, outcome=outcome), LevelSet(PLANE, outcome=outcome)
    one.tell(points, values, censored)
    other.tell(points[order], values[order], censored[order])
    assert np.array_equal(one.ask(4), other.ask(4))


def test_shares_cross_several_levels():
    """The share of a yes is x; one observation of 200 draws tells more than one of 2."""
    x, rng = np.linspace(0.02, 0.98, 25)[:, None], np.random.default_rng(0)
    deviations = []
    for count in (2, 200):
        model = LevelSet(LINE, levels=[0.25, 0.5, 0.75], outcome="auto")
        model.tell(x, rng.binomial(count, x[:, 0]) / count, counts=[count] * 25)
        mean, deviation = model.mean_and_deviation(np.array([[0.25], [0.5], [0.75]]))
        assert model.seen_as == "side" and np.all(np.abs(mean - [0.25, 0.5, 0.75]) < 3 * deviation)
        deviations.append(deviation)
    assert np.all(deviations[1] < 0.5 * deviations[0]) and deviations[1].max() < 0.03
    asked = model.ask(24)[:, 0]
    assert np.mean(np.abs(np.subtract.outer(asked, [0.25, 0.5, 0.75])).min(1) < 0.06) > 0.5


def test_counts_are_the_noise_of_values():
    """By default, too: a share of few draws is trusted less."""
    model = LevelSet(LINE, levels=0.5)
    x = np.linspace(0, 1, 20)[:, None]
    model.tell(x, np.full(20, 0.5), counts=[2] * 10 + [2000] * 10)
    few, many = model.mean_and_deviation(np.array([[0.2], [0.8]]))[1]
    assert few > 2 * many


@pytest.mark.parametrize(("share", "count"), [(1.2, 5), (-0.1, 5), (0.5, -1), (0.5, np.nan)])
def test_impossible_shares_teach_nothing(share, count):
    model = LevelSet(LINE, outcome="auto")
    model.tell([[0.5]], [share], counts=[count])
    assert len(model) == 0


def test_a_bound_below_the_level_has_no_side_and_one_above_has():
    model = LevelSet(LINE, levels=0.0, outcome="side")
    model.tell([[0.1], [0.9], [0.5]], [-1.0, -0.5, 1.0], [False, True, True])
    mean, deviation = model.mean_and_deviation(np.array([[0.1], [0.9], [0.5]]))
    assert mean[0] < -0.3 and mean[2] > 0.3 and deviation[1] > deviation[0]
    assert model.reweighted(np.array([[0.5]]), np.ones((2, 3))).shape == (2, 1)


def test_bounds_alone_have_no_sides():
    model = LevelSet(LINE, levels=2.0, outcome="side")
    model.tell(model.ask(12), [1.0] * 12, [True] * 12)
    assert np.isfinite(model.ask(4)).all() and model.seen_as == "value"


def test_a_known_variance_makes_a_side_count_less():
    means = []
    for variance in (0.0, 4.0):
        model = LevelSet(LINE, outcome="side")
        model.tell([[0.4], [0.6], [0.5]], [-1.0, -1.0, 1.0], variances=[0.0, 0.0, variance])
        means.append(model.mean(np.array([[0.5]]))[0])
    assert means[1] < means[0] - 0.1


@pytest.mark.parametrize("values", [[1.0] * 20, [0.0] * 20, [np.nan] * 20, [1.0, np.inf] * 10])
@pytest.mark.parametrize("outcome", ["side", "auto"])
def test_values_that_are_all_the_same_are_survived(values, outcome):
    model = LevelSet(PLANE, outcome=outcome)
    model.tell(model.ask(20), values)
    assert np.isfinite(model.ask(4)).all()
    assert not len(model) or 0 <= model.expected_error() <= 0.5


def test_many_sides_are_merged_without_loss(monkeypatch):
    rng = np.random.default_rng(0)
    points, grid = rng.random((400, 2)), rng.random((300, 2))
    all_of_them, merged = (LevelSet(PLANE, levels=0.5, outcome="side") for _ in range(2))
    all_of_them.tell(points, yes_or_no(points, np.random.default_rng(1)))
    merged.tell(points, yes_or_no(points, np.random.default_rng(1)))
    mean, deviation = all_of_them.mean_and_deviation(grid)
    monkeypatch.setattr(SideView, "max_conditioned", 200)
    merged_mean = merged.mean(grid)
    assert 0 < np.abs(merged_mean - mean).mean() < 0.3 * deviation.mean()


def test_six_axes():
    model = LevelSet([Axis(f"x{i}", 0, 1) for i in range(6)], outcome="auto")
    rng = np.random.default_rng(0)
    while len(model) < 64:
        points = model.ask(8)
        model.tell(points, points[:, 0] + 0.5 * points[:, 3] - 0.75 + 0.01 * rng.standard_normal(8))
    test = rng.random((2000, 6))
    assert np.mean((model.mean(test) > 0) != (test[:, 0] + 0.5 * test[:, 3] > 0.75)) < 0.03


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outcome": "yes"}, "`outcome` must be one of value, side, auto, got 'yes'"),
        ({"outcome": "side", "aim": "ridge"}, "`outcome` must be 'value' or 'auto'"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        LevelSet(PLANE, **options)


def test_values_have_sides_of_one_level_only():
    model = LevelSet(LINE, levels=[0.0, 1.0], outcome="side")
    model.tell(model.ask(12), np.linspace(-1, 2, 12))
    with pytest.raises(ValueError, match="`levels` must be one"):
        model.ask(1)


def test_a_study_of_shares():
    """Count and variance are attributes of a trial; what makes no sense there teaches nothing."""
    random = np.random.default_rng(0)

    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        trial.set_user_attr("count", 20 if trial.number % 5 else "twenty")
        return random.binomial(20, ndtr((x - 0.3) / 0.1)) / 20

    study = optuna.create_study(sampler=BoundarySampler(levels=0.5, outcome="auto", seed=0))
    study.optimize(objective, n_trials=30)
    model = study.sampler.model(study)
    assert len(model) == 24 and model.seen_as == "side"
    assert model.mean(np.array([[0.3]]))[0] == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("variance", [None, "much", [1.0]])
def test_a_variance_that_is_no_number_teaches_nothing(variance):
    def objective(trial):
        trial.set_user_attr("variance", variance if trial.number % 2 else 0.1)
        return trial.suggest_float("x", 0, 1) - 0.3

    study = optuna.create_study(sampler=BoundarySampler(seed=0))
    study.optimize(objective, n_trials=12)
    assert len(study.sampler.model(study)) == 6
