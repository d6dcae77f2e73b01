import math

import numpy as np
import pytest
import torch

from probes import Point, ProbeSettings, measure
from probes.definition import CURRENT_DEFINITION
from probes.gradients import DIVERGED, Gradients, gradients, image_count
from probes.layers import ACTIVATIONS
from probes.networks import Architecture, Network
from probes.seeds import generator

ARCHITECTURES = ["mlp", "published", "shrinking", "conv", "resnet"]


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


def network(name="mlp", point=None, activation="tanh", shape=(6, 6), width=None):
    return Network(point or Point(1.4, 0.3, 4), Architecture(name, shape, 10, width), activation)


def images(count=12, pixels=36):
    return torch.rand(count, pixels, generator=generator(5, "images of a test"))


def target(net, x):
    outputs = net.layer(net.point.depth).outputs
    return torch.randn(len(x), outputs, generator=generator(net.point.seed, "target")).double() / outputs**0.5


def by_autograd(net, x):
    """Return the profile and the ratio from one call of autograd through the whole network in double precision."""
    depth = net.point.depth
    weights = [[p.double().requires_grad_() for p in net.parameters(n)] for n in range(1, depth + 1)]
    x = x.double().requires_grad_()
    with torch.enable_grad():
        h = x
        for number in range(1, depth + 1):
            h = net.layer(number).apply(h, weights[number - 1], net.phi)
        f = (target(net, x) * h).sum()
    flat = [w for layer in weights for w in layer[::2]]
    d, *found = torch.autograd.grad(f, [x, *flat])
    squares = iter(g.square().sum().item() / len(x) for g in found)
    shape, outputs = net.layer(1).shapes()[0]
    seen = x.square().mean().sqrt().item() * math.sqrt(math.prod(shape) // outputs)
    profile = [math.log(math.sqrt(sum(next(squares) for _ in layer[::2])) / seen) for layer in weights]
    ratio = d.square().mean().sqrt() / target(net, x).square().mean().sqrt()
    return profile, math.log(ratio.item())


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_they_are_those_of_autograd(name, activation):
    net = network(name, activation=activation, width=5 if name in ("conv", "resnet") else 40)
    found = gradients(net, images())
    profile, ratio = by_autograd(net, images())
    np.testing.assert_allclose(found.profile, profile, atol=1e-4)
    assert found.norm == found.profile[0] and found.ratio == pytest.approx(ratio, abs=1e-4)
    assert found.diverged_at is None


@pytest.mark.parametrize(("sigma_w", "vanishes"), [(0.3, True), (4.0, False)])
def test_logarithms_are_those_of_double_precision_far_beyond_single(sigma_w, vanishes):
    net, x = network(point=Point(sigma_w, 0.3, 500)), images()
    h = [x, *(y for _, y in net.walk(x, until=500))]  # the chaotic phase would amplify rounding: the same activations
    d, scale = target(net, x), 0.0
    for number in range(500, 0, -1):
        e = d * (1 - h[number].double() ** 2)
        by_weights = h[number - 1].double().T @ e
        d = e @ net.parameters(number)[0].double().T
        if number > 1:
            scale += d.norm().log().item()
            d /= d.norm()
    found = gradients(net, x)
    assert found.norm == pytest.approx(scale + by_weights.norm().log().item() - math.log(x.norm().item()), rel=1e-4)
    assert np.isfinite(found.profile).all()
    assert found.norm < -500 if vanishes else found.norm > 100  # float32 holds e^-103 to e^88


@pytest.mark.parametrize(("sigma_w", "sigma_b"), [(0.01, 0.0), (20.0, 0.0), (0.01, 20.0), (20.0, 20.0)])
def test_they_are_finite_at_the_corners(sigma_w, sigma_b):
    for activation, depth in [*((a, d) for a in ACTIVATIONS for d in (1, 2, 40)), ("tanh", 2000)]:
        found = gradients(network(point=Point(sigma_w, sigma_b, depth), activation=activation, width=4), images())
        assert np.isfinite([*found.profile, found.norm, found.ratio]).all()


def test_a_dead_network_passes_no_gradient():
    net = network(point=Point(0.1, 20.0, 3, 4), activation="relu", width=1)
    assert gradients(net, images()).norm < -80


def test_more_images_change_little():
    """In the ordered phase the gradients of images agree, in the chaotic one they do not: the norm is that of one."""
    for sigma_w in (1.0, 1.4, 2.5):
        found = [
            np.mean([gradients(network(point=Point(sigma_w, 0.3, 8, s), width=30), images(n)).norm for s in range(20)])
            for n in (16, 256)
        ]
        assert found[0] == pytest.approx(found[1], abs=0.3)


def test_the_critical_line_is_where_they_are_near_zero(digits):
    points = [Point(w, 0.1, 40) for w in (0.6, 1.1, 2.5)]
    ordered, critical, chaotic = (m.values["gradient_norm"] for m in measure(points, digits, ProbeSettings("direct")))
    assert ordered < -10 and abs(critical) < 4 and chaotic > 8


def test_a_network_that_diverges_counts_as_untrainable(digits):
    for activation in ("relu", "arctan"):  # the latter is not bounded by 1, and does not diverge
        (m,) = measure([Point(20.0, 0.5, 40)], digits, ProbeSettings("direct", activation=activation))
        diverged = m.status == "diverged"
        assert diverged == (activation == "relu")
        assert abs(m.values["gradient_norm"]) > CURRENT_DEFINITION.gradient_norm
        assert abs(m.values["gradient_ratio"]) > CURRENT_DEFINITION.gradient_ratio
        assert (m.profiles["gradient_norm"][-1] == DIVERGED) == diverged


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_they_are_the_same_in_any_pack_order_and_with_any_probe(digits, name):
    settings = [ProbeSettings(p, architecture=name, images=300, probe_steps=1) for p in ("direct", "cascade")]
    points = [Point(1.3, 0.2, 4, 1), Point(0.9, 0.3, 6, 2), Point(2.0, 0.1, 4, 3)]
    together = measure(points, digits, settings[0])
    apart = [measure([p], digits, settings[1])[0] for p in reversed(points)]
    for a, b in zip(together, reversed(apart), strict=True):
        np.testing.assert_array_equal(a.profiles["gradient_norm"], b.profiles["gradient_norm"])
        assert a.values["gradient_ratio"] == b.values["gradient_ratio"]


def test_weights_that_are_kept_change_nothing(digits):
    net, x = network(point=Point(1.3, 0.2, 6)), images()
    expected = gradients(net, x)
    first = sum(p.nbytes for p in net.parameters(1))
    for limit in (first, 3 * first, 100 * first):
        net.keep(limit)
        np.testing.assert_array_equal(gradients(net, x).profile, expected.profile)
    assert net.parameters(6)[0] is net.parameters(6)[0]
    net.keep(0)
    assert net.parameters(6)[0] is not net.parameters(6)[0]


def test_fewer_images_where_they_take_much_memory():
    small, large = Architecture("mlp", (8, 8), 10), Architecture("conv", (32, 32), 10)
    assert image_count(small, "tanh", 60) == 256
    assert image_count(large, "tanh", 10) == 25 > image_count(large, "tanh", 2000) == 16


@pytest.mark.parametrize("statistic", ["gradient_norm", "gradient_ratio"])
@pytest.mark.parametrize("probe", ["direct", "cascade"])
def test_the_margin_is_zero_at_the_threshold(digits, probe, statistic):
    for threshold in (None, 2.0):
        settings = ProbeSettings(probe, statistic, threshold, probe_steps=1, images=100)
        limit = threshold or CURRENT_DEFINITION.threshold(statistic)
        for m in measure([Point(1.2, 0.1, 10), Point(0.6, 0.1, 40)], digits, settings):
            assert m.values["margin"] == pytest.approx(math.log((1 + limit) / (1 + abs(m.values[statistic]))))
            assert (m.values["margin"] > 0) == (m.point.depth == 10) and not m.values["margin_censored"]
        assert settings.threshold_of("direct_horizon") == CURRENT_DEFINITION.direct_horizon  # another kind


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1000.0, math.nan])
def test_a_threshold_that_no_gradient_has_is_refused(threshold):
    with pytest.raises(ValueError, match="`threshold` must be between 0 and 1000"):
        ProbeSettings(statistic="gradient_norm", threshold=threshold)
    with pytest.raises(ValueError, match="`threshold` must be between 0 and 1, got 2"):
        ProbeSettings(threshold=2.0)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("sigma_w", [1.0, 1.4, 2.2])
