import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from probes import Point, Prober, ProbeSettings, TrainingSettings, direct, load_images, measure, prober
from probes.definition import CURRENT_DEFINITION, ORIGINAL_DEFINITION
from probes.settings import UNCERTAIN_MARGINS

STATISTICS = (
    *("direct_retained", "cascade_relative_entropy", "cascade_retained", "differential_entropy"),
    *("direct_horizon", "cascade_horizon", "cascade_cutoff", "chi_1", "xi_c", "margin", "margin_censored"),
)


def assert_same(a, b):
    """Direct probe: the same products whatever the pack. Cascade: the same operations in stacks of another size.

    Batched products may round differently (2^-24 each); 300 Adam steps carry that to about 1e-5 of the weights.
    """
    assert (a.point, a.status) == (b.point, b.status)
    assert a.values.keys() == b.values.keys()
    np.testing.assert_allclose(a.profiles["direct_retained"], b.profiles["direct_retained"], atol=1e-6)
    for name in ("cascade_relative_entropy", "cascade_retained"):
        np.testing.assert_allclose(a.profiles[name], b.profiles[name], atol=1e-3)
    assert a.values["direct_horizon"] == pytest.approx(b.values["direct_horizon"], rel=1e-5)
    assert a.values["margin"] == pytest.approx(b.values["margin"], abs=1e-5)


SHORT = TrainingSettings(epochs=1, images=64, lr=(0.01, 0.02))
QUICK = ProbeSettings(images=400, probe_steps=100)
# More layers than a stack holds decoders, and as many left over.
POINTS = [
    Point(w, b, d, s) for s, (w, b, d) in enumerate([(0.8, 0.1, 5), (1.3, 0.2, 12), (2.4, 0.1, 12), (1.5, 0.9, 4)])
]


@pytest.fixture(scope="module")
def alone(digits):
    return [measure([p], digits, QUICK)[0] for p in POINTS]


def test_every_statistic_is_there_and_finite(alone):
    for m in alone:
        assert m.status == "ok" and not m.error
        assert set(STATISTICS) <= m.values.keys()
        assert all(math.isfinite(v) for v in m.values.values())
        for name, profile in m.profiles.items():
            assert len(profile) == m.point.depth and np.isfinite(profile[[0, -1]]).all()
            assert np.isfinite(profile).all() or name == "direct_retained"  # of which some layers are decoded
        assert m.values["probe_steps"] == 100 and m.values["cascade_seconds"] > 0


def test_steps_are_an_epoch_and_at_least_300(digits):
    assert Prober(digits, ProbeSettings()).steps == 300
    many = replace(digits, train=digits.train.repeat(15, 1))
    assert Prober(many, ProbeSettings(images=64 * 320 - 5)).steps == 320


def test_a_pack_gives_what_its_points_give_alone(digits, alone):
    for a, b in zip(alone, measure(POINTS, digits, QUICK), strict=True):
        assert_same(a, b)


def test_order_does_not_matter(digits, alone):
    for a, b in zip(alone, reversed(measure(POINTS[::-1], digits, QUICK)), strict=True):
        assert_same(a, b)


@pytest.mark.parametrize("width", [64, 130])  # stacks that all threads share, decoders with a thread each
def test_the_number_of_threads_does_not_matter(digits, width):
    settings = ProbeSettings(width=width, images=200, probe_steps=20)
    points = [Point(1.3, 0.2, 4, 1), Point(2.4, 0.1, 3, 2)]
    one = measure(points, digits, settings)
    torch.set_num_threads(2)
    try:
        for a, b in zip(one, measure(points, digits, settings), strict=True):
            assert_same(a, b)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_the_horizon_is_largest_near_the_critical_line(digits):
    horizons = [
        np.mean(
            [
                m.values["direct_horizon"]
                for m in measure([Point(w, 0.2236, 20, s) for s in range(3)], digits, ProbeSettings("direct"))
            ]
        )
        for w in (0.8, 1.33, 2.5)
    ]
    assert horizons[1] > 2 * max(horizons[0], horizons[2])


