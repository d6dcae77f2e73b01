import pytest
import torch
from torch.nn.functional import avg_pool2d

from probes import Point
from probes.direct import DirectDecoder, _planned, follow
from probes.networks import Architecture, Network
from probes.seeds import generator


def gaussian(rows, columns, purpose):
    return torch.randn(rows, columns, generator=generator(0, purpose))


@pytest.mark.parametrize("noise", [0.1, 0.5, 1.0, 3.0])
def test_a_noisy_linear_channel_retains_what_theory_says(noise):
    n, pixels = 6000, 20
    x = gaussian(n + 2000, pixels, "x")
    h = x + noise * gaussian(len(x), pixels, "noise")
    decoder = DirectDecoder(x[:n], x[n:], penalty=1e-6)
    # Optimal linear estimate of a unit Gaussian: R^2 = 1 / (1 + noise^2). 40,000 held-out numbers: 0.01.
    assert decoder.retained(h) == pytest.approx(1 / (1 + noise**2), abs=0.01)


def test_the_penalty_is_a_noise_floor():
    n, pixels, penalty = 6000, 20, 0.25
    x = gaussian(n + 2000, pixels, "x")
    # Ridge with a penalty: A = 1 / (1 + penalty), error (penalty / (1 + penalty))^2.
    expected = 1 - (penalty / (1 + penalty)) ** 2
    assert DirectDecoder(x[:n], x[n:], penalty).retained(x) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("width", [50, 500, 900, 3000])
def test_activations_that_know_nothing_read_zero(width):
    n = 1000
    x = gaussian(n + 800, 30, "x")
    h = torch.tanh(gaussian(len(x), width, "h"))
    # Uncorrected, width 900 reads -5; four standard errors of 24,000 numbers with that variance inflation.
    tolerance = 0.15 if width == 900 else 0.05
    assert DirectDecoder(x[:n], x[n:], 1e-2).retained(h) == pytest.approx(0, abs=tolerance)


def test_a_collapsed_layer_reads_zero_and_stays_finite():
    x = gaussian(300, 10, "x")
    decoder = DirectDecoder(x[:200], x[200:], 1e-2)
    assert decoder.retained(torch.full((300, 50), 0.3)) == pytest.approx(0, abs=0.02)
    assert decoder.retained(0.3 + 1e-6 * gaussian(300, 50, "h")) == pytest.approx(0, abs=0.02)


def test_huge_activations_are_survived():
    x = gaussian(300, 10, "x")
    decoder = DirectDecoder(x[:200], x[200:], 1e-2)
    assert decoder.retained(1e11 * x) == pytest.approx(1, abs=0.01)


def test_degenerate_activations_with_hardly_a_penalty_are_survived():
    x = gaussian(1437 + 360, 4, "x")
    decoder = DirectDecoder(x[:1437], x[1437:], 1e-9)
    for scale in (1.0, 400.0, 1e6):
        h = scale * (1 + 1e-3 * x @ gaussian(4, 3, "w"))
        assert 0 <= decoder.retained(torch.cat([h, h, 1e-4 * h], 1)) <= 1


def oracle(images, held_out, h, penalty):
    """Corrected R^2 by plain least squares in double precision: data augmented with sqrt(penalty) rows."""
    n, width = len(images), h.shape[1]
    h, images, held_out = h.double(), images.double(), held_out.double()
    x, z = images - images.mean(0), h - h[:n].mean(0)
    rows = torch.cat([z[:n], (n * penalty) ** 0.5 * torch.eye(width).double()])
    # The answer to each image: weights of the fitting images, by the pseudo-inverse of the augmented system.
    weights = z[n:] @ torch.linalg.pinv(rows)[:, :n]
    error = (held_out - images.mean(0) - weights @ x).square().mean()
    v = weights[:256].square().sum(1).mean() if width <= n else weights.square().sum(1).mean()
    return 1 - float(error / (held_out - images.mean(0)).square().mean()) / (1 + float(v))


@pytest.mark.parametrize("width", [20, 300])  # fewer and more neurons than images: the two forms of the same answer
@pytest.mark.parametrize("penalty", [1e-9, 1e-5, 1e-2])
@pytest.mark.parametrize("spread", [1.0, 1e-3])  # 1e-3: the ordered phase, all activations nearly the same
def test_agrees_with_plain_least_squares(width, penalty, spread):
    x = gaussian(400, 10, "x")
    h = torch.tanh(0.5 + spread * (x @ gaussian(10, width, "w") + 0.3 * gaussian(400, width, "noise")))
    expected = oracle(x[:200], x[200:], h, penalty)
    assert DirectDecoder(x[:200], x[200:], penalty).retained(h) == pytest.approx(expected, abs=2e-3)


def test_layers_planned():
    assert list(_planned(5, 5, 100)) == [1, 2, 3, 4, 5]
    for depth in (1, 2, 7, 60, 2000):
        for layers in (2, 16, depth):
            planned = list(_planned(depth, 3 * depth, layers))
            inside = [n for n in planned if n <= depth]
            assert planned == sorted(set(planned)) and planned[-1] == 3 * depth and depth in inside and 1 in inside
            assert len(inside) <= max(layers, 3) and (layers < depth or len(inside) == depth)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_a_few_layers_find_the_horizon_that_all_find(digits, activation):
    architecture = Architecture("mlp", digits.shape, 10)
    inputs = torch.cat([digits.train[:500], digits.test[:200]])
    decoder = DirectDecoder(inputs[:500], inputs[500:], 1e-2)
    for i, sigma_w in enumerate((0.6, 1.0, 1.2, 1.3, 1.5, 2.0, 4.0)):
        network = Network(Point(sigma_w, 0.2, 40, i), architecture, activation)
        few, every = (follow(network, decoder, inputs, layers=n, threshold=0.25) for n in (16, 200))
        assert few.horizon == pytest.approx(every.horizon, rel=0.02) and few.censored == every.censored
        assert all(few.retained[n] == every.retained[n] for n in few.retained if n in every.retained)
        deepest = min(40, every.diverged_at - 1 if every.diverged_at else 40)
        assert sum(n <= 40 for n in few.retained) <= 20 and set(range(1, deepest + 1)) <= set(every.retained)


def test_the_curve_says_which_layers_were_decoded(digits):
    network = Network(Point(1.3, 0.2, 30), Architecture("mlp", digits.shape, 10), "tanh")
    decoder = DirectDecoder(digits.train, digits.test, 1e-2)
    profile = follow(network, decoder, torch.cat([digits.train, digits.test]), layers=8, threshold=0.25)
    curve = torch.tensor(profile.curve(30))
    assert (curve.isfinite().nonzero()[:, 0] + 1).tolist() == sorted(n for n in profile.retained if n <= 30)
    assert curve[0].isfinite() and curve[-1].isfinite()


def pooled(images):
    """Images of 28 x 28 at half their size."""
    return avg_pool2d(images.view(-1, 1, 28, 28), 2).flatten(1)


def test_a_chaotic_network_of_sixty_layers_retains_nothing(mnist):
    train, held_out = pooled(mnist.train[:2048]), pooled(mnist.test[:1024])
    decoder = DirectDecoder(train, held_out, 1e-2)
    for seed in range(3):
        network = Network(Point(2.0, 0.05**0.5, 60, seed), Architecture("mlp", (14, 14), 10), "tanh")
        *_, (_, x) = network.walk(torch.cat([train, held_out]), until=60)
        assert decoder.retained(x) == pytest.approx(0, abs=0.02)
