"""The private names of torch: the installed release has each of them, and its substitute gives the same numbers."""

import numpy as np
import pytest
import torch

from probes import Point, ProbeSettings, TrainingSettings, measure, torch_private
from probes.seeds import generator


def gaussian(*shape):
    return torch.randn(*shape, generator=generator(0, "torch", *shape))


def test_onednn_linear():
    assert torch_private.ONEDNN
    x, weight, bias = gaussian(30, 40), gaussian(20, 40) / 40**0.5, gaussian(20)
    torch.testing.assert_close(torch_private.onednn_linear(x, weight, bias), x @ weight.T + bias)
    torch.testing.assert_close(torch_private.onednn_linear(x, weight, None, tanh=True), torch.tanh(x @ weight.T))


def test_modules_have_the_attributes_that_are_not_compared():
    assert set(torch_private.UNCOMPARED) <= vars(torch.nn.Linear(1, 1)).keys()


def test_tanh_backward():
    assert torch_private.tanh_backward is torch_private.aten_tanh_backward
    d, h = gaussian(7, 9), torch.tanh(gaussian(9, 7)).T
    expected = torch_private.plain_tanh_backward(d, h)
    torch.testing.assert_close(torch_private.aten_tanh_backward(d, h), expected)
    for backward in (torch_private.aten_tanh_backward, torch_private.plain_tanh_backward):
        out = d.clone()
        assert backward(out, h, out=out) is out
        torch.testing.assert_close(out, expected)


def test_relu_backward():
    assert torch_private.relu_backward is torch_private.aten_relu_backward
    d, h = gaussian(7, 9), torch.relu(gaussian(9, 7)).T
    out = torch_private.aten_relu_backward(d, h)
    assert torch.equal(out, torch_private.plain_relu_backward(d, h)) and 0 < int((out == 0).sum()) < out.numel()


def test_adam_step():
    assert torch_private.adam_step is torch_private.fused_adam_step
    ends = []
    for step in (torch_private.fused_adam_step, torch_private.plain_adam_step):
        shapes = [(5, 4), (4,)]
        p, m, v = [gaussian(*s) for s in shapes], [torch.zeros(s) for s in shapes], [torch.zeros(s) for s in shapes]
        n = [torch.zeros(()) for _ in shapes]
        for k in range(10):
            step(p, [gaussian(k + 1, *s)[k] for s in shapes], m, v, n, 0.01)
        assert [float(x) for x in n] == [10, 10]
        ends.append([*p, *m, *v])
    torch.testing.assert_close(*ends)


def test_a_name_that_is_gone_or_answers_otherwise_is_not_used():
    def gone():
        return torch.ops.mkldnn._no_such_operator(1)

    one, two = torch.ones(2), torch.full((2,), 2.0)
    assert torch_private.agree(lambda: one, lambda: one)
    assert not torch_private.agree(gone, lambda: one) and not torch_private.agree(lambda: two, lambda: one)
    assert not torch_private.agree(lambda: torch.relu(one, no_such_argument=1), lambda: one)


@pytest.mark.parametrize(("activation", "optimizer"), [("tanh", "adam"), ("relu", "sgd")])
def test_without_the_private_names_points_measure_the_same(digits, monkeypatch, activation, optimizer):
    training = TrainingSettings(epochs=2, images=128, optimizer=optimizer)
    settings = ProbeSettings(
        activation=activation, width=130, images=200, probe_steps=20, train="all", training=training
    )
    points = [Point(1.3, 0.1, 3, s) for s in range(2)]
    quick = measure(points, digits, settings)
    for name in ("tanh_backward", "relu_backward", "adam_step"):
        monkeypatch.setattr(torch_private, name, getattr(torch_private, f"plain_{name}"))
    monkeypatch.setattr(torch_private, "ONEDNN", False)
    for a, b in zip(quick, measure(points, digits, settings), strict=True):
        assert a.status == b.status == "ok"
        for name in ("direct_retained", "cascade_retained"):
            np.testing.assert_allclose(a.profiles[name], b.profiles[name], atol=1e-4)
        np.testing.assert_allclose(a.curves["loss"], b.curves["loss"], rtol=1e-4)