def test_margin_and_censoring(digits):
    deep, shallow = measure([Point(1.7, 0.1, 40), Point(1.7, 0.1, 3)], digits, ProbeSettings("direct"))
    assert not deep.values["margin_censored"]
    horizons = deep.values["direct_horizon"], deep.values["gradient_horizon"]
    depth = deep.values["trainable_depth"]
    assert (depth / horizons[0] / 2) ** 2 + (depth / horizons[1]) ** 2 == pytest.approx(1)
    assert deep.values["margin"] == pytest.approx(math.log(depth / 40))
    assert shallow.values["margin_censored"] and shallow.values["margin"] == pytest.approx(math.log(6 / 5**0.5))


def test_an_older_definition_gives_the_margin_of_before(digits):
    point = Point(1.7, 0.1, 40)
    for definition, threshold in ((ORIGINAL_DEFINITION, 0.15), (CURRENT_DEFINITION, 0.1)):
        settings = ProbeSettings("direct", "direct_horizon", definition=definition, decoded_layers=40, width=20)
        (m,) = measure([point], digits, settings)
        assert m.values["margin"] == pytest.approx(math.log(m.values["direct_horizon"] / 20))
        retained = m.profiles["direct_retained"]
        limit = threshold * (retained.max() if definition is CURRENT_DEFINITION else 1)
        below = int((retained < limit).argmax()) + 1  # the first layer, counted from 1
        assert retained.max() < 0.9 and below - 1 < m.values["direct_horizon"] <= below


def test_the_correlation_of_a_cascade_is_lost_relative_to_the_best_layer_since_version_3(digits):
    (m,) = measure([Point(1.2, 0.1, 30)], digits, ProbeSettings("cascade", width=40, probe_steps=400))
    correlation = m.profiles["cascade_correlation"]
    assert 0.1 < correlation.max() < 0.9
    second = replace(ORIGINAL_DEFINITION, version=2)
    for definition, share, limit in ((CURRENT_DEFINITION, 0.55, 0.07 * correlation.max()), (second, 0.6, 0.03)):
        (m,) = measure(
            [Point(1.2, 0.1, 30)], digits, ProbeSettings("cascade", width=40, probe_steps=400, definition=definition)
        )
        below = int((correlation < limit).argmax()) + 1  # the first layer, counted from 1
        assert below - 1 < m.values["cascade_correlation_horizon"] <= below
        assert m.values["margin"] == pytest.approx(math.log(m.values["cascade_correlation_horizon"] / (share * 30)))


def test_a_shallow_probe_sees_the_horizon_of_the_deep_one(digits):
    deep, shallow = measure([Point(1.8, 0.1, 40), Point(1.8, 0.1, 15)], digits, ProbeSettings("direct"))
    assert shallow.values["direct_horizon"] == pytest.approx(deep.values["direct_horizon"], rel=0.02)
    both = zip(shallow.profiles["direct_retained"], deep.profiles["direct_retained"], strict=False)
    assert sum(a == b for a, b in both) >= 5  # layers that both decoded


@pytest.mark.parametrize("probe", ["both", "direct", "cascade"])
def test_divergence_is_a_measurement(digits, probe):
    settings = ProbeSettings(probe, activation="relu", probe_steps=5)
    (m,) = measure([Point(20.0, 0.5, 40)], digits, settings)
    assert m.status == "diverged"
    assert math.isfinite(m.values["margin"])
    losses = m.profiles.pop("cascade_loss", None)
    assert all(np.isfinite(v[[0, -1]]).all() for v in m.profiles.values())
    if probe != "direct":
        assert math.isfinite(losses[0]) and math.isnan(losses[-1])  # where there is no decoder there is no loss
        assert m.profiles["cascade_correlation"][-1] == 0 and m.values["cascade_correlation_horizon"] < 20
    if probe != "cascade":
        assert m.profiles["direct_retained"][-1] == 0 and m.profiles["direct_retained"][0] > 0.5
        assert m.values["direct_horizon"] < 20


def test_the_horizon_of_a_network_that_diverges_does_not_depend_on_the_depth_asked(digits):
    settings = ProbeSettings("direct", activation="relu")
    shallow, deep = measure([Point(20.0, 0.5, 5), Point(20.0, 0.5, 40)], digits, settings)
    assert (shallow.status, deep.status) == ("ok", "diverged")
    assert not shallow.values["direct_horizon_censored"]
    assert shallow.values["direct_horizon"] == pytest.approx(deep.values["direct_horizon"], rel=0.02)


