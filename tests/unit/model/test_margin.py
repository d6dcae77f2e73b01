import numpy as np
import pytest

from probes.activations import NAMES
from sweep.levelset.domain import Domain
from sweep.model import theory
from sweep.model.margin import MarginModel, TruthModel
from sweep.spec.spec import SweepSpec
from tests.helpers.landscape import true_critical, true_horizon


def rows(spec, count=60, reach=np.inf, seed=0):
    """Of the made-up landscape, at random places."""
    rng = np.random.default_rng(seed)
    measured = []
    for _ in range(count):
        w, b = rng.uniform(*spec.sigma_w), rng.uniform(*spec.sigma_b)
        depth = int(rng.integers(spec.depth[0], spec.depth[1] + 1))
        horizon = min(float(true_horizon(w, b)), reach * depth)
        margin = float(np.log(horizon / depth))
        censored = horizon == reach * depth
        measured.append({"sigma_w": w, "sigma_b": b, "depth": depth, "margin": margin, "margin_censored": censored})
    return measured


def margin_of(model, w, b, depth):
    mean = model.level_set.mean_and_deviation(model.at(sigma_w=w, sigma_b=b, depth=depth))[0]
    return mean - model.shift(depth)


@pytest.mark.parametrize(
    ("options", "names", "levels"),
    [
        ({}, ["sigma_b", "sigma_w"], 8),
        ({"depth": (20, 20)}, ["sigma_b", "sigma_w"], 1),
        ({"sigma_b": (0.2, 0.2)}, ["sigma_w"], 8),
        ({"sigma_w": (1, 1), "sigma_b": (0.2, 0.2), "points": 9}, ["depth"], 1),
        ({"architecture": "shrinking"}, ["depth", "sigma_b", "sigma_w"], 1),
        ({"statistic": "direct_retained"}, ["depth", "sigma_b", "sigma_w"], 1),
        ({"probe": "cascade"}, ["sigma_b", "sigma_w"], 8),
    ],
)
def test_axes_of_the_model(options, names, levels):
    model = MarginModel(SweepSpec(**options))
    assert model.names == names and len(model.level_set.levels) == levels


@pytest.mark.parametrize("architecture", ["mlp", "shrinking"])
def test_the_margin_at_every_depth(architecture):
    spec = SweepSpec(architecture=architecture)
    model = MarginModel(spec)
    model.tell(rows(spec, 100))
    w, b, depth = np.array([1.0, 1.5, 1.9]), np.array([0.3, 0.6, 0.2]), np.array([10, 30, 50])
    np.testing.assert_allclose(margin_of(model, w, b, depth), np.log(true_horizon(w, b) / depth), atol=0.1)


def test_one_deep_probe_informs_every_depth():
    """Probes of depth 60 alone say where the boundary at depth 8 is."""
    spec = SweepSpec()
    model = MarginModel(spec)
    model.tell([{**r, "depth": 60, "margin": r["margin"] + np.log(r["depth"] / 60)} for r in rows(spec)])
    critical = float(true_critical(0.5))
    at = critical * np.exp(-np.sqrt(np.log(40 / 8) / 3))
    assert abs(margin_of(model, np.array([at]), np.array([0.5]), np.array([8]))[0]) < 0.1


def test_what_a_probe_sees():
    direct = {"statistic": "direct_horizon"}
    assert MarginModel(SweepSpec(**direct)).max_visible(20) == pytest.approx(np.log(60))
    assert MarginModel(SweepSpec(probe="cascade")).max_visible(20) == pytest.approx(np.log(20))
    assert MarginModel(SweepSpec(widths=(30,) * 24, depth=(4, 24), **direct)).max_visible(20) == pytest.approx(
        np.log(24)
    )
    assert MarginModel(SweepSpec(statistic="gradient_horizon")).max_visible(20) == pytest.approx(np.log(60))
    both = 1 / np.hypot(0.5 / 60, 1 / 60)  # both horizons are as long as can be seen
    assert MarginModel(SweepSpec()).max_visible(20) == pytest.approx(np.log(both))


RANGES = {"sigma_w": (0.8, 2.0), "sigma_b": (0.1, 0.8), "depth": (20, 20)}


