"""The same numbers on a GPU, as far as its rounding allows."""

import numpy as np
import pytest
import torch
from torch import nn

from probes import Custom, Point, ProbeSettings, TrainingSettings, load_images, measure
from probes.decoders import Decoder, initial_decoder, train_decoders
from probes.layers import Conv, Dense
from probes.networks import Architecture
from probes.seeds import generator
from probes.training import Training, train_pack

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    # Said once by whichever thread of autograd is the first to multiply; it then makes the context itself.
    pytest.mark.filterwarnings("ignore:Attempting to run cuBLAS, but there was no current CUDA context"),
]


@pytest.fixture(autouse=True)
def full_precision(monkeypatch):
    """Let convolutions compute in float32, as a CPU does; torch's default for them is TF32, which has 10 bits."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


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


def test_a_network_of_the_user_measures_the_same():
    images = load_images("digits")
    network = Custom(two_convolutions, initialise="orthogonal")
    points = [Point(w, 0.2, 6, s) for s, w in enumerate((0.8, 1.3, 2.0))]
    settings = ProbeSettings("direct", images=300)
    on_both = (measure(points, images, settings, device=d, network=network) for d in ("cpu", "cuda"))
    for a, b in zip(*on_both, strict=True):
        assert a.status == b.status == "ok"
        np.testing.assert_allclose(a.profiles["direct_retained"], b.profiles["direct_retained"], atol=1e-2)
        np.testing.assert_allclose(a.profiles["gradient_norm"], b.profiles["gradient_norm"], atol=1e-2)


def two_convolutions(shape, classes):
    """Return a network of six layers, some of which are convolutions."""
    convolutions = [nn.Unflatten(1, (1, shape[0])), nn.Conv2d(1, 8, 3), nn.Tanh(), nn.Conv2d(8, 8, 3), nn.Tanh()]
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(8 * 16, classes))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("normalised", [False, True])
def test_networks_of_the_user_train_together_as_alone_and_as_on_a_cpu(normalised, optimizer):
    def network(sigma_w, depth, classes):
        hidden = [m for _ in range(depth) for m in (nn.LazyLinear(40), nn.BatchNorm1d(40), nn.ReLU())]
        dense = [m for _ in range(depth) for m in (nn.LazyLinear(40), nn.Tanh())]
        return nn.Sequential(nn.Flatten(), *(hidden if normalised else dense), nn.LazyLinear(classes))

    images, points = load_images("digits"), [Point(1.4, 0.2, 4, s) for s in range(4)]
    settings = TrainingSettings(epochs=2, images=640, optimizer=optimizer, lr=(0.02 if optimizer == "sgd" else 1e-3,))
    keys = {"architecture": Architecture("mlp", images.shape, images.classes), "activation": "tanh"}
    found = []
    for device, some in (("cuda", points), ("cuda", points[:1]), ("cpu", points)):
        training = Training(some, images, settings, network=Custom(network), device=device, **keys)
        assert [len(stack.runs) for stack in training.stacks] == [len(some)]
        while training.running:
            training.epoch()
        found.append(training.curves()[0])
    for other in found[1:]:
        np.testing.assert_allclose(found[0].loss, other.loss, rtol=1e-2)
        np.testing.assert_allclose(found[0].accuracy, other.accuracy, atol=0.03)


@pytest.mark.parametrize("activation", ["tanh", "relu", "arctan"])
@pytest.mark.parametrize("architecture", ["mlp", "shrinking", "conv", "resnet"])
def test_gradients_are_the_same(architecture, activation):
    images = load_images("digits")
    settings = ProbeSettings("direct", architecture=architecture, activation=activation, images=300)
    points = [Point(w, 0.2, d, d) for w, d in ((0.7, 12), (1.3, 20), (2.0, 6))]
    for a, b in zip(*(measure(points, images, settings, device=d) for d in ("cpu", "cuda")), strict=True):
        np.testing.assert_allclose(a.profiles["gradient_norm"], b.profiles["gradient_norm"], atol=1e-2)
        assert a.values["gradient_ratio"] == pytest.approx(b.values["gradient_ratio"], abs=1e-2)


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


def test_a_pack_that_the_gpu_has_no_memory_for_is_measured_in_halves():
    images = load_images("digits")
    settings = ProbeSettings("cascade", width=1024, probe_steps=2)  # of too few steps for a captured one
    points = [Point(1.2, 0.2, 20, s) for s in range(4)]
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    (alone,) = measure(points[:1], images, settings, device="cuda")
    needed = torch.cuda.max_memory_reserved()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1.5 * needed / torch.cuda.get_device_properties(0).total_memory)
    try:
        together = measure(points, images, settings, device="cuda")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert [m.status for m in together] == ["ok"] * 4, together[0].error
    assert all(m.values["pack"] < 4 and m.values["pack_halved"] >= 1 for m in together)
    np.testing.assert_allclose(together[0].profiles["cascade_retained"], alone.profiles["cascade_retained"], atol=1e-3)
