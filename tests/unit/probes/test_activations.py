import math

import numpy as np
import pytest
import torch

from probes.activations import DECLARED, NAMES
from probes.layers import ACTIVATIONS
from probes.seeds import generator
from probes.training.dense import derivative_of

# Activations of torch that are left out, for the reasons that `probes.activations` gives; the last one is a layer.
LEFT_OUT = {"hardshrink", "threshold", "prelu", "rrelu", "glu", "softmax", "softmin", "logsoftmax", "softmax2d"}
LEFT_OUT |= {"multiheadattention"}


def test_all_of_torch_are_declared_or_left_out():
    known = {name.lower() for name in torch.nn.modules.activation.__all__}
    assert known - LEFT_OUT == known & {name.replace("_", "") for name in NAMES}
    assert tuple(ACTIVATIONS) == NAMES and not LEFT_OUT & set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_bounded_ones_have_values_between_minus_one_and_one(name):
    values = ACTIVATIONS[name](torch.linspace(-50, 50, 1001))
    assert DECLARED[name].bounded == bool(values.abs().max() <= 1)


@pytest.mark.parametrize("name", NAMES)
def test_the_slope_jumps_at_most_where_a_kink_is_declared(name):
    edges = np.unique([-12, *DECLARED[name].kinks, 12])
    for low, high in zip(edges, edges[1:], strict=False):
        x = torch.linspace(low + 1e-6, high - 1e-6, 20_001, dtype=torch.float64).requires_grad_()
        (slopes,) = torch.autograd.grad(ACTIVATIONS[name](x).sum(), x)
        assert float(slopes.diff().abs().max()) < 0.003  # no more than a step of 0.0012 times a curvature


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_before_an_activation_is_that_of_autograd(name):
    z = 2 * torch.randn(3, 40, 7, generator=generator(0, "activation"), dtype=torch.float64)
    d = torch.randn(z.shape, generator=generator(1, "activation"), dtype=torch.float64)
    inputs = z.clone().requires_grad_()
    h = ACTIVATIONS[name](inputs)
    (expected,) = torch.autograd.grad(h, inputs, d)
    before, kept = d.clone(), z.clone()
    with torch.no_grad():
        gradient = derivative_of(name)(d, h.detach(), z)
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(d, before) and torch.equal(z, kept)
    assert gradient.data_ptr() != d.data_ptr()  # the gradient of the layer before takes the memory of d


@pytest.mark.parametrize("name", NAMES)
def test_the_derivative_of_an_activation_agrees_with_differences(name):
    z = torch.linspace(-4.03, 4.01, 57, dtype=torch.float64)
    slopes = derivative_of(name)(torch.ones_like(z), ACTIVATIONS[name](z), z)
    differences = (ACTIVATIONS[name](z + 1e-5) - ACTIVATIONS[name](z - 1e-5)) / 2e-5
    torch.testing.assert_close(slopes, differences, rtol=1e-7, atol=1e-8)


def test_the_parameters_are_those_of_torch():
    below = {name: float(ACTIVATIONS[name](torch.tensor(-2.0))) for name in ("leaky_relu", "elu", "gelu", "softshrink")}
    gelu = -2 * math.erfc(math.sqrt(2)) / 2
    assert below == pytest.approx({"leaky_relu": -0.02, "elu": math.exp(-2) - 1, "gelu": gelu, "softshrink": -1.5})
