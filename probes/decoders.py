r"""Single-layer decoders, from a layer's output to its input: those of all layers and points of a pack together.

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
Decoders that share a shape form stacks; a stack runs through all of its steps before the next, and is as large as
the nearest cache holds. The decoder of a convolution is a transposed convolution with circular padding; at stride 1
that is a convolution with its weight mirrored, and kept as such.

Source: arXiv:2406.12916 (Linear + tanh, mean squared error, Adam 1e-3, batch 64).
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch.nn.functional import conv2d
from torch.nn.grad import conv2d_weight
from torch.optim.adam import adam

from probes.networks import Layer, circular, wrapped
from probes.products import affine, quick_tanh_, stacked_affine, stacked_matmul, uses_onednn
from probes.seeds import generator

__all__ = [
    "BATCH",
    "PRECISIONS",
    "Decoder",
    "FusedAdam",
    "be_single_threaded",
    "initial_decoder",
    "stack_limit",
    "stack_size",
    "train_decoders",
    "train_stack",
]

BATCH = 64
LEARNING_RATE = 1e-3
PRECISIONS = ("float32", "bfloat16")

# Weights of one stack, in bytes. On a CPU a stack with its gradient and Adam's two moments should fit the
# second-level cache; on a GPU it should fill the machine.
_STACK_BYTES = {"cpu": 2**18, "cuda": 2**28}
_NOTHING = torch.empty(0)
_EAGER_STEPS = 3  # on a GPU, before a step is captured: the libraries allocate their workspaces in the first

Gradients = Callable[[torch.Tensor, torch.Tensor], None]


@dataclass
class Decoder:
    """One decoder and what it learns from.

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
        """Numbers that it gives."""
        return self.bias.numel() * (math.prod(self.size) if self.size else 1)

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """Reconstruct inputs ``[images, fan_out]`` from outputs ``[images, fan_in]``."""
        if self.size is None:
            return affine(x, self.weight, self.bias, tanh=self.bounded)
        r = circular(x.view(len(x), -1, *self.size), self.weight, self.bias).flatten(1)
        return r.tanh_() if self.bounded else r


def initial_decoder(seed: int, number: int, layer: Layer) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of the decoder of a network's layer ``number``, drawn as torch's own layers are.

    Uniform within 1/sqrt(fan_in), which for a transposed convolution is its output channels times the kernel's area.
    """
    random = generator(seed, "decoder", number)
    shape, outputs, fan_in = layer.decoder_shape()
    bound = fan_in**-0.5
    weight = torch.empty(shape).uniform_(-bound, bound, generator=random)
    bias = torch.empty(outputs).uniform_(-bound, bound, generator=random)
    return weight, bias


def train_stack(
    weight: torch.Tensor,
    bias: torch.Tensor,
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    steps: int,
    batch: int = BATCH,
    learning_rate: float = LEARNING_RATE,
    bounded: bool = True,
    precision: str = "float32",
) -> None:
    """Train a stack of dense decoders in place with Adam, through the images in order, again and again.

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

    def gradients(xb: torch.Tensor, yb: torch.Tensor) -> None:
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
            weight.grad = stacked_matmul(xb.transpose(1, 2), g, weight_gradient)
        else:
            weight.grad = weight_gradient.copy_(torch.bmm(xb.transpose(1, 2), g.bfloat16()))
        bias.grad = torch.sum(g, 1, keepdim=True, out=bias_gradient)

    _descend(gradients, [weight, bias], x, y, steps=steps, batch=batch, learning_rate=learning_rate)


