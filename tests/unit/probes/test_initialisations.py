import hashlib
import math

import pytest
import torch

from probes import Point, ProbeSettings, TrainingSettings, measure
from probes.cost import cost
from probes.initialisations import INITIALISATIONS, orthogonal
from probes.layers import Dense
from probes.memory import peak_bytes
from probes.networks import READOUT, Architecture, Network
from probes.prober import Prober
from probes.seeds import generator

POINT = Point(1.7, 0.3, 5, 0)
OTHERS = [name for name in INITIALISATIONS if name != "normal"]


def normal_numbers(*shape):
    return torch.randn(shape, generator=generator(0, "test"))


def network(name, point=POINT, architecture="mlp", width=None, **more):
    return Network(point, Architecture(architecture, (6, 6), 10, width, initialise=name, **more), "tanh")


@pytest.mark.parametrize("name", INITIALISATIONS)
@pytest.mark.parametrize(
    ("architecture", "width", "fan_in"), [("mlp", 400, 400), ("conv", 64, 9 * 64), ("resnet", 64, 9 * 64)]
)
def test_all_have_the_stated_deviations(name, architecture, width, fan_in):
    weight, bias, *_ = network(name, architecture=architecture, width=width).parameters(2)
    # A standard deviation from n normal draws is known to 1/sqrt(2 n), and better from the others; four of those.
    assert float(weight.std()) * math.sqrt(fan_in) == pytest.approx(1.7, rel=4 / math.sqrt(2 * weight.numel()))
    assert abs(float(weight.mean())) * math.sqrt(fan_in) < 4 * 1.7 / math.sqrt(weight.numel())
    assert float(bias.std()) == pytest.approx(0.3, rel=4 / math.sqrt(2 * len(bias)))


@pytest.mark.parametrize(
    ("name", "kurtosis", "largest"), [("uniform", 1.8, 1.7320509), ("truncated-normal", 2.3654, 2.2737)]
)
def test_the_bounded_ones_have_their_shape(name, kurtosis, largest):
    x = INITIALISATIONS[name](normal_numbers(1000, 1000))
    assert float(x.square().mean()) == pytest.approx(1, abs=0.006)
    assert float(x.pow(4).mean()) == pytest.approx(kurtosis, rel=0.01)
    assert 0.999 * largest < float(x.abs().amax()) <= largest


@pytest.mark.parametrize("name", ["uniform", "truncated-normal"])
def test_the_same_numbers_in_the_same_order(name):
    z, x = normal_numbers(10_000), INITIALISATIONS[name](normal_numbers(10_000))
    assert bool((x[z.argsort()].diff() >= 0).all())


@pytest.mark.parametrize("name", ["uniform", "truncated-normal"])
def test_extreme_numbers_are_survived(name):
    x = INITIALISATIONS[name](torch.tensor([-1e30, -9.0, 0.0, 9.0, 1e30]))
    assert bool(x.isfinite().all()) and x[2] == 0 and x[0] == x[1] == -x[4]


@pytest.mark.parametrize("shape", [(30, 30), (30, 50), (50, 30), (1, 7), (7, 1), (1, 1)])
def test_rows_or_columns_are_orthonormal(shape):
    q = orthogonal(normal_numbers(*shape)).double() / math.sqrt(max(shape))
    product = q @ q.T if shape[0] <= shape[1] else q.T @ q
    torch.testing.assert_close(product, torch.eye(min(shape), dtype=torch.float64), atol=1e-6, rtol=0)


def test_orthogonal_matrices_are_uniformly_distributed():
    """The trace of a matrix of Haar's measure has mean 0 and variance 1; without the signs, the mean is not 0."""
    z = torch.randn(4000, 3, 3, generator=generator(0, "test"))
    traces = torch.stack([orthogonal(m).trace() / math.sqrt(3) for m in z])
    assert abs(float(traces.mean())) < 4 / math.sqrt(4000)
    assert float(traces.var()) == pytest.approx(1, abs=4 * math.sqrt(3 / 4000))
    columns = torch.stack([orthogonal(m)[:, 0] for m in z])  # uniform on the sphere: in each axis uniform, too
    assert float(columns.pow(4).mean()) == pytest.approx(9 / 5, abs=0.1)


