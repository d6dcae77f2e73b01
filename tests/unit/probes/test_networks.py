import itertools
import math

import pytest
import torch

from probes import Point, mean_field
from probes.layers import Dense
from probes.networks import Architecture, Network
from probes.seeds import generator


def layers(point, images, width, count, activation="tanh"):
    network = Network(point, Architecture("mlp", (images.shape[1],), 10, width), activation)
    return [x for _, x in itertools.islice(network.walk(images), count)]


def test_weights_have_the_stated_deviations():
    weight, bias = Dense(400, 2000).draw(Point(1.7, 0.3, 5, 0), 2)
    # A standard deviation from n draws is known to 1/sqrt(2 n); four of those.
    assert float(weight.std()) * math.sqrt(400) == pytest.approx(1.7, rel=4 / math.sqrt(2 * 800_000))
    assert float(bias.std()) == pytest.approx(0.3, rel=4 / math.sqrt(2 * 2000))


def test_a_deeper_network_contains_the_shallower_one():
    images = torch.rand(20, 30, generator=generator(0, "test"))
    shallow = layers(Point(1.3, 0.2, 5, 7), images, 40, 5)
    deep = layers(Point(1.3, 0.2, 50, 7), images, 40, 50)
    assert all(torch.equal(a, b) for a, b in zip(shallow, deep, strict=False))


def test_an_image_is_mapped_the_same_whatever_else_is_in_the_batch():
    images = torch.rand(700, 64, generator=generator(0, "test"))
    point = Point(2.0, 0.2, 30, 0)
    alone, among = layers(point, images[:300], 64, 30)[-1], layers(point, images, 64, 30)[-1][:300]
    # Chaos multiplies a rounding error by chi_1^(1/2) a layer: 1.17^30 = 100 at this point.
    torch.testing.assert_close(alone, among, atol=1e-3, rtol=0)


@pytest.mark.parametrize(("sigma_w", "sigma_b"), [(0.9, 0.3), (1.5, 0.2), (2.5, 0.5)])
def test_a_wide_network_has_the_mean_field_variance(sigma_w, sigma_b):
    images = torch.randn(4, 1000, generator=generator(0, "test"))
    point, theory = Point(sigma_w, sigma_b, 20, 0), mean_field(sigma_w, sigma_b)
    x = layers(point, images, 1000, 20)[-1]
    variance = sigma_w**2 * float(x.square().mean()) + sigma_b**2
    # The layers' fluctuations are of order 1/sqrt(width), and are carried along near criticality.
    assert variance == pytest.approx(theory.q_star, rel=0.1)


def test_ends_where_activations_overflow():
    images = torch.rand(10, 20, generator=generator(0, "test"))
    count = len(layers(Point(20.0, 0.0, 100, 0), images, 20, 300, "relu"))
    assert 5 < count < 20  # a factor of about sqrt(200) a layer, up to 1e12


def test_widths_of_the_architectures():
    def widths(name, depth, **more):
        architecture = Architecture(name, (28, 28), 10, **more)
        return [architecture.layer(n, depth).outputs for n in range(1, depth + 1)] + [
            architecture.readout(depth).inputs
        ]

    assert widths("mlp", 3) == [784] * 4
    assert widths("mlp", 3, widths=(7, 6, 5)) == [7, 6, 5, 5]
    assert widths("mlp", 2, widths=(7, 6, 5)) == [7, 6, 6]
    assert widths("published", 4) == [784, 784, 784, 400, 400]
    assert widths("shrinking", 2) == [526, 268, 268]  # 784, 526, 268, 10 is a straight line
    assert widths("conv", 2) == [16 * 784] * 3
    assert widths("resnet", 2, width=4) == [4 * 784] * 3


