"""Circular padding; what the layers give, `test_networks.py` tests."""

import pytest
import torch
from torch.nn.functional import pad

from probes.layers import wrapped
from probes.seeds import generator


@pytest.mark.parametrize(("height", "width", "edge"), [(5, 7, 1), (6, 4, 2), (2, 2, 1), (1, 3, 1), (3, 3, 3)])
def test_wrapping_and_its_gradient_are_those_of_torch(height, width, edge):
    random = generator(0, "test")
    x = torch.randn(2, 3, height, width, dtype=torch.float64, generator=random).requires_grad_()
    ours, theirs = wrapped(x, edge), pad(x, (edge,) * 4, mode="circular")
    assert torch.equal(ours, theirs)
    d = torch.randn(ours.shape, dtype=torch.float64, generator=random)
    torch.testing.assert_close(torch.autograd.grad(ours, x, d)[0], torch.autograd.grad(theirs, x, d)[0])