def test_a_convolution_is_that_of_torch_but_for_signs():
    weight, _ = network("orthogonal", architecture="conv", width=8).parameters(2)
    flat = weight.flatten(1) / 1.7
    torch.testing.assert_close(flat @ flat.T, torch.eye(8), atol=1e-5, rtol=0)
    first, _ = network("orthogonal", architecture="conv", width=16).parameters(1)  # 9 columns for 16 rows
    flat = first.flatten(1) * math.sqrt(9 / 16) / 1.7
    torch.testing.assert_close(flat.T @ flat, torch.eye(9), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("inputs", "outputs", "tolerance"), [(60, 60, 1e-5), (60, 90, 1e-5), (90, 60, 0.05)])
def test_orthogonal_layers_keep_lengths(inputs, outputs, tolerance):
    x = torch.randn(5, inputs, generator=generator(0, "x"))
    draws = [Dense(inputs, outputs).draw(Point(1.7, 0.3, 5, seed), 2, "orthogonal")[0] for seed in range(200)]
    gains = torch.stack([(x @ w).square().mean(1) / (1.7**2 * x.square().mean(1)) for w in draws])
    assert float(gains.mean()) == pytest.approx(1, abs=tolerance)
    if inputs <= outputs:
        assert float((gains - 1).abs().amax()) < tolerance
    else:
        assert float(gains.std()) > 0.05


def test_normal_weights_are_those_that_the_generator_draws():
    """Older sweeps go on with the same networks."""
    random = generator(0, "network", 2)
    weight = torch.randn(36, 36, generator=random).mul_(1.7 / 6)
    bias = torch.randn(36, generator=random).mul_(0.3)
    for drawn in (network("normal"), Network(POINT, Architecture("mlp", (6, 6), 10), "tanh")):
        assert torch.equal(drawn.parameters(2)[0], weight) and torch.equal(drawn.parameters(2)[1], bias)


def test_normal_weights_do_not_change_with_versions():
    kinds = [("mlp", 2), ("conv", 2), ("resnet", 1), ("shrinking", 3), ("published", 5), ("mlp", READOUT)]
    drawn = [p for kind, number in kinds for p in network("normal", architecture=kind).parameters(number)]
    # Rounded, because processors differ in the last bit of a normal number.
    rounded = b"".join((10 * p).round().to(torch.int32).numpy().tobytes() for p in drawn)
    assert hashlib.blake2b(rounded, digest_size=8).hexdigest() == "fe8bfa0d6dff1b13"


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("architecture", ["mlp", "conv", "resnet"])
def test_biases_and_the_read_out_are_those_of_normal_networks(name, architecture):
    one, other = (network(n, architecture=architecture) for n in ("normal", name))
    for number in (1, 4):
        assert not torch.equal(one.parameters(number)[0], other.parameters(number)[0])
        for a, b in zip(one.parameters(number)[1::2], other.parameters(number)[1::2], strict=True):
            assert torch.equal(a, b)
    assert all(map(torch.equal, one.parameters(READOUT), other.parameters(READOUT)))


@pytest.mark.parametrize("name", INITIALISATIONS)
@pytest.mark.parametrize("architecture", ["mlp", "conv", "resnet"])
def test_a_deeper_network_contains_the_shallower_one(name, architecture):
    shallow, deep = (network(name, Point(1.3, 0.2, depth, 7), architecture) for depth in (3, 9))
    images = torch.rand(5, 36, generator=generator(0, "x"))
    walks = zip(shallow.walk(images, until=3), deep.walk(images, until=3), strict=True)
    assert all(torch.equal(a, b) for (_, a), (_, b) in walks)


