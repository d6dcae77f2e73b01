"""The averages of mean field theory, against closed forms and against adaptive integration."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate

from probes.activations import DECLARED, NAMES
from probes.kernels import KERNELS, QuadratureKernel

CLOSED = ("relu", "leaky_relu", "identity", "erf", "sin")
SMOOTH_SUMS = sorted(set(NAMES) - set(CLOSED) - {"tanh", "arctan"})


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize("q", [1e-4, 0.5, 1.0, 9.0])
def test_quadrature_agrees_with_the_closed_forms(name, q):
    exact, by_sum = KERNELS[name], QuadratureKernel(DECLARED[name])
    for average in ("second_moment", "slope", "curvature"):
        assert getattr(by_sum, average)(q) == pytest.approx(getattr(exact, average)(q), rel=1e-11, abs=1e-11), average
    for c in (-0.4, 0.0, 0.7, 0.99, 1 - 1e-6, 1.0):
        assert by_sum.covariance(q, c) == pytest.approx(exact.covariance(q, c), abs=1e-8 * max(1, q)), c
        assert by_sum.slope_covariance(q, c) == pytest.approx(exact.slope_covariance(q, c), abs=1e-7), c


def test_the_closed_form_of_leaky_relu_is_a_sum_of_those_of_relu_and_the_identity():
    q, c, a = 1.7, 0.6, 0.01
    relu, leaky, identity = (KERNELS[n] for n in ("relu", "leaky_relu", "identity"))
    mixed = 2 * a * (1 - a) * q * c / 2  # E[u1 relu(u2)] = q c / 2
    expected = a * a * identity.covariance(q, c) + mixed + (1 - a) ** 2 * relu.covariance(q, c)
    assert leaky.covariance(q, c) == pytest.approx(expected, rel=1e-14)
    assert leaky.second_moment(q) == pytest.approx(q * (1 + a * a) / 2, rel=1e-14)
    assert identity.covariance(q, c) == pytest.approx(q * c) and identity.slope_covariance(q, c) == pytest.approx(1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("q", [0.3, 4.0])
def test_simple_averages_agree_with_adaptive_integration(name, q):
    kernel, phi = KERNELS[name], DECLARED[name].phi

    def values(u):
        x = torch.tensor(u, dtype=torch.float64).requires_grad_()
        y = phi(x)
        return y.item(), torch.autograd.grad(y, x)[0].item()

    def average(which):
        total = 0.0
        edges = [-10, *(k / math.sqrt(q) for k in DECLARED[name].kinks if abs(k) < 10 * math.sqrt(q)), 10]
        for low, high in zip(edges, edges[1:], strict=False):
            part, _ = integrate.quad(
                lambda z: values(math.sqrt(q) * z)[which] ** 2 * math.exp(-z * z / 2), low, high, epsabs=1e-10, limit=99
            )
            total += part
        return total / math.sqrt(2 * math.pi)

    assert kernel.second_moment(q) == pytest.approx(average(0), abs=1e-9)
    assert kernel.slope(q) == pytest.approx(average(1), abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("q", [0.3, 4.0])
def test_averages_of_derivatives_are_derivatives_of_averages(name, q):
    kernel, h = KERNELS[name], 1e-4
    by_q = (kernel.second_moment(q + h) - kernel.second_moment(q - h)) / (2 * h)
    assert kernel.slope(q) + kernel.curvature(q) == pytest.approx(by_q, rel=1e-6)
    for c in (0.2, 0.9):
        by_c = (kernel.covariance(q, c + h) - kernel.covariance(q, c - h)) / (2 * h)
        assert kernel.slope_covariance(q, c) == pytest.approx(by_c / q, abs=3e-6), c


@pytest.mark.parametrize("name", SMOOTH_SUMS)
def test_double_averages_join_the_simple_ones(name):
    kernel = KERNELS[name]
    for q in (0.01, 1.0, 30.0):
        assert kernel.covariance(q, 1.0) == pytest.approx(kernel.second_moment(q), rel=1e-12)
        u = math.sqrt(q) * np.linspace(-9, 9, 200_001)
        w = np.exp(-(np.linspace(-9, 9, 200_001) ** 2) / 2)
        mean = float(w @ kernel.phi(u) / w.sum())
        assert kernel.covariance(q, 0.0) == pytest.approx(mean**2, abs=1e-5 * max(1, q))
