"""Single-layer decoders from a layer's output to its input, how they are stacked, and the threads that train them.

Dense decoders of one shape form stacks. A stack runs through all of its training steps before the next one begins, and
is as large as fits into the cache. The decoder of a convolution is a transposed convolution with circular padding; at
stride 1 that is a convolution whose weight is mirrored, and it is stored in this form.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import torch

from probes.fitting import train_convolution, train_stack
from probes.layers import Layer, circular, unfolded
from probes.products import affine, uses_onednn
from probes.seeds import DRAWN, generator
from probes.threads import lone_threads

BATCH = 64  # images of one step, as published
PRECISIONS = ("float32", "bfloat16")

# Bytes of the weights of one stack. On a CPU a stack should fit into the second-level cache, with its gradients and
# Adam's two moments; on a GPU it should be large enough to keep all processors busy.
_STACK_BYTES = {"cpu": 2**18, "cuda": 2**28}
_EMPTY = torch.empty(0, **DRAWN)


@dataclass
class Decoder:
    """A decoder of one layer, with the activations that it learns from.

    Attributes
    ----------
    weight, bias:
        Parameters, ``[fan_in, fan_out]`` and ``[fan_out]``; of a convolution ``[out, in, kernel, kernel]`` and
        ``[out]``.
    x:
        Outputs of the layer, which the decoder reads, ``[images, fan_in]``.
    y:
        Inputs of the layer, which the decoder learns to give, ``[images, fan_out]``; with a stride they are folded.
    bounded:
        Whether the inputs of the layer lie between -1 and 1. If so, the decoder ends with a tanh.
    size:
        (height, width) of the images that a convolution sees; None for a dense decoder.
    stride:
        Number of times that the images which a convolution gives are as high, and as wide.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    x: torch.Tensor
    y: torch.Tensor
    bounded: bool = True
    size: tuple[int, int] | None = None
    stride: int = 1

    @property
    def outputs(self) -> int:
        """The number of values that the decoder gives for one image."""
        return self.bias.numel() * (math.prod(self.size) if self.size else 1)

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """Reconstruct the inputs of the layer, ``[images, fan_out]``, from its outputs ``x [images, fan_in]``."""
        if self.size is None:
            return affine(x, self.weight, self.bias, tanh=self.bounded)
        r = unfolded(circular(x.view(len(x), -1, *self.size), self.weight, self.bias), self.stride).flatten(1)
        return r.tanh_() if self.bounded else r


def initial_decoder(seed: int, number: int, layer: Layer) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the initial weight and bias of a decoder, drawn as torch draws those of its own layers.

    Both are uniform between -1/sqrt(fan_in) and 1/sqrt(fan_in). To torch, fan_in of a transposed convolution is the
    number of its output channels times the area of its kernel.

    Parameters
    ----------
    seed:
        Seed of the network's point.
    number:
        Layer number (0 is the read-out).
    layer:
        Layer that is decoded.
    """
    random = generator(seed, "decoder", number)
    shape, outputs, fan_in = layer.decoder_shape()
    bound = fan_in**-0.5
    weight = torch.empty(shape, **DRAWN).uniform_(-bound, bound, generator=random)
    bias = torch.empty(outputs, **DRAWN).uniform_(-bound, bound, generator=random)
    return weight, bias


def train_decoders(decoders: Iterable[Decoder], *, steps: int, batch: int = BATCH, precision: str = "float32") -> None:
    """Train decoders in place: those of one shape together, stack by stack, in the order given.

    Parameters
    ----------
    decoders:
        Decoders to train. After its training, ``x`` and ``y`` of a decoder are emptied: an iterator that makes decoders
        one after another then needs memory only for the activations of the stacks that are not trained yet.
    steps:
        Adam steps of each decoder.
    batch:
        Images of one step.
    precision:
        One of `PRECISIONS`, for the products of the training.

    Notes
    -----
    Large decoders on a CPU are trained by one thread each, as many at a time as torch has threads. So no thread waits
    for others at the end of every product. Stacks of small decoders are trained one at a time, by all threads: Python
    could not keep several of them busy.
    """
    threads = torch.get_num_threads()
    running: deque[Future[None]] = deque()
    with lone_threads() as pool:
        for group in _stacks(decoders, batch):
            if threads == 1 or group[0].weight.is_cuda or stack_size(group[0].weight, batch) > 1:
                _train_group(group, steps, batch, precision)
                continue
            running.append(pool.submit(_train_group, group, steps, batch, precision))
            if len(running) > threads:  # one decoder is always queued, so that no thread runs idle
                running.popleft().result()
        while running:
            running.popleft().result()


@torch.no_grad()  # a setting of each thread
def _train_group(group: list[Decoder], steps: int, batch: int, precision: str) -> None:
    options: dict[str, Any] = {"steps": steps, "batch": batch, "bounded": group[0].bounded, "precision": precision}
    if group[0].size is not None:
        for d in group:
            train_convolution(d.weight, d.bias, d.x, d.y, size=group[0].size, **options)
    else:
        weight, bias, x, y = (_stacked([getattr(d, name) for d in group]) for name in ("weight", "bias", "x", "y"))
        train_stack(weight, bias[:, None], x, y, **options)
        if len(group) > 1:
            for d, w, b in zip(group, weight, bias, strict=True):
                d.weight.copy_(w)
                d.bias.copy_(b)
    for d in group:
        d.x = d.y = _EMPTY


def _stacked(tensors: list[torch.Tensor]) -> torch.Tensor:
    """Return tensors stacked, ``[stack, ...]``; a single tensor is not copied."""
    return tensors[0][None] if len(tensors) == 1 else torch.stack(tensors)


def _stacks(decoders: Iterable[Decoder], batch: int) -> Iterator[list[Decoder]]:
    """Group decoders of equal shape into stacks, and yield each stack when it is full or there are no more decoders."""
    waiting: dict[tuple[object, ...], list[Decoder]] = {}
    for d in decoders:
        shape = (*d.weight.shape, len(d.x), d.bounded, d.size)
        group = waiting.setdefault(shape, [])
        group.append(d)
        if len(group) >= stack_size(d.weight, batch):
            yield waiting.pop(shape)
    yield from waiting.values()


def stack_size(weight: torch.Tensor, batch: int = BATCH) -> int:
    """Return how many decoders with weights like ``weight`` form a stack, however many decoders there are."""
    return stack_limit(weight.device.type, weight.numel(), batch) if weight.ndim == 2 else 1


def stack_limit(device: str, size: int, batch: int = BATCH) -> int:
    """Return how many dense decoders with ``size`` weights each form a stack on a device (``cpu`` or ``cuda``)."""
    if uses_onednn(device, torch.float32, batch * size):
        return 1
    return max(1, _STACK_BYTES[device] // (size * torch.float32.itemsize))
