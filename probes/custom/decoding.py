"""How a cascade decodes the layers of a user's network: by decoders like those of the built-in ones, chosen by shape.

==========  ================================================================
outputs     decoder, from the outputs of a layer to those of the layer before
==========  ================================================================
images      transposed convolution, where both layers give ``[channels,
            height, width]`` and the height and the width of the one before
            are the same multiple, the stride, of those of the layer
others      linear
==========  ================================================================

A transposed convolution with a kernel of 3 x stride positions is a convolution with a kernel of 3 to ``stride^2`` times
as many channels, whose values are then spread out over as many positions (`probes.layers.unfolded`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from probes.layers import Conv, Dense, Layer

MAX_DECODED = 16_384  # outputs of a layer, beyond which a cascade leaves it out


@dataclass(frozen=True)
class _Strided(Conv):
    """A convolution whose inputs are folded: the channels of ``stride x stride`` positions are those of one."""

    stride: int = 1


def hidden_calls(calls: int, depth: int) -> list[int]:
    """Return the numbers of the calls of layers, from 1, that are the hidden layers 1, 2, ... of a network."""
    return [number * calls // depth for number in range(1, depth + 1)]


def decoded_layers(image: Sequence[int], outputs: Sequence[Sequence[int]]) -> Mapping[int, Layer]:
    """Return the layers that a cascade decodes, by number from 1, as it sees them.

    Their inputs are the outputs of the last layer before that is decoded, too, or the image.

    Parameters
    ----------
    image:
        Shape of an image.
    outputs:
        Shape of what each hidden layer gives for an image.
    """
    before = tuple(image) if len(image) != 2 else (1, *image)
    layers: dict[int, Layer] = {}
    if math.prod(before) > MAX_DECODED:
        return layers
    for number, after in enumerate(map(tuple, outputs), 1):
        if math.prod(after) <= MAX_DECODED:
            layers[number] = _layer(before, after)
            before = after
    return layers


def _layer(before: tuple[int, ...], after: tuple[int, ...]) -> Layer:
    if len(before) == len(after) == 3:
        stride = before[1] // after[1]
        if stride and before[1:] == (stride * after[1], stride * after[2]):
            return _Strided(before[0] * stride**2, after[0], *after[1:], stride)
    return Dense(math.prod(before), math.prod(after))
