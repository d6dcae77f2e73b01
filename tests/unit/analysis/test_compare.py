import json
import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.contour import ContourSet

from probes import Point
from sweep.analysis.compare import compare
from sweep.analysis.skill import auc, best_threshold, bootstrap_auc, iou
from sweep.analysis.statistics import STATISTICS
from sweep.analysis.surface import Surface, distance_to_boundary, truth_surface
from sweep.cli.compared import comparison_text
from sweep.errors import SpecError
from sweep.levelset.domain import Axis
from sweep.levelset.level_set import LevelSet
from sweep.plots.comparison import comparison_figure
from sweep.results.loading import load
from sweep.spec.rows import row
from sweep.spec.spec import SweepSpec
from sweep.storage.store import Store
from sweep.storage.sweep_files import SPEC_FILE
from tests.helpers.landscape import made_up, true_critical, true_horizon

SPEC = SweepSpec(points=150, sigma_w=(0.6, 2.6), depth=(5, 60), train="all", seed=3)


def trained_sweep(path, spec=SPEC, count=100, seed=0, train=lambda m: True):
    """Return a sweep on the made-up landscape, where networks train if the true horizon reaches 0.8 of their depth."""
    path.mkdir()
    spec.save(path / SPEC_FILE)
    store = Store(path)
    store.create()
    rng, noise = (np.random.default_rng(s) for s in (seed, seed + 99))
    rows = []
    for i in range(count):
        w, b, d = (rng.uniform(*getattr(spec, a)) for a in ("sigma_w", "sigma_b", "depth"))
        m = made_up(Point(float(w), float(b), int(d), seed * 1000 + i))
        good = true_horizon(w, b) > 0.8 * int(d)
        m.values.update({"direct_seconds": 0.5, "direct_flops": 1e9, "xi_c": 100.0, "chi_1": w / true_critical(b)})
        m.values.update({"gradient_norm": 5 * math.log(w / true_critical(b)), "gradient_ratio": float(rng.normal())})
        m.values.update({"gradient_horizon": float(rng.uniform(1, 9)), "gradient_horizon_censored": False})
        m.values.update({"differential_entropy": float(rng.normal()), "cascade_cutoff": int(d) - 1})
        if train(m):
            m.values.update({"accuracy": float(noise.uniform(0.8, 0.9) if good else noise.uniform(0.1, 0.15))})
            m.values.update({"chance": 0.1, "train_seconds": 20.0, "train_flops": 5e10, "train_epochs": 15})
            m.values.update({"train_images": 6400})
        rows.append(row(m, pack=1, device="cpu", hostname="here", finished=1e9 + i))
    store.write(rows)
    return load(path)


@pytest.fixture
def make_trained(tmp_path):
    def make(*args, folder="trained", **keys):
        return trained_sweep(tmp_path / folder, *args, **keys)

    return make


@pytest.fixture(scope="module")
def standard(tmp_path_factory):
    return trained_sweep(tmp_path_factory.mktemp("standard") / "trained")


@pytest.fixture(scope="module")
def compared(standard):
    return compare(standard)


def test_auc_by_hand():
    truth = np.array([False, True, False, True])
    assert auc(np.array([1.0, 2.0, 3.0, 4.0]), truth) == 0.75
    assert auc(np.array([1.0, 1.0, 1.0, 1.0]), truth) == 0.5
    assert auc(np.array([0.0, 1.0, 0.0, 1.0]), truth) == 1.0
    assert math.isnan(auc(np.array([1.0, 2.0]), np.array([True, True])))