def _train_convolution(decoder: Decoder, *, steps: int, batch: int, precision: str) -> None:
    """The same for the one decoder of a convolution."""
    assert decoder.size is not None
    height, width = decoder.size
    d = decoder
    low = torch.bfloat16 if precision == "bfloat16" else torch.float32

    def gradients(xb: torch.Tensor, yb: torch.Tensor) -> None:
        x = wrapped(xb[0].view(xb.shape[1], -1, height, width), d.weight.shape[-1] // 2).to(low)
        weight = d.weight.to(low)
        r = conv2d(x, weight).float().add_(d.bias[:, None, None])
        if d.bounded:
            quick_tanh_(r)
        g = _error_signal(r, yb.view_as(r), d.bounded, torch.empty_like(r))
        d.weight.grad = conv2d_weight(x, weight.shape, g.to(low)).float()
        d.bias.grad = g.sum((0, 2, 3))

    _descend(gradients, [d.weight, d.bias], d.x[None], d.y[None], steps=steps, batch=batch, learning_rate=LEARNING_RATE)


def _error_signal(r: torch.Tensor, y: torch.Tensor, bounded: bool, out: torch.Tensor) -> torch.Tensor:
    """The gradient g of the loss by the decoder's sums, into ``out``.

    ``r`` and ``y`` are ``[stack, batch, fan_out]``, or ``[batch, channels, height, width]`` of a single convolution.
    """
    torch.sub(r, y, out=out)
    if bounded:
        torch.ops.aten.tanh_backward.grad_input(out, r, grad_input=out)
    return out.mul_(2 / (r[0].numel() if r.ndim == 3 else r.numel()))


def _descend(
    gradients: Gradients,
    parameters: list[torch.Tensor],
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    steps: int,
    batch: int,
    learning_rate: float,
) -> None:
    """Adam steps over the batches of ``x`` and ``y [stack, images, ...]``; on a GPU as one captured graph.

    ``gradients`` puts the gradients of a batch into those of ``parameters``.
    """
    moments = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    optimiser = FusedAdam(parameters, *moments, learning_rate=learning_rate)
    starts = range(0, x.shape[1], batch)

    def step(xb: torch.Tensor, yb: torch.Tensor) -> None:
        gradients(xb, yb)
        optimiser.step([p.grad for p in parameters if p.grad is not None])

    captured = None
    for k in range(steps):
        start = starts[k % len(starts)]
        xb, yb = x[:, start : start + batch], y[:, start : start + batch]
        if x.is_cuda and k >= _EAGER_STEPS and xb.shape[1] == batch:
            captured = captured or _captured(step, xb, yb)
            captured(xb, yb)
        else:
            step(xb, yb)
    for p in parameters:
        p.grad = None


class FusedAdam:
    """torch's fused Adam. Its optimiser refers to itself: what it holds would stay until a garbage collection.

    Parameters
    ----------
    parameters, first, second:
        Of one shape, list by list: what is to be changed, and the moments so far.
    learning_rate:
        Of every step.
    steps:
        That were made before.
    """

    def __init__(
        self,
        parameters: list[torch.Tensor],
        first: list[torch.Tensor],
        second: list[torch.Tensor],
        *,
        learning_rate: float,
        steps: int = 0,
    ) -> None:
        self._parameters, self._moments, self._rate = parameters, (first, second), learning_rate
        self._steps = [torch.full((), float(steps), device=p.device) for p in parameters]

    def step(self, gradients: list[torch.Tensor]) -> None:
        """With the default decay rates."""
        adam(
            self._parameters,
            gradients,
            *self._moments,
            [],
            self._steps,
            fused=True,
            capturable=self._parameters[0].is_cuda,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self._rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )


def _captured(step: Gradients, xb: torch.Tensor, yb: torch.Tensor) -> Gradients:
    """A step as a CUDA graph: one launch instead of a dozen. It reads its batch from where it was captured."""
    xb, yb = xb.clone(), yb.clone()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(xb, yb)

    def replay(x: torch.Tensor, y: torch.Tensor) -> None:
        xb.copy_(x)
        yb.copy_(y)
        graph.replay()

    return replay


def train_decoders(decoders: Iterable[Decoder], *, steps: int, batch: int = BATCH, precision: str = "float32") -> None:
    """Train every decoder in place; those of one shape together, stack by stack, in the order given.

    ``x`` and ``y`` are emptied, so that an iterable that makes its decoders as it goes never holds more
    activations than the stacks under way need. Large decoders on a CPU have one thread each, and as many are trained
    at a time as torch has threads: so no thread waits for another at the end of every product. Stacks of small ones
    are trained one at a time, by all threads: Python could not keep several busy.
    """
    threads = torch.get_num_threads()
    running: deque[Future[None]] = deque()
    with ThreadPoolExecutor(threads, initializer=be_single_threaded) as pool:
        try:
            for group in _stacks(decoders, batch):
                if threads == 1 or group[0].weight.is_cuda or stack_size(group[0].weight, batch) > 1:
                    _train_group(group, steps, batch, precision)
                    continue
                running.append(pool.submit(_train_group, group, steps, batch, precision))
                if len(running) > threads:  # one waits, so that no thread has to
                    running.popleft().result()
            while running:
                running.popleft().result()
        finally:
            if threads > 1:
                torch.set_num_threads(threads)  # what new threads begin with; this one has kept them


def be_single_threaded() -> None:
    """Begin a thread that computes alone."""
    torch.set_num_threads(1)


@torch.no_grad()  # which each thread has to say for itself
def _train_group(group: list[Decoder], steps: int, batch: int, precision: str) -> None:
    if group[0].size is not None:
        for d in group:
            _train_convolution(d, steps=steps, batch=batch, precision=precision)
    else:
        weight, bias, x, y = (_stacked([getattr(d, name) for d in group]) for name in ("weight", "bias", "x", "y"))
        train_stack(
            weight, bias[:, None], x, y, steps=steps, batch=batch, bounded=group[0].bounded, precision=precision
        )
        if len(group) > 1:
            for d, w, b in zip(group, weight, bias, strict=True):
                d.weight.copy_(w)
                d.bias.copy_(b)
    for d in group:
        d.x = d.y = _NOTHING


def _stacked(tensors: list[torch.Tensor]) -> torch.Tensor:
    """``[stack, ...]``; a stack of one is no copy."""
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
    """How many decoders with such weights are trained together: it never depends on how many there are."""
    return stack_limit(weight.device.type, weight.numel(), batch) if weight.ndim == 2 else 1


def stack_limit(device: str, size: int, batch: int = BATCH) -> int:
    """The same for dense decoders with ``size`` weights."""
    if uses_onednn(device, torch.float32, batch * size):
        return 1
    return max(1, _STACK_BYTES[device] // (size * torch.float32.itemsize))
