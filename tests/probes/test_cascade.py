import numpy as np
import pytest
import torch

from probes.cascade import Decoder, initial_decoder, reconstruct, train_decoders, train_stack
from probes.entropy import cutoff, differential_entropy, relative_entropy
from probes.seeds import generator


def published_loop(weight, bias, x, y, steps, batch):
    """One Linear, one Adam per decoder, autograd: the plain way, kept as the oracle. Weights as [fan_in, fan_out]."""
    layer = torch.nn.Linear(*weight.shape)
    with torch.no_grad():
        layer.weight.copy_(weight.T)
        layer.bias.copy_(bias)
    adam = torch.optim.Adam(layer.parameters(), lr=1e-3)
    starts = range(0, len(x), batch)
    for step in range(steps):
        chosen = slice(starts[step % len(starts)], starts[step % len(starts)] + batch)
        loss = torch.nn.functional.mse_loss(torch.tanh(layer(x[chosen])), y[chosen])
        adam.zero_grad()
        loss.backward()
        adam.step()
    return layer.weight.detach().T, layer.bias.detach()


@pytest.mark.parametrize("images", [256, 200])  # 200: the last batch is short
def test_a_stack_learns_what_each_decoder_would_learn_alone(images):
    random = generator(0, "test")
    x = torch.rand(5, images, 12, generator=random) * 2 - 1
    y = torch.rand(5, images, 9, generator=random) * 2 - 1
    start = [initial_decoder(0, i, 12, 9) for i in range(5)]
    weight, bias = torch.stack([w for w, _ in start]), torch.stack([b for _, b in start])[:, None]
    train_stack(weight, bias, x, y, steps=60)
    for i, (w, b) in enumerate(start):
        expected_weight, expected_bias = published_loop(w, b, x[i], y[i], 60, 64)
        # The same float32 operations in another order, sixty times.
        torch.testing.assert_close(weight[i], expected_weight, atol=2e-5, rtol=0)
        torch.testing.assert_close(bias[i, 0], expected_bias, atol=2e-5, rtol=0)


def test_mixed_shapes_are_trained_as_if_alone():
    random = generator(0, "test")
    shapes = [(8, 6), (8, 8), (8, 8), (5, 8), (8, 6)]
    data = [(torch.rand(128, i, generator=random), torch.rand(128, o, generator=random)) for i, o in shapes]
    together = [Decoder(*initial_decoder(0, k, *s), *data[k]) for k, s in enumerate(shapes)]
    train_decoders(iter(together), steps=30)
    for k, s in enumerate(shapes):
        weight, bias = published_loop(*initial_decoder(0, k, *s), *data[k], 30, 64)
        torch.testing.assert_close(together[k].weight, weight, atol=2e-5, rtol=0)
        torch.testing.assert_close(together[k].bias, bias, atol=2e-5, rtol=0)


def test_reconstruct_chains_back_layer_by_layer():
    random = generator(0, "test")
    widths = [4, 7, 5, 6]
    decoders = [
        (torch.randn(b, a, generator=random), torch.randn(a, generator=random))
        for a, b in zip(widths[:-1], widths[1:], strict=True)
    ]
    activations = [torch.randn(3, b, generator=random) for b in widths[1:]]
    found = reconstruct(decoders, activations)
    for layer, x in enumerate(activations):
        for weight, bias in reversed(decoders[: layer + 1]):
            x = torch.tanh(x @ weight + bias)
        torch.testing.assert_close(found[layer], x, atol=1e-6, rtol=1e-5)


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
        Decoder(data[f"decoder_init.{i}.weight"].T, data[f"decoder_init.{i}.bias"], x[i + 1], x[i]) for i in range(12)
    ]
    train_decoders(decoders, steps=20 * (len(train) // 64))
    for i, d in enumerate(decoders):
        for name, found in (("weight", d.weight.T), ("bias", d.bias)):
            expected = data[f"decoder.{i}.{name}"]
            torch.testing.assert_close(found, expected, atol=1e-5 * float(expected.abs().max()), rtol=0)
    r = reconstruct([(d.weight, d.bias) for d in decoders], seen[1:])
    torch.testing.assert_close(r, data["reconstructions"], atol=1e-5 * float(r.abs().max()), rtol=0)
    entropy = relative_entropy(test, r)
    torch.testing.assert_close(entropy, data["relative_entropy"].double(), rtol=1e-4, atol=0)
    torch.testing.assert_close(differential_entropy(r), data["differential_entropy"].double(), rtol=1e-4, atol=0)
    curves = entropy[:10].numpy()
    assert [cutoff(c) for c in curves.T] == data["cutoff_per_image"].tolist()
    assert cutoff(np.median(curves / curves[-1], 1)) == int(data["cutoff_median"][0])
