r"""Training of decoders: gradients of a stack by hand, and steps of Adam.

==========  ====================================================================  =============================
symbol      meaning                                                               shape
==========  ====================================================================  =============================
x           outputs of the layers that a stack of decoders reads                  ``[stack, images, fan_in]``
y           inputs of the same layers: what the decoders must give                ``[stack, images, fan_out]``
weight      of the decoders, ``tanh(x @ weight + bias)``                          ``[stack, fan_in, fan_out]``
bias        of the decoders                                                       ``[stack, 1, fan_out]``
r           reconstruction; e = r - y its error                                   ``[stack, batch, fan_out]``
==========  ====================================================================  =============================

The network is frozen, so every decoder learns alone. Loss: the mean over batch and outputs of e^2; hence with
``g = 2 e (1 - r^2) / (batch fan_out)`` the gradients are ``x^T g`` and the sum of g over the batch: no graph is needed.

Source: arXiv:2406.12916 (Linear + tanh, mean squared error, Adam 1e-3, batch 64).
"""

from collections.abc import Callable

import torch
from torch.nn.functional import conv2d
from torch.nn.grad import conv2d_weight

from probes import torch_private
from probes.adam import Adam
from probes.layers import wrapped
from probes.products import quick_tanh_, stacked_affine, stacked_matmul

_LEARNING_RATE = 1e-3
_EAGER_STEPS = 3  # on a GPU, before a step is captured: the libraries allocate their workspaces in the first

Gradients = Callable[[torch.Tensor, torch.Tensor], list[torch.Tensor]]  # of the parameters, on a batch of x and y
Step = Callable[[torch.Tensor, torch.Tensor], None]


def train_stack(
    weight: torch.Tensor,
    bias: torch.Tensor,
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    steps: int,
    batch: int,
    bounded: bool = True,
    precision: str = "float32",
) -> None:
    """Train a stack of dense decoders in place with Adam, passing through the images in order.

    Shapes as in the notation above. The last batch of a pass is shorter where ``batch`` does not divide
    the images. With ``precision="bfloat16"`` the products (not their sums, nor Adam's state) have 8 bits.
    """
    stack, images, _ = x.shape
    fan_out = y.shape[2]
    weight_gradient, bias_gradient = torch.empty_like(weight), torch.empty_like(bias)
    space = y.new_empty(2, stack, min(batch, images), fan_out)
    half = torch.empty_like(weight, dtype=torch.bfloat16) if precision == "bfloat16" else None
    if half is not None:
        x = x.bfloat16()

    def gradients(xb: torch.Tensor, yb: torch.Tensor) -> list[torch.Tensor]:
        size = xb.shape[1]
        r, g = space[0, :, :size], space[1, :, :size]
        if half is None:
            r = stacked_affine(xb, weight, bias, r, tanh=bounded)
        else:
            torch.add(torch.bmm(xb, half.copy_(weight)), bias, out=r)
            if bounded:
                quick_tanh_(r)
        _error_signal(r, yb, bounded, g)
        if half is None:
            product = stacked_matmul(xb.transpose(1, 2), g, weight_gradient)
        else:
            product = weight_gradient.copy_(torch.bmm(xb.transpose(1, 2), g.bfloat16()))
        return [product, torch.sum(g, 1, keepdim=True, out=bias_gradient)]

    _descend(gradients, [weight, bias], x, y, steps=steps, batch=batch)


def train_convolution(
    weight: torch.Tensor,
    bias: torch.Tensor,
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    size: tuple[int, int],
    steps: int,
    batch: int,
    bounded: bool = True,
    precision: str = "float32",
) -> None:
    """Train the one decoder of a convolution in place, as `train_stack` does; shapes and ``size`` as of `Decoder`."""
    low = torch.bfloat16 if precision == "bfloat16" else torch.float32

    def gradients(xb: torch.Tensor, yb: torch.Tensor) -> list[torch.Tensor]:
        images = wrapped(xb[0].view(xb.shape[1], -1, *size), weight.shape[-1] // 2).to(low)
        kernel = weight.to(low)
        r = conv2d(images, kernel).float().add_(bias[:, None, None])
        if bounded:
            quick_tanh_(r)
        g = _error_signal(r, yb.view_as(r), bounded, torch.empty_like(r))
        return [conv2d_weight(images, kernel.shape, g.to(low)).float(), g.sum((0, 2, 3))]

    _descend(gradients, [weight, bias], x[None], y[None], steps=steps, batch=batch)


def _error_signal(r: torch.Tensor, y: torch.Tensor, bounded: bool, out: torch.Tensor) -> torch.Tensor:
    """Return the gradient g of the loss by the decoder's sums, which is written into ``out``.

    ``r`` and ``y`` are ``[stack, batch, fan_out]``, or ``[batch, channels, height, width]`` of a single convolution.
    """
    torch.sub(r, y, out=out)
    if bounded:
        torch_private.tanh_backward(out, r, out=out)
    return out.mul_(2 / (r[0].numel() if r.ndim == 3 else r.numel()))


def _descend(
    gradients: Gradients, parameters: list[torch.Tensor], x: torch.Tensor, y: torch.Tensor, *, steps: int, batch: int
) -> None:
    """Make Adam steps over the batches of ``x`` and ``y [stack, images, ...]``; on a GPU as one captured graph."""
    moments = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    optimiser = Adam(parameters, *moments, learning_rate=_LEARNING_RATE)
    starts = range(0, x.shape[1], batch)

    def step(xb: torch.Tensor, yb: torch.Tensor) -> None:
        optimiser.step(gradients(xb, yb))

    captured = None
    for k in range(steps):
        start = starts[k % len(starts)]
        xb, yb = x[:, start : start + batch], y[:, start : start + batch]
        if x.is_cuda and k >= _EAGER_STEPS and xb.shape[1] == batch:
            captured = captured or _captured(step, xb, yb)
            captured(xb, yb)
        else:
            step(xb, yb)


def _captured(step: Step, xb: torch.Tensor, yb: torch.Tensor) -> Step:
    """Return a step as a CUDA graph: one launch instead of a dozen. It reads its batch from where it was captured."""
    xb, yb = xb.clone(), yb.clone()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(xb, yb)

    def replay(x: torch.Tensor, y: torch.Tensor) -> None:
        xb.copy_(x)
        yb.copy_(y)
        graph.replay()

    return replay