def test_the_first_layers_say_how_a_shallower_network_changes_gradients(activation, sigma_w):
    """Of a wide network, since the shallower one has a random target of its own."""
    deep, shallow = (
        gradients(network(point=Point(sigma_w, 0.2, depth, 3), activation=activation, width=200), images())
        for depth in (24, 12)
    )
    assert deep.change[11] == pytest.approx(shallow.change[-1], abs=0.35)
    whole = math.log(math.sqrt(np.exp(2 * deep.profile).sum()))
    assert deep.change[-1] == pytest.approx(max(whole, -deep.ratio))


def test_the_horizon_is_where_gradients_have_changed_by_the_threshold():
    def found(*change):
        return Gradients(np.zeros(len(change)), 0.0, 0.0, np.array(change, dtype=float), None)

    assert found(1, 2, 4, 8).horizon(3) == (2.5, False)
    assert found(4, 8).horizon(3) == (0.75, False)
    assert found(9, 0, 9).horizon(3) == (pytest.approx(1 / 3), False)  # the first one counts
    assert found(0, 1, 2, 3).horizon(5) == (6.0, False)  # growth goes on
    assert found(0, 0, 1, 2).horizon(10) == (12.0, False)
    assert found(0, 0, 1, 2).horizon(10.1) == (12.0, True)  # within three times the depth
    assert found(3, 2, 1, 0.5).horizon(5) == (12.0, True) == found(0, 0, 0, 0).horizon(5)
    assert found(2).horizon(5) == (2.5, False)
    assert found(1, 2, DIVERGED, DIVERGED).horizon(5)[0] < 3


@pytest.mark.parametrize("sigma_w", [0.5, 3.0])
def test_the_horizon_does_not_depend_on_the_depth_of_the_probe(sigma_w):
    horizons = [
        gradients(network(point=Point(sigma_w, 0.2, d), width=100), images()).horizon(5)[0] for d in (8, 20, 40)
    ]
    assert horizons == pytest.approx([horizons[-1]] * 3, rel=0.25)
    assert horizons[-1] < 20