@pytest.mark.parametrize("values", [2, 7, 10**6])
def test_resampled_aucs_are_those_of_all_pairs(values):
    rng = np.random.default_rng(values)
    score, truth = rng.integers(0, values, 60) / 8.0, rng.random(60) < 0.4
    counts = np.concatenate([rng.multinomial(60, np.full(60, 1 / 60), 30), [truth, ~truth, np.zeros(60), np.ones(60)]])
    pairs = (score[truth][:, None] > score[~truth]) + 0.5 * (score[truth][:, None] == score[~truth])
    total = counts[:, truth].sum(1) * counts[:, ~truth].sum(1)
    with np.errstate(invalid="ignore"):
        expected = np.einsum("dp,pn,dn->d", counts[:, truth], pairs, counts[:, ~truth]) / total
    areas = bootstrap_auc(score, truth, counts)
    np.testing.assert_array_equal(areas, expected)
    assert np.isnan(areas[30:33]).all() and areas[33] == pytest.approx(auc(score, truth))


def test_resampled_aucs_of_many_points_take_little_memory():
    rng = np.random.default_rng(0)
    score = rng.normal(size=100_000)
    tracemalloc.start()
    try:
        (area,) = bootstrap_auc(score, score + rng.normal(size=len(score)) > 0, np.ones((1, len(score))))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert area == pytest.approx(5 / 6, abs=0.01) and peak < 50e6


def test_the_best_threshold_by_hand():
    truth = np.array([False, False, True, False, True, True])
    assert best_threshold(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), truth) == (
        pytest.approx(2.5),
        pytest.approx(5 / 6),
    )
    cut, right = best_threshold(np.array([1.0, 1.0, 1.0, 2.0]), np.array([False, True, False, True]))
    assert (cut, right) == (1.5, 0.75)  # equal scores stay together
    assert best_threshold(np.array([1.0, 2.0]), np.array([True, True]))[1] == 1.0


def test_iou_by_hand():
    one, other = np.array([[[-1.0, 1, 1, 1]], [[-1.0] * 4]]), np.array([[[-1.0, -1, 1, 1]], [[-1.0] * 4]])
    overlap = iou(one, other)
    assert overlap[0] == pytest.approx(2 / 3) and math.isnan(overlap[1])


def test_weights_of_one_change_nothing_and_of_two_count_twice():
    rng = np.random.default_rng(0)
    x, at = rng.uniform(size=(20, 2)), rng.uniform(size=(7, 2))
    y = np.sin(4 * x[:, 0]) + x[:, 1] + 0.1 * rng.normal(size=20)
    model = LevelSet([Axis("a", 0, 1), Axis("b", 0, 1)])
    model.tell(x, y)
    np.testing.assert_allclose(model.reweighted(at, np.ones((1, 20)))[0], model.mean_and_deviation(at)[0])
    heavy = np.ones((2, 20))
    heavy[1, 0] = 1e9  # goes through that observation
    through = model.reweighted(x[:1], heavy)
    assert abs(through[1, 0] - y[0]) < min(1e-3, abs(through[0, 0] - y[0]))
    with pytest.raises(ValueError, match=r"`weights` must be \[draws, 20\]"):
        model.reweighted(at, np.ones((1, 3)))


def test_a_good_prediction_looks_good_and_a_random_one_does_not(compared):
    table = compared.table
    assert list(table.index) == [n for n in STATISTICS if not n.startswith("cascade") or n == "cascade_cutoff"]
    good, useless = table.loc["direct_horizon"], table.loc["differential_entropy"]
    assert good["auc"] == 1.0 and good["auc_hard"] == 1.0 and good["auc_5"] == good["auc_95"] == 1.0
    assert 0.3 < useless["auc"] < 0.7 and useless["auc_5"] < 0.5 < useless["auc_95"]
    assert good["iou"] > 0.6
    assert good["accuracy"] < 1 == good["accuracy_best"] and good["threshold_best"] == pytest.approx(
        math.log(0.8), abs=0.1
    )
    assert math.isnan(useless["accuracy"]) and good["brier"] < 0.05 < 0.15 < useless["brier"]
    # chi_1 knows where the critical line is, but not how the band narrows with depth
    assert 0.5 < table.loc["chi_1", "auc"] < 1
    assert table.loc["xi_c", "auc"] == pytest.approx(
        auc(-np.log(compared.points["depth"]), compared.points["trainable"] == 1)
    )
    assert good["auc_minus_xi_c"] == pytest.approx(1 - table.loc["xi_c", "auc"])
    assert good["auc_minus_xi_c_5"] > 0


