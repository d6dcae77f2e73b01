"""Single-layer decoders from a layer's output to its input, how they are stacked, and the threads that train them.

Decoders that share a shape form stacks; a stack runs through all of its steps before the next, and is as large as the
nearest cache holds. The decoder of a convolution is a transposed convolution with circular padding; at stride 1 that is
a convolution with its weight mirrored, and kept as such.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import torch

from probes.fitting import train_convolution, train_stack
from probes.layers import Layer, circular
from probes.products import affine, uses_onednn
from probes.seeds import generator
from probes.threads import lone_threads

BATCH = 64
PRECISIONS = ("float32", "bfloat16")

# Weights of one stack, in bytes. On a CPU a stack with its gradient and Adam's two moments should fit the
# second-level cache; on a GPU it should fill the machine.
_STACK_BYTES = {"cpu": 2**18, "cuda": 2**28}
_NOTHING = torch.empty(0)


@dataclass
class Decoder:
    """A decoder with the images that it learns from.

    Attributes
    ----------
    weight, bias:
        ``[fan_in, fan_out]`` and ``[fan_out]``; of a convolution ``[out, in, kernel, kernel]`` and ``[out]``.
    x, y:
        ``[images, fan_in]`` and ``[images, fan_out]``.
    bounded:
        Whether what it gives lies within -1 and 1; otherwise it ends without the tanh, which could not give it.
    size:
        (height, width) that a convolution sees.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    x: torch.Tensor
    y: torch.Tensor
    bounded: bool = True
    size: tuple[int, int] | None = None

    @property
    def outputs(self) -> int:
        """The number of values that it gives for one image."""
        return self.bias.numel() * (math.prod(self.size) if self.size else 1)

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """Reconstruct inputs ``[images, fan_out]`` from outputs ``[images, fan_in]``."""
        if self.size is None:
            return affine(x, self.weight, self.bias, tanh=self.bounded)
        r = circular(x.view(len(x), -1, *self.size), self.weight, self.bias).flatten(1)
        return r.tanh_() if self.bounded else r


def initial_decoder(seed: int, number: int, layer: Layer) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weight and bias of the decoder of a network's layer ``number``, drawn as torch's own layers are.

    Uniform within 1/sqrt(fan_in), which for a transposed convolution is its output channels times the kernel's area.
    """
    random = generator(seed, "decoder", number)
    shape, outputs, fan_in = layer.decoder_shape()
    bound = fan_in**-0.5
    weight = torch.empty(shape).uniform_(-bound, bound, generator=random)
    bias = torch.empty(outputs).uniform_(-bound, bound, generator=random)
    return weight, bias


def train_decoders(decoders: Iterable[Decoder], *, steps: int, batch: int = BATCH, precision: str = "float32") -> None:
    """Train decoders in place: those of one shape together, stack by stack, in the order given.

    ``x`` and ``y`` are emptied, so that an iterable that makes its decoders as it goes never holds more
    activations than the stacks under way need. Large decoders on a CPU have one thread each, and as many are trained
    at a time as torch has threads: so no thread waits for another at the end of every product. Stacks of small ones
    are trained one at a time, by all threads: Python could not keep several busy.
    """
    threads = torch.get_num_threads()
    running: deque[Future[None]] = deque()
    with lone_threads() as pool:
        for group in _stacks(decoders, batch):
            if threads == 1 or group[0].weight.is_cuda or stack_size(group[0].weight, batch) > 1:
                _train_group(group, steps, batch, precision)
                continue
            running.append(pool.submit(_train_group, group, steps, batch, precision))
            if len(running) > threads:  # one waits, so that no thread has to
                running.popleft().result()
        while running:
            running.popleft().result()


@torch.no_grad()  # which each thread has to say for itself
def _train_group(group: list[Decoder], steps: int, batch: int, precision: str) -> None:
    how: dict[str, Any] = {"steps": steps, "batch": batch, "bounded": group[0].bounded, "precision": precision}
    if group[0].size is not None:
        for d in group:
            train_convolution(d.weight, d.bias, d.x, d.y, size=group[0].size, **how)
    else:
        weight, bias, x, y = (_stacked([getattr(d, name) for d in group]) for name in ("weight", "bias", "x", "y"))
        train_stack(weight, bias[:, None], x, y, **how)
        if len(group) > 1:
            for d, w, b in zip(group, weight, bias, strict=True):
                d.weight.copy_(w)
                d.bias.copy_(b)
    for d in group:
        d.x = d.y = _NOTHING


def _stacked(tensors: list[torch.Tensor]) -> torch.Tensor:
    """Return tensors stacked, ``[stack, ...]``, without a copy of a single one."""
    return tensors[0][None] if len(tensors) == 1 else torch.stack(tensors)


def _stacks(decoders: Iterable[Decoder], batch: int) -> Iterator[list[Decoder]]:
    """Group decoders of equal shape into stacks."""
    waiting: dict[tuple[object, ...], list[Decoder]] = {}
    for d in decoders:
        shape = (*d.weight.shape, len(d.x), d.bounded, d.size)
        group = waiting.setdefault(shape, [])
        group.append(d)
        if len(group) >= stack_size(d.weight, batch):
            yield waiting.pop(shape)
    yield from waiting.values()


def stack_size(weight: torch.Tensor, batch: int = BATCH) -> int:
    """Return how many decoders with such weights are trained together: it never depends on how many there are."""
    return stack_limit(weight.device.type, weight.numel(), batch) if weight.ndim == 2 else 1


def stack_limit(device: str, size: int, batch: int = BATCH) -> int:
    """Return how many dense decoders with ``size`` weights are trained together."""
    if uses_onednn(device, torch.float32, batch * size):
        return 1
    return max(1, _STACK_BYTES[device] // (size * torch.float32.itemsize))
