r"""Training of decoders: gradients of a stack by hand, and steps of Adam.

==========  ====================================================================  =============================
symbol      meaning                                                               shape
==========  ====================================================================  =============================
stack       number of decoders that are trained together                          scalar
x           outputs of the layers, which the decoders read                        ``[stack, images, fan_in]``
y           inputs of the layers, which the decoders learn to give                ``[stack, images, fan_out]``
weight      weights of the decoders                                               ``[stack, fan_in, fan_out]``
bias        biases of the decoders                                                ``[stack, 1, fan_out]``
xb, yb      x and y of one batch                                                  ``[stack, batch, ...]``
r           reconstructions ``tanh(xb @ weight + bias)``                          ``[stack, batch, fan_out]``
loss        of each decoder: mean of ``(r - yb)^2`` over batch and fan_out        ``[stack]``
g           gradient of the loss by the pre-activations ``xb @ weight + bias``:
            ``2 (r - yb) (1 - r^2) / (batch fan_out)``                            ``[stack, batch, fan_out]``
==========  ====================================================================  =============================

A decoder that is not bounded has no tanh, and its g no factor ``1 - r^2``. The gradient of the loss by the weight is
``xb^T g``, that by the bias the sum of g over the batch. No gradient passes from one decoder to another, so autograd is
not needed.

References
----------
arXiv:2406.12916, where decoders are a linear layer and tanh, trained with mean squared error, Adam with rate 1e-3 and
batches of 64.
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
_EAGER_STEPS = 3  # made on a GPU before one is captured as a graph: libraries allocate workspaces in the first ones

Gradients = Callable[[torch.Tensor, torch.Tensor], list[torch.Tensor]]  # from xb, yb to the parameters' gradients
Step = Callable[[torch.Tensor, torch.Tensor], None]  # a training step with xb, yb


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

    Parameters
    ----------
    weight, bias, x, y:
        As in the notation above. ``weight`` and ``bias`` are changed.
    steps:
        Number of Adam steps; after the last batch of images comes the first again.
    batch:
        Images of one step. The last batch of a pass is shorter if ``batch`` does not divide their number.
    bounded:
        Whether the decoders end with a tanh.
    precision:
        ``float32``, or ``bfloat16`` for products of numbers with 8 significant bits; the parameters and Adam's state
        are float32 in both cases.
    """
    stack, images, _ = x.shape
    fan_out = y.shape[2]
    weight_gradient, bias_gradient = torch.empty_like(weight), torch.empty_like(bias)
    buffers = y.new_empty(2, stack, min(batch, images), fan_out)
    rounded_weight = torch.empty_like(weight, dtype=torch.bfloat16) if precision == "bfloat16" else None
    if rounded_weight is not None:
        x = x.bfloat16()

    def gradients(xb: torch.Tensor, yb: torch.Tensor) -> list[torch.Tensor]:
        size = xb.shape[1]
        r, g = buffers[0, :, :size], buffers[1, :, :size]
        if rounded_weight is None:
            r = stacked_affine(xb, weight, bias, r, tanh=bounded)
        else:
            torch.add(torch.bmm(xb, rounded_weight.copy_(weight)), bias, out=r)
            if bounded:
                quick_tanh_(r)
        _error_signal(r, yb, bounded, g)
        if rounded_weight is None:
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
    """Train the decoder of one convolution in place, as `train_stack` does.

    ``weight``, ``bias``, ``x``, ``y`` and ``size`` have the shapes of those of `probes.decoders.Decoder`.
    """
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32

    def gradients(xb: torch.Tensor, yb: torch.Tensor) -> list[torch.Tensor]:
        images = wrapped(xb[0].view(xb.shape[1], -1, *size), weight.shape[-1] // 2).to(dtype)
        kernel = weight.to(dtype)
        r = conv2d(images, kernel).float().add_(bias[:, None, None])
        if bounded:
            quick_tanh_(r)
        g = _error_signal(r, yb.view_as(r), bounded, torch.empty_like(r))
        return [conv2d_weight(images, kernel.shape, g.to(dtype)).float(), g.sum((0, 2, 3))]

    _descend(gradients, [weight, bias], x[None], y[None], steps=steps, batch=batch)


def _error_signal(r: torch.Tensor, y: torch.Tensor, bounded: bool, out: torch.Tensor) -> torch.Tensor:
    """Write the gradient g of the loss by the pre-activations into ``out``, and return it.

    ``r`` and ``y`` are ``[stack, batch, fan_out]``, or ``[batch, channels, height, width]`` for a single convolution.
    """
    torch.sub(r, y, out=out)
    if bounded:
        torch_private.tanh_backward(out, r, out=out)
    return out.mul_(2 / (r[0].numel() if r.ndim == 3 else r.numel()))


def _descend(
    gradients: Gradients, parameters: list[torch.Tensor], x: torch.Tensor, y: torch.Tensor, *, steps: int, batch: int
) -> None:
    """Make Adam steps with the batches of ``x`` and ``y [stack, images, ...]`` in turn; on a GPU with a CUDA graph."""
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
            captured = captured or _capture(step, xb, yb)
            captured(xb, yb)
        else:
            step(xb, yb)


def _capture(step: Step, xb: torch.Tensor, yb: torch.Tensor) -> Step:
    """Capture a step as a CUDA graph, which takes one launch instead of a dozen, and return a function that replays it.

    The step is not made while it is captured.
    """
    xb, yb = xb.clone(), yb.clone()  # a graph reads its inputs from fixed addresses
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(xb, yb)

    def replay(x: torch.Tensor, y: torch.Tensor) -> None:
        xb.copy_(x)
        yb.copy_(y)
        graph.replay()

    return replay