@pytest.fixture(scope="module")
def scale():
    """Mean field's depth scale for tanh; on a coarser grid than usual, here and in the priors, for speed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theory, "_GRID_SIZE", 13)
        yield theory.depth_scale(SweepSpec(**RANGES))


def mean_field_error(scale, prior, activation, count):
    """Share misclassified after a search whose horizons are those of mean field for tanh, with noise."""
    model = MarginModel(SweepSpec(**RANGES, prior=prior, activation=activation)).level_set
    rng = np.random.default_rng(0)

    def log_horizon(points):  # columns in alphabetical order
        return np.log(scale(points[:, 1], points[:, 0])) + np.log(10 / 5)

    while len(model) < count:
        points = model.ask(4)
        model.tell(points, log_horizon(points) + 0.05 * rng.standard_normal(4))
    grid = Domain(model.axes, None, 0).from_unit(rng.random((2000, 2)))
    level = model.levels[0]
    return np.mean((model.mean_and_deviation(grid)[0] > level) != (log_horizon(grid) > level))


def test_theory_as_a_prior_helps_where_it_is_right(scale):
    assert mean_field_error(scale, "theory", "tanh", 16) < 0.5 * mean_field_error(scale, "none", "tanh", 16)


@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_a_wrong_theory_does_not_keep_the_boundary_from_being_found(scale, activation):
    assert mean_field_error(scale, "theory", activation, 64) < 0.03


def truth_rows(spec, shift, trained, seed=0):
    """The networks train where log(horizon / depth) exceeds a shift that the probe knows nothing of."""
    measured = rows(spec, 200, seed=seed)
    for i, r in enumerate(measured):
        if i < trained:
            r["accuracy"] = 0.1 + 0.8 / (1 + np.exp(-8 * (r["margin"] - shift)))
            r["chance"] = 0.1
    return measured


def classified(model, spec):
    rng = np.random.default_rng(9)
    w, b, d = rng.uniform(*spec.sigma_w, 2000), rng.uniform(*spec.sigma_b, 2000), rng.integers(5, 61, 2000)
    predicted = model.level_set.mean_and_deviation(model.at(sigma_w=w, sigma_b=b, depth=d))[0] > 0
    return predicted, np.log(true_horizon(w, b) / d)


def test_the_truth_may_resemble_the_prediction():
    spec = SweepSpec(train="boundary")
    margin = MarginModel(spec)
    measured = truth_rows(spec, 0.0, trained=12)
    margin.tell(measured)
    truth = TruthModel(margin)
    truth.retell(measured)
    predicted, score = classified(truth, spec)
    assert np.mean(predicted != (score > 0)) < 0.04
    alone = TruthModel(MarginModel(spec))  # the same trainings, and nothing predicted
    alone.retell(measured[:12])
    assert np.mean(classified(alone, spec)[0] != (score > 0)) > 0.08


def test_trainings_overrule_the_prediction():
    spec = SweepSpec(train="all")
    margin = MarginModel(spec)
    measured = truth_rows(spec, 0.7, trained=200)
    margin.tell(measured)
    truth = TruthModel(margin)
    truth.retell(measured)
    predicted, score = classified(truth, spec)
    assert np.mean(predicted != (score > 0.7)) < 0.05 < np.mean(predicted != (score > 0))


def test_nothing_told():
    margin = MarginModel(SweepSpec(train="all"))
    truth = TruthModel(margin)
    margin.tell([])
    truth.retell([])
    assert len(truth.level_set.ask(3)) == 3


@pytest.mark.parametrize("activation", NAMES)
def test_the_depth_scale_of_every_activation_is_a_positive_number(activation, monkeypatch):
    """Also where chi_1 is 0 or the variance grows without limit."""
    monkeypatch.setattr(theory, "_GRID_SIZE", 4)
    spec = SweepSpec(sigma_w=(0.3, 3.0), sigma_b=(0.0, 1.0), activation=activation, prior="theory")
    scale = theory.depth_scale(spec)(np.linspace(0.3, 3.0, 7)[:, None], np.linspace(0, 1, 5))
    assert np.isfinite(scale).all() and scale.min() > 0 and scale.max() <= 1000


def test_a_critical_line_that_is_not_there_has_no_value(monkeypatch):
    monkeypatch.setattr(theory, "critical_sigma_w", lambda sigma_b, activation: float("nan"))
    assert theory.critical_line_rows((0.1, 0.1), None, "gelu") == [{"sigma_b": 0.1, "critical_sigma_w": None}]
