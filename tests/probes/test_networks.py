import itertools
import math

import pytest
import torch

from probes import Point, mean_field
from probes.networks import draw_layer, forward
from probes.seeds import generator


def layers(point, images, width, count, activation="tanh"):
    return [x for _, x in itertools.islice(forward(point, images, width, activation), count)]


def test_weights_have_the_stated_deviations():
    weight, bias = draw_layer(Point(1.7, 0.3, 5, 0), 2, 400, 2000)
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
    count = sum(1 for _ in forward(Point(20.0, 0.0, 100, 0), images, 20, "relu"))
    assert 5 < count < 20  # a factor of about sqrt(200) a layer, up to 1e12