def test_how_deep_a_network_can_be_followed():
    assert Architecture("mlp", (8, 8), 10).reach(20) == 60
    assert Architecture("mlp", (8, 8), 10, widths=(5,) * 30).reach(20) == 30
    assert Architecture("shrinking", (8, 8), 10).reach(20) == Architecture("published", (8, 8), 10).reach(20) == 20


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("dense", (8, 8), 10), "`architecture` must be one of mlp"),
        (("conv", (64,), 10), "`architecture` must be a dense one"),
        (("resnet", (8, 8), 10, None, (4, 4)), "`widths` must be left out"),
    ],
)
def test_architectures_that_cannot_be(arguments, says):
    with pytest.raises(ValueError, match=says):
        Architecture(*arguments)


def test_no_layer_beyond_the_widths():
    with pytest.raises(ValueError, match="`depth` must be at most 2 for these widths, got 3"):
        Architecture("mlp", (8, 8), 10, widths=(5, 4)).layer(3, 3)


def module(layer, parameters):
    """The same convolution by torch's own module."""
    weight, bias = parameters
    out, into = weight.shape[:2]
    conv = torch.nn.Conv2d(into, out, 3, padding=1, padding_mode="circular")
    with torch.no_grad():
        conv.weight.copy_(weight)
        conv.bias.copy_(bias)
    return conv


@pytest.mark.parametrize("shape", [(6, 9), (3, 6, 6)])
def test_a_convolution_is_torch_s_own(shape):
    layer = Architecture("conv", shape, 10, 5).layer(1, 1)
    parameters = layer.draw(Point(1.5, 0.3, 1), 1)
    x = torch.rand(7, layer.inputs, generator=generator(0, "x"))
    expected = torch.tanh(module(layer, parameters)(x.view(7, -1, *shape[-2:]))).flatten(1)
    torch.testing.assert_close(layer.apply(x, parameters, torch.tanh), expected, atol=1e-6, rtol=1e-5)


def test_a_residual_block_is_torch_s_own():
    layer = Architecture("resnet", (6, 6), 10, 4).layer(1, 1)
    parameters = layer.draw(Point(1.5, 0.3, 1), 1)
    x = torch.rand(7, 36, generator=generator(0, "x"))
    first, second = module(layer, parameters[:2]), module(layer, parameters[2:])
    skipped = torch.cat([x.view(7, 1, 6, 6), torch.zeros(7, 3, 6, 6)], 1)
    expected = torch.tanh(skipped + second(torch.tanh(first(x.view(7, 1, 6, 6))))).flatten(1)
    torch.testing.assert_close(layer.apply(x, parameters, torch.tanh), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", ["mlp", "conv", "resnet"])
def test_a_pack_gives_what_its_networks_give(name):
    layer = Architecture(name, (6, 6), 10, 4).layer(2, 3)
    drawn = [layer.draw(Point(1.5, 0.3, 3, s), 2) for s in range(3)]
    x = torch.randn(3, 7, layer.inputs, generator=generator(0, "x"))
    together = layer.apply(x, [torch.stack(same) for same in zip(*drawn, strict=True)], torch.tanh)
    for one, parameters, expected in zip(x, drawn, together, strict=True):
        torch.testing.assert_close(layer.apply(one, parameters, torch.tanh), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("sigma_w", "sigma_b"), [(0.9, 0.3), (1.5, 0.2)])
def test_a_convolution_with_many_channels_has_the_mean_field_variance(sigma_w, sigma_b):
    images = torch.randn(3, 64, generator=generator(0, "test"))
    point, theory = Point(sigma_w, sigma_b, 10, 0), mean_field(sigma_w, sigma_b)
    network = Network(point, Architecture("conv", (8, 8), 10, 200), "tanh")
    *_, (_, x) = network.walk(images, until=10)
    variance = sigma_w**2 * float(x.square().mean()) + sigma_b**2
    assert variance == pytest.approx(theory.q_star, rel=0.15)


def test_walking_on_from_a_layer_gives_the_same():
    images = torch.rand(5, 64, generator=generator(0, "test"))
    network = Network(Point(1.5, 0.2, 10), Architecture("mlp", (64,), 10), "tanh")
    whole = dict(network.walk(images, until=10))
    rest = dict(network.walk(whole[4], start=4, until=10))
    assert list(rest) == list(range(5, 11)) and all(torch.equal(whole[n], rest[n]) for n in rest)
