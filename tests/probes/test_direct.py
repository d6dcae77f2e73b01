import pytest
import torch

from probes.direct import DirectDecoder
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
