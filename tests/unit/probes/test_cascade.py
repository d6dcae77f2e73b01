import numpy as np
import pytest
import torch

from probes import Point
from probes.cascade import Cascade, chained
from probes.decoders import Decoder, train_decoders
from probes.entropy import cutoff, differential_entropy, relative_entropy
from probes.networks import Architecture, Network
from probes.seeds import generator


def network(point, architecture, **more):
    return Network(point, architecture, more.pop("activation", "tanh"), **more)


@pytest.mark.parametrize("widths", [[4, 7, 5, 6], [9, 3, 3, 3]])
@pytest.mark.parametrize("depth", [1, 3, 23])  # 23: more than a block
def test_chains_back_layer_by_layer(widths, depth):
    random = generator(0, "test")
    widths = (widths * 6)[: depth + 1]
    decoders = [
        Decoder(torch.randn(b, a, generator=random), torch.randn(a, generator=random), *[torch.empty(0)] * 2)
        for a, b in zip(widths[:-1], widths[1:], strict=True)
    ]
    activations = [torch.randn(3, b, generator=random) for b in widths[1:]]
    r = chained(decoders, activations)
    assert r.shape == (depth, 3, widths[0])
    for layer, x in enumerate(activations):
        for d in reversed(decoders[: layer + 1]):
            x = torch.tanh(x @ d.weight + d.bias)
        torch.testing.assert_close(r[layer], x, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["mlp", "published", "shrinking", "conv", "resnet"])
def test_every_architecture_is_reconstructed(digits, name):
    architecture = Architecture(name, digits.shape, digits.classes, 6 if name in ("conv", "resnet") else None)
    inputs = torch.cat([digits.train[:640], digits.test[:10]])
    cascade = Cascade(
        network(Point(1.3, 0.1, 3), architecture), inputs, learn_from=640, reconstructed=slice(640, 650), readout=True
    )
    train_decoders(cascade.prepare(), steps=300)
    r = cascade.reconstructions()
    assert r.shape == (4, 10, 64) and cascade.favourites().shape == (10, 64)
    error, ignorance = (float((x - digits.test[:10]).square().mean()) for x in (r[0], digits.train.mean(0)))
    assert error < 0.5 * ignorance  # the first layer lets the image through
    losses = cascade.losses()
    assert len(losses) == 4 and losses[0] == pytest.approx(error, rel=1e-4)
    assert all(0 < loss < 0.5 * float(y.var()) for loss, y in zip(losses[1:], cascade.activations, strict=False))


@pytest.mark.parametrize("activation", ["relu", "arctan"])
def test_unbounded_activations_are_within_a_decoder_s_range(digits, activation):
    architecture = Architecture("mlp", digits.shape, digits.classes)
    scale = {"relu": 1.4, "arctan": 1.3}[activation]
    cascade = Cascade(
        network(Point(scale, 0.1, 2), architecture, activation=activation),
        digits.train * 3,
        learn_from=1437,
        reconstructed=slice(0, 10),
    )
    decoders = [(d, d.y) for d in cascade.prepare()]
    assert [d.bounded for d, _ in decoders] == [True, False]
    train_decoders([d for d, _ in decoders], steps=2000)
    (second, y) = decoders[1]
    assert float(y[:10].max()) > 1
    decoded = second.apply(cascade.activations[1])
    assert float((decoded - y[:10]).square().mean()) < 0.1 * float(y.var())


def test_a_network_that_ends_early(digits):
    architecture = Architecture("mlp", digits.shape, digits.classes)
    cascade = Cascade(
        network(Point(20.0, 0.5, 40), architecture, activation="relu"),
        digits.train,
        learn_from=100,
        reconstructed=slice(0, 10),
    )
    count = sum(1 for _ in cascade.prepare())
    assert count < 20 and cascade.diverged_at == count + 1 and len(cascade.decoders) == count


@pytest.mark.parametrize("phase", ["ordered", "critical", "chaotic"])
def test_reproduces_the_published_code(shared, phase):
    with np.load(shared / "reference" / "cascade_digits.npz") as file:
        data = {k.removeprefix(f"{phase}/"): torch.from_numpy(file[k]) for k in file if k.startswith(phase)}
        train, test = (torch.from_numpy(file[k]) for k in ("train", "test"))
    x, seen = [train], [test]
    for i in range(12):
        weight, bias = data[f"forward.{i}.weight"], data[f"forward.{i}.bias"]
        x.append(torch.tanh(x[-1] @ weight.T + bias))
        seen.append(torch.tanh(seen[-1] @ weight.T + bias))
    decoders = [
        Decoder(data[f"decoder_init.{i}.weight"].T.contiguous(), data[f"decoder_init.{i}.bias"], x[i + 1], x[i])
        for i in range(12)
    ]
    train_decoders(decoders, steps=20 * (len(train) // 64))
    for i, d in enumerate(decoders):
        for name, trained in (("weight", d.weight.T), ("bias", d.bias)):
            expected = data[f"decoder.{i}.{name}"]
            torch.testing.assert_close(trained, expected, atol=1e-5 * float(expected.abs().max()), rtol=0)
    r = chained(decoders, seen[1:])
    torch.testing.assert_close(r, data["reconstructions"], atol=1e-5 * float(r.abs().max()), rtol=0)
    entropy = relative_entropy(test, r)
    torch.testing.assert_close(entropy, data["relative_entropy"].double(), rtol=1e-4, atol=0)
    torch.testing.assert_close(differential_entropy(r), data["differential_entropy"].double(), rtol=1e-4, atol=0)
    curves = entropy[:10].numpy()
    assert [cutoff(c) for c in curves.T] == data["cutoff_per_image"].tolist()
    assert cutoff(np.median(curves / curves[-1], 1)) == int(data["cutoff_median"][0])