@pytest.mark.parametrize("name", OTHERS)
def test_points_of_a_seed_differ_only_in_scale(name):
    one, other = (network(name, Point(s, 0.2, 3, 7)).parameters(2)[0] for s in (1.0, 2.0))
    assert torch.equal(2 * one, other)


def test_the_number_of_threads_changes_nothing():
    z, threads = normal_numbers(300, 300), torch.get_num_threads()
    try:
        drawn = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            drawn.append(orthogonal(z.clone()))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(drawn[0], drawn[1]) and torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("name", OTHERS)
def test_a_point_measures_the_same_whatever_the_pack(digits, name):
    settings = ProbeSettings("direct", initialise=name, images=300)
    points = [Point(1.1, 0.1, 6, 1), Point(2.0, 0.2, 4, 2), Point(1.3, 0.2, 9, 3)]
    together = measure(points, digits, settings)
    for point, m in zip(points, together, strict=True):
        (alone,) = measure([point], digits, settings)
        for key in ("direct_horizon", "gradient_norm", "margin"):
            assert alone.values[key] == m.values[key]


@pytest.mark.parametrize("name", INITIALISATIONS)
@pytest.mark.parametrize("architecture", ["mlp", "shrinking", "conv", "resnet"])
def test_training_starts_from_the_weights_that_are_probed(digits, name, architecture):
    width = 4 if architecture in ("conv", "resnet") else None
    settings = ProbeSettings(
        "direct", architecture=architecture, width=width, initialise=name, training=TrainingSettings(images=64)
    )
    prober, points = Prober(digits, settings), [Point(1.3, 0.2, 4, 1), Point(1.5, 0.1, 3, 2)]
    state = prober.training(points).state()
    for point in points:
        (weights, *_) = state[point][0.01]["tensors"]
        for number in range(point.depth + 1):
            assert all(map(torch.equal, weights[number], prober.network(point).parameters(number)))


def test_orthogonal_networks_pass_gradients_on(digits):
    """On the critical line, orthogonal weights let gradients of single networks vary much less than normal ones."""
    points = [Point(1.05, 0.05, 40, seed) for seed in range(4)]
    spread = {
        name: torch.tensor([m.values["gradient_ratio"] for m in measure(points, digits, settings)]).std()
        for name in ("normal", "orthogonal")
        for settings in [ProbeSettings("direct", initialise=name, images=200)]
    }
    assert spread["orthogonal"] < spread["normal"] / 2


def test_unknown_initialisations_are_refused():
    expected = r"`initialise` must be one of normal, orthogonal, uniform, truncated-normal, got 'xavier'"
    with pytest.raises(ValueError, match=expected):
        ProbeSettings(initialise="xavier")
    with pytest.raises(ValueError, match=expected):
        Architecture("mlp", (6, 6), 10, initialise="xavier")


def test_orthogonal_weights_cost_more(digits):
    normal, other = (ProbeSettings(initialise=name) for name in ("normal", "orthogonal"))
    one, more = (cost(settings, digits, 10) for settings in (normal, other))
    drawing = 10 * 8 / 3 * 64**3
    assert more.gradients - one.gradients == pytest.approx(drawing)
    assert more.cascade - one.cascade == pytest.approx(drawing)
    assert more.direct - one.direct == pytest.approx(drawing / 2) and more.epoch == one.epoch
    assert cost(ProbeSettings(initialise="uniform"), digits, 10) == one
    wide = {name: ProbeSettings("direct", width=16_384, images=16, initialise=name) for name in INITIALISATIONS}
    peaks = {name: peak_bytes(settings, digits, 3) for name, settings in wide.items()}
    assert peaks["orthogonal"] > peaks["normal"] + 16 * 16_384**2 and peaks["uniform"] == peaks["normal"]
