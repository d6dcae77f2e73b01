"""The same numbers on a GPU, as far as its rounding allows."""

import numpy as np
import pytest
import torch

from probes import Point, ProbeSettings, TrainingSettings, load_images
from probes.decoders import Decoder, initial_decoder, train_decoders
from probes.layers import Conv, Dense
from probes.networks import Architecture
from probes.prober import measure
from probes.seeds import generator
from probes.training import train_pack

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("layer", [Dense(40, 50), Dense(300, 300), Conv(3, 4, 5, 5)])
@pytest.mark.parametrize("images", [256, 200])  # 200: the last batch is short, and not captured
def test_captured_steps_are_the_steps_of_a_cpu(layer, images):
    random = generator(0, "test")
    x, y = (torch.rand(images, n, generator=random) for n in (layer.outputs, layer.inputs))
    found = []
    for device in ("cpu", "cuda"):
        weight, bias = (t.to(device) for t in initial_decoder(0, 1, layer))
        decoders = [Decoder(weight.clone(), bias.clone(), x.to(device), y.to(device), True, layer.size) for _ in "ab"]
        train_decoders(decoders, steps=40)
        found.append(decoders[1].weight.cpu())
    torch.testing.assert_close(*found, atol=5e-5, rtol=0)


@pytest.mark.parametrize("architecture", ["mlp", "conv", "resnet"])
def test_a_point_measures_the_same(architecture):
    images = load_images("digits")
    settings = ProbeSettings(architecture=architecture, probe_steps=50)
    points = [Point(1.2, 0.2, 8, s) for s in range(3)]
    for a, b in zip(*(measure(points, images, settings, device=d) for d in ("cpu", "cuda")), strict=True):
        assert a.status == b.status == "ok"
        assert a.values["direct_horizon"] == pytest.approx(b.values["direct_horizon"], rel=1e-2)
        np.testing.assert_allclose(a.profiles["cascade_retained"], b.profiles["cascade_retained"], atol=1e-2)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("name", ["mlp", "shrinking", "conv", "resnet"])
def test_a_pack_trains_the_same(name, optimizer):
    images = load_images("digits")
    settings = TrainingSettings(epochs=2, images=320, optimizer=optimizer, lr=(0.01, 0.003))
    points = [Point(1.2, 0.2, 3, 0), Point(1.4, 0.2, 5, 1), Point(1.3, 0.2, 3, 2)]
    keys = {"architecture": Architecture(name, images.shape, images.classes), "activation": "tanh"}
    for a, b in zip(*(train_pack(points, images, settings, device=d, **keys) for d in ("cpu", "cuda")), strict=True):
        np.testing.assert_allclose(a.loss, b.loss, rtol=1e-2)
        np.testing.assert_allclose(a.accuracy, b.accuracy, atol=0.03)
