"""Cascades of networks of users: those of built-in networks where the layers are alike, and of any shape otherwise."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from probes import Images, Point, ProbeSettings, measure
from probes.cascade import Cascade
from probes.custom.decoding import MAX_DECODED, decoded_layers
from probes.custom.function import Custom
from probes.custom.network import CustomNetwork
from probes.decoders import train_decoders
from probes.layers import folded, unfolded
from tests.unit.probes.test_custom import mlp

SETTINGS = ProbeSettings("both", images=256, probe_steps=60)


def test_the_cascade_of_a_user_s_network_is_that_of_the_same_built_in_one(digits):
    points = [Point(1.2, 0.1, 5, 0), Point(3.0, 0.2, 4, 1)]
    for own, built_in in zip(
        measure(points, digits, SETTINGS, network=mlp), measure(points, digits, SETTINGS), strict=True
    ):
        names = [name for name in built_in.values if name.startswith(("cascade_", "differential_"))]
        counted = [n for n in names if not n.endswith(("_seconds", "_flops"))]
        assert len(counted) > 6
        for name in counted:
            assert own.values[name] == pytest.approx(built_in.values[name], rel=1e-4, abs=1e-4), name
        for name in ("cascade_retained", "cascade_correlation", "cascade_loss", "differential_entropy"):
            np.testing.assert_allclose(own.profiles[name], built_in.profiles[name], rtol=1e-4, atol=1e-4)


def test_a_decoder_suits_the_shapes_of_its_layers():
    outputs = [(4, 8, 8), (8, 4, 4), (8, 2, 2), (5, 2, 1), (30,), (MAX_DECODED + 1,), (7, 3)]
    layers = decoded_layers((8, 8), outputs)
    assert [(n, layer.size, layer.stride) for n, layer in layers.items()] == [
        (1, (8, 8), 1),
        (2, (4, 4), 2),
        (3, (2, 2), 2),
        (4, None, 1),
        (5, None, 1),
        (7, None, 1),
    ]
    assert layers[2].decoder_shape() == ((4 * 4, 8, 3, 3), 4 * 4, 4 * 4 * 9)
    assert layers[4].decoder_shape() == ((10, 32), 32, 10)
    assert (layers[7].inputs, layers[7].outputs) == (30, 21)  # from the last layer that is decoded
    assert not decoded_layers((3, 80, 80), [(10,)])


def test_folded_images_unfold():
    x = torch.randn(3, 2 * 6 * 9)
    there = folded(x, (2, 3), 3)
    assert there.shape == x.shape and not torch.equal(there, x)
    assert torch.equal(unfolded(there.view(3, 18, 2, 3), 3).flatten(1), x)
    assert folded(x, None, 1) is x


def strided(sigma_w, depth, shape, classes):
    """Return a network of convolutions of which the second halves the images, and a dense layer at the end."""
    channels = [1, *[8] * (depth - 1)]
    layers = [
        nn.Sequential(nn.Conv2d(a, b, 3, 2 if n == 1 else 1, 1), nn.Tanh())
        for n, (a, b) in enumerate(zip(channels, channels[1:], strict=False))
    ]
    for layer in layers:
        nn.init.normal_(layer[0].weight, std=sigma_w / math.sqrt(layer[0].weight[0].numel()))
    dense = nn.Sequential(nn.Flatten(), nn.Linear(8 * (shape[0] // 2) ** 2, 40), nn.Tanh())
    return nn.Sequential(nn.Unflatten(1, (1, shape[0])), *layers, dense, nn.Linear(40, classes)), [*layers, dense]


def test_strided_convolutions_are_decoded_as_far_as_they_carry(digits):
    settings = ProbeSettings("cascade", probe_steps=200)
    good, bad = measure([Point(1.0, 0.0, 4, 0), Point(0.01, 0.0, 4, 0)], digits, settings, network=strided)
    assert good.status == bad.status == "ok", good.error
    assert np.all(good.profiles["cascade_correlation"][1:] > 0.1)
    assert np.all(bad.profiles["cascade_correlation"][1:] < 0.02)


def test_a_strided_decoder_is_a_transposed_convolution(digits):
    network = CustomNetwork(Point(1.0, 0.0, 3), Custom(strided), digits.shape, digits.classes)
    cascade = Cascade(network, digits.train[:96], learn_from=64, reconstructed=slice(64, 96))
    train_decoders(cascade.prepare(), steps=3)
    decoder, x = cascade.decoders[1], cascade.activations[1]
    assert (decoder.stride, decoder.outputs) == (2, 8 * 8 * 8)
    moved = x.view(-1, 8, 4, 4).roll((1, 2), (2, 3)).flatten(1)  # by so many positions, and twice as many after it
    expected = decoder.apply(x).view(-1, 8, 8, 8).roll((2, 4), (2, 3)).flatten(1)
    torch.testing.assert_close(decoder.apply(moved), expected)


def widening(shape, classes):
    sizes = [math.prod(shape), 32, MAX_DECODED + 1, 24, 16]
    layers = [nn.Sequential(nn.Linear(a, b), nn.Tanh()) for a, b in zip(sizes, sizes[1:], strict=False)]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(16, classes)), layers


def test_a_layer_that_is_too_large_is_left_out(digits):
    settings = ProbeSettings("cascade", images=128, probe_steps=20)
    (m,) = measure([Point(1.0, 0.1, 4)], digits, settings, network=widening)
    assert m.status == "ok", m.error
    for name in ("cascade_retained", "cascade_loss", "cascade_correlation", "differential_entropy"):
        assert list(np.isnan(m.profiles[name])) == [False, True, False, False], name
    assert m.values["cascade_retained"] == m.profiles["cascade_retained"][-1]
    assert 0 < m.values["cascade_horizon"] <= 4


def test_images_that_are_too_large_are_a_failed_point():
    many = torch.rand(80, 3 * 80 * 80)
    images = Images("large", many, torch.arange(80) % 2, many[:8], torch.arange(8) % 2, (3, 80, 80), classes=2)

    def small(shape, classes):
        layers = [nn.Linear(math.prod(shape), 4), nn.Linear(4, 4)]
        return nn.Sequential(nn.Flatten(), *layers, nn.Linear(4, classes)), layers

    (m,) = measure([Point(1.0, 0.1, 2)], images, ProbeSettings("cascade", images=64), network=small)
    assert m.status == "failed" and "has no layer that a cascade decodes" in m.error and "16384" in m.error


def test_where_a_user_s_network_diverges_nothing_more_is_decoded(digits):
    def growing(depth, shape, classes):
        layers = [nn.Linear(math.prod(shape), math.prod(shape)) for _ in range(depth)]
        for layer in layers:
            nn.init.normal_(layer.weight, std=1e4)
        return nn.Sequential(nn.Flatten(), *layers, nn.Linear(math.prod(shape), classes)), layers

    (m,) = measure([Point(1.0, 0.1, 6)], digits, SETTINGS, network=growing)
    assert m.status == "diverged" and m.profiles["cascade_retained"][-1] == pytest.approx(0, abs=1e-12)
    assert np.isnan(m.profiles["cascade_loss"][-1])
