import pytest
import torch

from probes.decoders import BATCH, Decoder, initial_decoder, stack_limit, train_decoders
from probes.fitting import train_stack
from probes.layers import Conv, Dense
from probes.plain import PlainCascade
from probes.seeds import generator


def plain(start, x, y, steps, batch=64):
    """One decoder trained the plain way."""
    cascade = PlainCascade([start])
    cascade.train([y, x], steps=steps, batch=batch)
    return cascade.decoders[0]


@pytest.mark.parametrize("images", [256, 200])  # 200: the last batch is short
def test_a_stack_learns_what_each_decoder_would_learn_alone(images):
    random = generator(0, "test")
    x = torch.rand(5, images, 12, generator=random) * 2 - 1
    y = torch.rand(5, images, 9, generator=random) * 2 - 1
    start = [initial_decoder(0, i, Dense(9, 12)) for i in range(5)]
    weight, bias = torch.stack([w for w, _ in start]), torch.stack([b for _, b in start])[:, None]
    train_stack(weight, bias, x, y, steps=60, batch=BATCH)
    for i, s in enumerate(start):
        expected_weight, expected_bias = plain(s, x[i], y[i], 60)
        # The same float32 operations in another order, sixty times.
        torch.testing.assert_close(weight[i], expected_weight, atol=2e-5, rtol=0)
        torch.testing.assert_close(bias[i, 0], expected_bias, atol=2e-5, rtol=0)


def test_a_large_decoder_learns_the_same_too():
    random = generator(0, "test")
    x, y = (torch.rand(300, 200, generator=random) * 2 - 1 for _ in range(2))
    start = initial_decoder(0, 1, Dense(200, 200))
    assert stack_limit("cpu", 200 * 200) == 1
    decoder = Decoder(*(t.clone() for t in start), x, y)
    train_decoders([decoder], steps=60)
    weight, bias = plain(start, x, y, 60)
    torch.testing.assert_close(decoder.weight, weight, atol=2e-5, rtol=0)
    torch.testing.assert_close(decoder.bias, bias, atol=2e-5, rtol=0)


def test_mixed_shapes_are_trained_as_if_alone():
    random = generator(0, "test")
    shapes = [(8, 6), (8, 8), (8, 8), (5, 8), (8, 6)]
    data = [(torch.rand(128, i, generator=random), torch.rand(128, o, generator=random)) for i, o in shapes]
    starts = [initial_decoder(0, k, Dense(o, i)) for k, (i, o) in enumerate(shapes)]
    together = [Decoder(w.clone(), b.clone(), *d) for (w, b), d in zip(starts, data, strict=True)]
    train_decoders(iter(together), steps=30)
    for start, d, (x, y) in zip(starts, together, data, strict=True):
        weight, bias = plain(start, x, y, 30)
        torch.testing.assert_close(d.weight, weight, atol=2e-5, rtol=0)
        torch.testing.assert_close(d.bias, bias, atol=2e-5, rtol=0)


@pytest.mark.parametrize("bounded", [True, False])
def test_a_convolution_s_decoder_is_torch_s_transposed_convolution(bounded):
    layer, random = Conv(2, 5, 6, 7), generator(0, "test")
    x = torch.rand(150, layer.outputs, generator=random) * 2 - 1
    y = torch.rand(150, layer.inputs, generator=random) * 2 - 1
    weight, bias = initial_decoder(0, 1, layer)
    transposed = torch.nn.ConvTranspose2d(5, 2, 3, padding=2)  # of an input wrapped by 1: circular
    with torch.no_grad():
        transposed.weight.copy_(weight.transpose(0, 1).flip(2, 3))
        transposed.bias.copy_(bias)
    adam = torch.optim.Adam(transposed.parameters(), lr=1e-3)

    def decoded(images):
        wrapped = torch.nn.functional.pad(images.view(-1, 5, 6, 7), (1,) * 4, mode="circular")
        out = transposed(wrapped).flatten(1)
        return torch.tanh(out) if bounded else out

    for step in range(30):
        chosen = slice(64 * (step % 3), 64 * (step % 3) + 64)
        adam.zero_grad()
        torch.nn.functional.mse_loss(decoded(x[chosen]), y[chosen]).backward()
        adam.step()
    decoder = Decoder(weight, bias, x, y, bounded, layer.size)
    train_decoders([decoder], steps=30)
    with torch.no_grad():
        torch.testing.assert_close(decoder.weight.transpose(0, 1).flip(2, 3), transposed.weight, atol=2e-5, rtol=0)
        torch.testing.assert_close(decoder.apply(x), decoded(x), atol=1e-4, rtol=0)


def test_initial_decoders_are_drawn_as_torch_s():
    weight, bias = initial_decoder(0, 1, Dense(30, 400))  # Linear(400, 30)
    assert weight.shape == (400, 30) and float(weight.abs().max()) == pytest.approx(400**-0.5, rel=0.01)
    assert bias.shape == (30,)
    weight, bias = initial_decoder(
        0, 1, Conv(20, 30, 4, 4)
    )  # ConvTranspose2d(30, 20, 3): its fan is that of 20 channels
    bound = float(torch.nn.ConvTranspose2d(30, 20, 3).weight.detach().abs().max())
    assert weight.shape == (20, 30, 3, 3) and float(weight.abs().max()) == pytest.approx(bound, rel=0.02)
    assert bias.shape == (20,)


@pytest.mark.parametrize("layer", [Dense(40, 40), Dense(300, 300), Conv(3, 4, 5, 5)])
def test_bfloat16_is_close(layer):
    """Products have 8 bits: decoders end within a few Adam steps of each other, and are as good."""
    random = generator(0, "test")
    y = torch.rand(400, layer.inputs, generator=random)
    x = torch.rand(400, layer.outputs, generator=random)
    trained = []
    for precision in ("float32", "bfloat16"):
        decoder = Decoder(*initial_decoder(0, 1, layer), x, y, True, layer.size)
        train_decoders([decoder], steps=100, precision=precision)
        trained.append(decoder)
    full, half = ((d.apply(x) - y).square().mean() for d in trained)
    assert float(half) == pytest.approx(float(full), rel=0.05)
    assert float((trained[0].weight - trained[1].weight).abs().max()) < 0.02
