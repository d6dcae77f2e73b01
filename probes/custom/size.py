"""The size of a network of the user: what the estimates of its cost and of its memory are made of."""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from probes.custom.decoding import decoded_layers, hidden_calls
from probes.custom.function import Custom, NetworkError
from probes.custom.module import OwnModule

_STEPS_PER_DOUBLING = 2  # of the depths at which networks are made, between which sizes are scaled by the depth


@dataclass(frozen=True)
class Size:
    """The size of a network of the user.

    Attributes
    ----------
    operations:
        Floating point operations that take an image through the network: those of products and convolutions.
    outputs:
        Number of values that all layers give for an image.
    widest:
        The same of the layer that gives most.
    parameters:
        Number of parameters and buffers.
    decoders:
        Number of weights of the decoders of a cascade; 0 if it can decode no layer.
    largest_decoder:
        The same of the largest one.
    decoding:
        Floating point operations that take the outputs of all layers for an image through their decoders.
    """

    operations: float
    outputs: float
    widest: int
    parameters: float
    decoders: float
    largest_decoder: int
    decoding: float


def size_of(custom: Custom, shape: tuple[int, ...], classes: int, depth: int) -> Size:
    """Return the approximate size of a function's network of a depth.

    Networks are made for a few depths only, and sizes are in proportion to the depth between them.

    Raises
    ------
    NetworkError
        The function makes no network, neither of this depth nor of one near it.
    """
    if "depth" not in custom.arguments:
        return _measured(custom, shape, classes, depth)
    near = max(1, round(2 ** (round(_STEPS_PER_DOUBLING * math.log2(depth)) / _STEPS_PER_DOUBLING)))
    try:
        size, ratio = _measured(custom, shape, classes, near), depth / near
    except NetworkError:  # there may be networks of some depths alone
        size, ratio = _measured(custom, shape, classes, depth), 1.0
    return replace(
        size,
        **{
            name: ratio * getattr(size, name)
            for name in ("operations", "outputs", "parameters", "decoders", "decoding")
        },
    )


@lru_cache(maxsize=256)
def _measured(custom: Custom, shape: tuple[int, ...], classes: int, depth: int) -> Size:
    module = OwnModule(custom, custom.tried_point(depth), shape, classes)
    tensors = [*module.made.module.parameters(), *module.made.module.buffers()]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.apply(module.tried, lambda output: output)
    operations = counter.get_total_flops() / len(module.tried)
    outputs = [module.shapes[call - 1] for call in hidden_calls(len(module.shapes), min(depth, len(module.shapes)))]
    layers = list(decoded_layers(shape, outputs).values())
    weights = [math.prod(layer.decoder_shape()[0]) for layer in layers]
    return Size(
        operations,
        sum(module.sizes),
        max(module.sizes),
        sum(t.numel() for t in tensors),
        sum(weights),
        max(weights, default=0),
        sum(2.0 * count * math.prod(layer.size or ()) for count, layer in zip(weights, layers, strict=True)),
    )
