r"""The cascade of arXiv:2406.12916: single-layer decoders, each from a layer's output to its input, chained.

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
Decoders are independent, so those of all layers and all points of a pack that share a shape form stacks; a
stack runs through all of its steps before the next, and is as large as the nearest cache holds.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch

from .seeds import generator

__all__ = ["Decoder", "initial_decoder", "reconstruct", "train_decoders", "train_stack"]

# Weights of one stack, in bytes. On a CPU a stack with its gradient and Adam's two moments should fit the
# second-level cache; on a GPU it should fill the machine.
_STACK_BYTES = {"cpu": 2**18, "cuda": 2**28}


@dataclass
class Decoder:
    """One decoder and what it learns from.

    ``weight [fan_in, fan_out]``, ``bias [fan_out]``, ``x [images, fan_in]``, ``y [images, fan_out]``.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    x: torch.Tensor
    y: torch.Tensor


def initial_decoder(seed: int, layer: int, fan_in: int, fan_out: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A decoder as torch's Linear draws it: uniform within 1/sqrt(fan_in); ``[fan_in, fan_out]``, ``[fan_out]``."""
    random = generator(seed, "decoder", layer)
    bound = fan_in**-0.5
    weight = torch.empty(fan_in, fan_out).uniform_(-bound, bound, generator=random)
    bias = torch.empty(fan_out).uniform_(-bound, bound, generator=random)
    return weight, bias


def train_stack(
    weight: torch.Tensor,
    bias: torch.Tensor,
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    steps: int,
    batch: int = 64,
    learning_rate: float = 1e-3,
) -> None:
    """Train a stack of decoders in place with Adam, through the images in order, again and again.

    Shapes as in the notation above. The last batch of a pass is shorter where ``batch`` does not divide
    the images.
    """
    stack, images, _ = x.shape
    weight.grad, bias.grad = torch.empty_like(weight), torch.empty_like(bias)
    adam = torch.optim.Adam([weight, bias], lr=learning_rate, fused=True)
    fan_out = y.shape[2]
    space = x.new_empty(2, stack, min(batch, images), fan_out)
    starts = range(0, images, batch)
    for step in range(steps):
        start = starts[step % len(starts)]
        xb, yb = x[:, start : start + batch], y[:, start : start + batch]
        size = xb.shape[1]
        r, e = space[0, :, :size], space[1, :, :size]
        torch.baddbmm(bias, xb, weight, out=r).tanh_()
        torch.sub(r, yb, out=e)
        g = e.mul_(r.square_().neg_().add_(1)).mul_(2 / (size * fan_out))
        torch.bmm(xb.transpose(1, 2), g, out=weight.grad)
        torch.sum(g, 1, keepdim=True, out=bias.grad)
        adam.step()
    weight.grad = bias.grad = None


def train_decoders(decoders: Iterable[Decoder], *, steps: int, batch: int = 64) -> None:
    """Train every decoder; those of one shape together, stack by stack, in the order given.

    ``weight`` and ``bias`` are replaced by the trained ones and ``x`` and ``y`` are emptied, so that an
    iterable that makes its decoders as it goes never holds more activations than one stack needs.
    """
    for group in _stacks(decoders):
        weight = torch.stack([d.weight for d in group])
        bias = torch.stack([d.bias for d in group])[:, None]
        train_stack(
            weight,
            bias,
            torch.stack([d.x for d in group]),
            torch.stack([d.y for d in group]),
            steps=steps,
            batch=batch,
        )
        for d, w, b in zip(group, weight, bias[:, 0], strict=True):
            d.weight, d.bias = w, b
            d.x = d.y = w.new_empty(0)


def _stacks(decoders: Iterable[Decoder]) -> Iterator[list[Decoder]]:
    """Group decoders of equal shape into stacks of `_STACK_BYTES`."""
    waiting: dict[tuple[int, ...], list[Decoder]] = {}
    for d in decoders:
        shape = (*d.weight.shape, len(d.x))
        group = waiting.setdefault(shape, [])
        group.append(d)
        if (len(group) + 1) * d.weight.numel() * d.weight.element_size() > _STACK_BYTES[d.weight.device.type]:
            yield waiting.pop(shape)
    yield from waiting.values()


def reconstruct(decoders: list[tuple[torch.Tensor, torch.Tensor]], activations: list[torch.Tensor]) -> torch.Tensor:
    """Chain the decoders of one network back to the image from every layer.

    Parameters
    ----------
    decoders:
        (weight, bias) of layer 1..L, applied as ``tanh(x @ weight + bias)``.
    activations:
        Of the same layers, each ``[images, fan_in]``.

    Returns
    -------
    Reconstructions ``[L, images, pixels]``.
    """
    # From the last layer down, what started deeper passes through the same decoder as one batch.
    images = len(activations[-1])
    r = activations[-1][:0]
    for (weight, bias), x in zip(reversed(decoders), reversed(activations), strict=True):
        r = torch.addmm(bias, torch.cat([x, r]), weight).tanh_()
    return r.view(len(decoders), images, -1)