def test_calibrated_it_is_right_more_often(compared):
    good = compared.table.loc["direct_horizon"]
    assert good["accuracy"] + 0.03 < good["accuracy_calibrated"] <= good["accuracy_best"]
    assert compared.calibration.shift == pytest.approx(math.log(0.8), abs=0.1)
    text = comparison_text(compared)
    assert "calibr." in text and "by default" in text and "calibrated  " in text


def test_the_default_calibration_knows_nothing_of_the_trainings(make_trained, standard, compared):
    """Networks train at smaller margins than it supposes: those with a chance of a half do more often than not."""
    untrained = make_trained(replace(SPEC, train="none"), folder="untrained", train=lambda m: False)
    comparison = compare(untrained, standard)
    assert comparison.calibration.networks == 0
    assert comparison.default_reliability == compared.default_reliability
    middle = [b for b in comparison.default_reliability if b["points"] and 0.3 < b["predicted"] < 0.6]
    assert middle and all(b["observed"] > b["predicted"] for b in middle)


def test_the_hard_half_is_the_one_near_the_boundary(make_trained):
    points = make_trained(count=150).points
    distance = distance_to_boundary(truth_surface(SPEC, points), points, SPEC)
    # The true boundary: horizon = 0.8 depth, in closed form from the landscape.
    reach = np.sqrt(np.maximum(np.log(40 / (0.8 * points["depth"])), 0) / 3)
    ends = [np.log(true_critical(points["sigma_b"])) + s * reach for s in (-1, 1)]
    inside = [np.where((e > math.log(0.6)) & (e < math.log(2.6)), e, math.inf) for e in ends]
    true = np.minimum(*[np.abs(np.log(points["sigma_w"]) - e) for e in inside])
    near, truly = (np.argsort(d)[: len(points) // 2] for d in (distance, true))
    assert len(set(near) & set(truly)) > 0.75 * len(near)


def test_costs(compared):
    cost = compared.cost
    assert cost["direct"]["seconds"] == 0.5 and cost["training"]["seconds"] == pytest.approx(20)
    assert cost["direct"]["training_over_probe_seconds"] == pytest.approx(40)
    assert cost["direct"]["training_over_probe_flops"] == pytest.approx(50)
    assert cost["paper"]["seconds"] == pytest.approx(20 / (15 * 6400) * 200 * 60_000)
    assert cost["direct"]["paper_over_probe_seconds"] == pytest.approx(2 * cost["paper"]["seconds"])
    assert "cascade" not in cost


def test_truth_of_another_sweep_at_other_points(make_trained):
    probed = make_trained(replace(SPEC, train="none"), 150, folder="probed", seed=1, train=lambda m: False)
    truth = make_trained(count=40, folder="truth", seed=2)
    comparison = compare(probed, truth)
    assert comparison.info["interpolated"] == 40 == comparison.info["points"]
    assert comparison.table.loc["direct_horizon", "auc"] > 0.97
    assert "interpolated" in comparison_text(comparison)
    same = compare(truth, truth)
    assert same.info["interpolated"] == 0 and same.info["truth_iou"] == 1.0


def test_the_boundary_trained_alone_tells_the_same_region(make_trained, standard):
    some = make_trained(replace(SPEC, train="boundary"), train=lambda m: -0.5 < m.values["margin"] < 0.2)
    comparison = compare(some, standard)
    few, many = comparison.info["trained"]
    assert few < 0.5 * many and comparison.info["truth_iou"] > 0.99


@pytest.mark.parametrize(
    ("keys", "count", "match"),
    [
        ({}, 11, "must hold at least 12 trained points, got 11"),
        (
            {"sigma_w": (0.05, 0.06), "depth": (30, 40)},
            20,
            "must hold networks of both outcomes, got all below the level",
        ),
    ],
)
def test_too_little_to_compare(make_trained, keys, count, match):
    results = make_trained(replace(SPEC, **keys), count)
    with pytest.raises(SpecError, match=match):
        compare(results)


@pytest.mark.parametrize(
    "keys",
    [
        *({"architecture": "conv"}, {"width": 9}, {"dataset": "noise"}, {"sigma_b": (0.1, 0.1)}, {"resize": 12}),
        {"initialise": "orthogonal"},
    ],
)
def test_sweeps_of_different_networks_are_not_compared(make_trained, keys):
    one, other = (make_trained(s, 40, folder=f) for s, f in ((SPEC, "one"), (replace(SPEC, **keys), "other")))
    with pytest.raises(SpecError, match="`truth` must be a sweep"):
        compare(one, other)


def test_json_has_every_number_and_no_infinity(compared):
    printed = json.loads(compared.as_json())
    assert printed["default"] == "trainable_depth" and printed["points"] == 100
    statistic = printed["statistics"]["trainable_depth"]
    for name in ("auc", "auc_5", "auc_95", "auc_hard", "accuracy", "accuracy_best", "iou", "distance", "brier"):
        assert 0 <= statistic[name] <= 1
    assert 0 <= statistic["accuracy_calibrated"] <= 1 and printed["calibration"]["networks"] == 100
    for bins in ("reliability", "default_reliability"):
        assert sum(b["points"] for b in statistic[bins]) == 100
    assert printed["statistics"]["differential_entropy"]["accuracy"] is None


@pytest.mark.parametrize(
    ("fixed", "panels", "theory"),
    [
        ({}, 4, 1),
        ({"depth": (36, 36)}, 1, 1),
        ({"sigma_b": (0.2236, 0.2236)}, 1, 2),
        ({"sigma_b": (0.2236, 0.2236), "architecture": "resnet"}, 1, 0),
    ],
)
def test_pictures(make_trained, fixed, panels, theory):
    comparison = compare(make_trained(replace(SPEC, points=30, **fixed), 40))
    figure = comparison_figure(comparison)
    assert len(figure.axes) == panels + 1 and figure.axes[-1].get_ylabel() == "accuracy after training"
    for ax in figure.axes[:panels]:
        assert len([c for c in ax.collections if isinstance(c, ContourSet)]) == 2
        assert sum("mean field" in t for t in ax.get_legend_handles_labels()[1]) == theory
    marks = [c for ax in figure.axes for c in ax.collections if isinstance(c, PathCollection)]
    assert sum(len(c.get_offsets()) for c in marks) == 40
    assert "AUC of trainable_depth" in figure.get_suptitle()


def test_a_picture_where_sigma_w_is_fixed(make_trained):
    comparison = compare(make_trained(replace(SPEC, points=30, sigma_w=(1.4, 1.4)), 40))
    above, below = comparison_figure(comparison).axes
    assert below.get_xlabel() == "depth (hidden layers)" and len(above.lines[0].get_xdata()) == 40


def test_a_picture_of_one_axis(make_trained):
    comparison = compare(make_trained(replace(SPEC, points=30, sigma_b=(0.2, 0.2), depth=(36, 36)), 40))
    above, below = comparison_figure(comparison).axes
    assert [len(ax.lines[0].get_xdata()) for ax in (above, below)] == [40, 40]
    assert below.get_ylabel() == "score of trainable_depth" and len(above.lines) == len(below.lines) == 3


def test_surfaces_follow_what_they_are_told():
    rng = np.random.default_rng(0)
    points = pd.DataFrame({a: rng.uniform(*getattr(SPEC, a), 200) for a in ("sigma_w", "sigma_b", "depth")})
    surface = Surface(SPEC, points, np.log(points["sigma_w"]).to_numpy())
    places = {a: np.full((2, 3), np.mean(getattr(SPEC, a))) for a in ("sigma_w", "sigma_b", "depth")}
    np.testing.assert_allclose(surface(places), math.log(1.6), atol=0.02)