def test_a_cascade_that_survives_its_whole_depth_predicts_trainable(digits):
    (m,) = measure([Point(1.3, 0.1, 3)], digits, ProbeSettings("cascade", statistic="cascade_horizon"))
    assert m.values["cascade_horizon_censored"] and m.values["margin"] == 0  # 0 or more: trainable
    (m,) = measure([Point(1.3, 0.1, 3)], digits, ProbeSettings("cascade"))
    assert m.values["cascade_correlation_horizon_censored"]
    assert m.values["margin"] == pytest.approx(-math.log(CURRENT_DEFINITION.correlation_share))


def test_a_point_that_raises_spares_the_others(digits, monkeypatch):
    real = direct.follow

    def follow(network, *args, **more):
        if network.point.sigma_w == 1.0:
            raise RuntimeError("no\nluck")
        return real(network, *args, **more)

    monkeypatch.setattr(direct, "follow", follow)
    pack = measure([Point(0.9, 0.1, 3), Point(1.0, 0.1, 3), Point(1.1, 0.1, 3)], digits)
    assert [m.status for m in pack] == ["ok", "failed", "ok"]
    assert pack[1].error == "RuntimeError: no luck" and not pack[1].values


def test_training_all_and_at_the_boundary(digits):
    trained = measure(POINTS, digits, ProbeSettings("direct", train="all", training=SHORT))
    for m in trained:
        assert 0 <= m.values["accuracy"] <= 1 and m.curves["accuracy"].shape == (2,)
        assert m.curves["lr"].tolist() == [0.01, 0.02] and m.curves["epoch"].tolist() == [1, 1]
        assert m.values["lr"] in (0.01, 0.02) and m.values["train_epochs"] == 2 and m.values["train_images"] == 64
        assert m.values["accuracy"] == m.curves["accuracy"].max() and m.values["chance"] < 0.2
        assert m.values["train_seconds"] > 0 and m.values["train_flops"] > 0
    near = measure(POINTS, digits, ProbeSettings("direct", train="boundary", training=SHORT))
    for m in near:
        if UNCERTAIN_MARGINS[0] < m.values["margin"] < UNCERTAIN_MARGINS[1]:
            assert "accuracy" in m.values


def test_a_training_that_the_device_has_no_memory_for_is_halved(digits, monkeypatch):
    real, tried = prober.Training, []

    def training(points, *args, **more):
        tried.append([p.seed for p in points])
        if len(points) > 2 or points[0].seed == 4:
            raise torch.OutOfMemoryError("too much")
        return real(points, *args, **more)

    monkeypatch.setattr(prober, "Training", training)
    points = [Point(1.2, 0.1, 2, s) for s in range(5)]
    pack = measure(points, digits, ProbeSettings("direct", train="all", training=SHORT))
    assert tried == [[0, 1, 2, 3, 4], [0, 1], [2, 3], [4]]
    assert [m.status for m in pack] == ["ok"] * 4 + ["failed"] and [m.values["pack_halved"] for m in pack[:4]] == [
        1
    ] * 4
    assert all("accuracy" in m.values for m in pack[:4])


def test_a_training_that_raises_spares_the_others(digits, monkeypatch):
    real = prober.Training

    def training(points, *args, **more):
        if any(p.seed == 1 for p in points):
            raise RuntimeError("no luck")
        return real(points, *args, **more)

    monkeypatch.setattr(prober, "Training", training)
    pack = measure(
        [Point(1.2, 0.1, 2, s) for s in range(3)], digits, ProbeSettings("direct", train="all", training=SHORT)
    )
    assert [m.status for m in pack] == ["ok", "failed", "ok"] and pack[1].error == "RuntimeError: no luck"
    assert "accuracy" in pack[0].values and "accuracy" in pack[2].values


def test_a_pack_that_the_device_has_no_memory_for_is_halved(digits, monkeypatch):
    real, tried = prober.train_decoders, []

    def train_decoders(decoders, **more):
        decoders = list(decoders)
        tried.append(len(decoders))
        if len(decoders) > 6:
            raise torch.OutOfMemoryError("too much")
        real(iter(decoders), **more)

    monkeypatch.setattr(prober, "train_decoders", train_decoders)
    points = [Point(1.2, 0.1, 2, s) for s in range(5)] + [Point(1.2, 0.1, 9, 5)]
    pack = measure(points, digits, ProbeSettings(images=100, probe_steps=2))
    assert tried == [19, 6, 13, 2, 2, 9]  # decoders of six points, of three, of one: the last is too large alone
    assert [m.status for m in pack] == ["ok"] * 5 + ["failed"] and "OutOfMemoryError: too much" in pack[-1].error
    assert [m.values["pack"] for m in pack[:5]] == [3, 3, 3, 1, 1]
    assert [m.values["pack_halved"] for m in pack[:5]] == [1, 1, 1, 2, 2]


def test_few_images_suffice_where_they_make_no_difference(digits):
    points = [Point(w, 0.1, 20, s) for s, w in enumerate((0.8, 1.3, 2.5))]
    quick, whole = (measure(points, digits, ProbeSettings("direct", certainty=c)) for c in (0.3, None))
    for a, b in zip(quick, whole, strict=True):
        assert a.values["direct_images"] < b.values["direct_images"] == 1437
        assert a.values["direct_horizon"] == pytest.approx(b.values["direct_horizon"], rel=0.3)
    (sure,) = measure(points[:1], digits, ProbeSettings("direct", certainty=1e-6))
    assert sure.values["direct_images"] == 1437 and sure.values["margin"] == whole[0].values["margin"]


@pytest.mark.parametrize("architecture", ["published", "shrinking", "conv", "resnet"])
def test_every_architecture(digits, architecture):
    width = 4 if architecture in ("conv", "resnet") else None
    settings = ProbeSettings(
        architecture=architecture, width=width, images=200, probe_steps=10, train="all", training=SHORT
    )
    points = [Point(1.3, 0.1, 3, 0), Point(1.3, 0.1, 1, 1), Point(1.1, 0.1, 3, 2)]
    together = measure(points, digits, settings)
    for point, a in zip(points, together, strict=True):
        (b,) = measure([point], digits, settings)
        assert a.status == "ok" and a.values["accuracy"] > 0
        assert_same(a, b)
        assert ("chi_1" in a.values) == (architecture != "resnet")


def test_widths(digits):
    (m,) = measure([Point(1.3, 0.1, 3)], digits, ProbeSettings(widths=(100, 20, 5), probe_steps=20))
    assert m.status == "ok"
    for probe in ("both", "direct"):
        (m,) = measure([Point(1.3, 0.1, 4)], digits, ProbeSettings(probe, widths=(100, 20, 5), probe_steps=20))
        assert m.status == "failed" and "`depth` must be at most 3" in m.error


def test_bfloat16_leaves_the_entropies_nearly_as_they_are(digits):
    settings = replace(QUICK, probe="cascade", statistic="")
    full, half = (measure(POINTS[1:3], digits, replace(settings, precision=p)) for p in ("float32", "bfloat16"))
    for a, b in zip(full, half, strict=True):
        for name in ("cascade_relative_entropy", "cascade_retained"):
            np.testing.assert_allclose(a.profiles[name], b.profiles[name], rtol=0.05, atol=0.02)


@pytest.mark.parametrize("images", [16, 17, 100])
@pytest.mark.parametrize("width", [1, 2, 100])
def test_few_images_and_odd_widths(digits, images, width):
    (m,) = measure([Point(1.3, 0.2, 4)], digits, ProbeSettings(images=images, width=width, probe_steps=3))
    assert m.status == "ok"


def test_colour_images(tmp_path):
    random = np.random.default_rng(0)
    x, y = random.integers(0, 256, (50, 5, 5, 3), dtype=np.uint8), random.integers(0, 3, 50)
    np.savez(tmp_path / "rgb.npz", train_images=x, train_labels=y, test_images=x, test_labels=y)
    (m,) = measure([Point(1.3, 0.2, 4)], load_images(str(tmp_path / "rgb.npz")), ProbeSettings(probe_steps=3))
    assert m.status == "ok"


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"probe": "x"}, "`probe` must be one of both, cascade, direct, got 'x'"),
        (
            {"probe": "direct", "statistic": "cascade_horizon"},
            "`statistic` must be one of trainable_depth, direct",
        ),
        ({"threshold": 1.0}, "`threshold`"),
        ({"penalty": 0.0}, "`penalty`"),
        ({"activation": "swish"}, "`activation`"),
    ],
)
def test_settings_refuse_what_is_not_allowed(bad, says):
    with pytest.raises(ValueError, match=says):
        ProbeSettings(**bad)


def test_a_prober_can_be_reused(digits, alone):
    again = Prober(digits, QUICK)
    again.measure(POINTS[:1])
    assert_same(again.measure(POINTS[1:2])[0], alone[1])
