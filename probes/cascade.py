"""The cascade probe: a network's decoders, chained from any layer back to the image.

References
----------
Thurn, Jefferson, Erdmenger, arXiv:2406.12916.
"""

import math
from collections.abc import Iterator

import torch

from probes.decoders import Decoder, initial_decoder
from probes.layers import folded
from probes.networks import READOUT, Decodable, Network

_LAYERS_PER_BLOCK = 10  # layers whose reconstructions are decoded together


class Cascade:
    """The decoders of one network, chained back to the image.

    Parameters
    ----------
    network:
        Network whose hidden layers 1..depth are decoded, but for those that it says are not.
    inputs:
        Images ``[N + M, pixels]``: N to train the decoders with, then M held-out ones.
    learn_from:
        The number N.
    reconstructed:
        Slice of ``inputs`` that is reconstructed.
    readout:
        Whether the read-out is decoded, too; of built-in networks only.

    Attributes
    ----------
    network:
        As given.
    decoders:
        Decoders of the layers (and of the read-out), once `prepare` has yielded them. The caller trains them.
    numbers:
        Numbers of the hidden layers that have a decoder, in the same order.
    activations:
        Activations of the same layers for the images that are reconstructed, each ``[images, width]``.
    diverged_at:
        First of the layers 1..depth whose activations are not finite or too large; it and the layers after it have no
        decoders. None if there is no such layer.
    """

    def __init__(
        self, network: Decodable, inputs: torch.Tensor, *, learn_from: int, reconstructed: slice, readout: bool = False
    ) -> None:
        self.network = network
        self.decoders: list[Decoder] = []
        self.numbers: list[int] = []
        self.activations: list[torch.Tensor] = []
        self.diverged_at: int | None = None
        self._inputs, self._count, self._reconstructed, self._readout = inputs, learn_from, reconstructed, readout

    def prepare(self) -> Iterator[Decoder]:
        """Walk through the network, and yield every decoder as soon as it can be trained.

        Yields
        ------
        Decoder
            The untrained decoder of the next layer, with the activations that it learns from.
        """
        network, x, depth, last = self.network, self._inputs, self.network.point.depth, 0
        decoded = [number for number in range(1, depth + 1) if network.decodes(number)]
        self._reserve([*decoded, *([READOUT] if self._readout else [])])
        for number, y in network.walk(x, until=depth):
            last = number
            if network.decodes(number):
                # The activations of a hidden layer may be out of tanh's range, where a decoder must not end with a
                # tanh. Images never are.
                bounded = not self.numbers or network.bounds(x)
                self.numbers.append(number)
                yield self._decoder(number, x, y, bounded=bounded)
                x = y
        if last < depth:
            self.diverged_at = last + 1
        elif self._readout and isinstance(network, Network):
            yield self._decoder(READOUT, x, network.classify(x), bounded=network.bounded)

    def _reserve(self, numbers: list[int]) -> None:
        """Reserve one block of memory for the decoders and activations that are kept of these layers.

        Allocated one by one they would settle in the gaps that freed activations leave, and the heap would grow on.
        """
        images = len(self._inputs[self._reconstructed])
        shapes: list[tuple[int, ...]] = []
        for layer in map(self.network.layer, numbers):
            shape, outputs, _ = layer.decoder_shape()
            shapes += [shape, (outputs,), (images, layer.outputs)]
        parts = self._inputs.new_empty(sum(map(math.prod, shapes))).split([math.prod(s) for s in shapes])
        self._reserved = iter([part.view(shape) for part, shape in zip(parts, shapes, strict=True)])

    def _keep(self, tensor: torch.Tensor) -> torch.Tensor:
        """Copy a tensor into the next part of the reserved block, and return the copy."""
        return next(self._reserved).copy_(tensor)

    def _decoder(self, number: int, x: torch.Tensor, y: torch.Tensor, *, bounded: bool) -> Decoder:
        """Return an untrained decoder of layer ``number`` from its outputs ``y`` to its inputs ``x``."""
        layer = self.network.layer(number)
        weight, bias = map(self._keep, initial_decoder(self.network.point.seed, number, layer))
        n = self._count
        targets = folded(x[:n], layer.size, layer.stride)
        decoder = Decoder(weight, bias, y[:n], targets, bounded, layer.size, layer.stride)
        self.decoders.append(decoder)
        self.activations.append(self._keep(y[self._reconstructed]))
        return decoder

    def reconstructions(self) -> torch.Tensor:
        """Return the reconstructions of the chosen images from every layer, ``[layers, images, pixels]``."""
        return chained(self.decoders, self.activations)

    def losses(self) -> list[float]:
        """Return the loss of each decoder by itself on the chosen images: its mean squared error."""
        inputs = [self._inputs[self._reconstructed], *self.activations]
        return [
            float((decoder.apply(y) - x).double().square().mean())
            for decoder, x, y in zip(self.decoders, inputs, self.activations, strict=False)
        ]

    def favourites(self) -> torch.Tensor:
        """Return the favourite image of each class, ``[classes, pixels]``: its one-hot output, decoded.

        The cascade must have been made with ``readout=True``, and its decoders trained.
        """
        x = torch.eye(self.decoders[-1].weight.shape[0], dtype=torch.float32, device=self._inputs.device)
        for decoder in reversed(self.decoders):
            x = decoder.apply(x)
        return x


def chained(decoders: list[Decoder], activations: list[torch.Tensor]) -> torch.Tensor:
    """Reconstruct images from every layer by the decoders of layers 1..L, chained backwards.

    Parameters
    ----------
    decoders:
        Trained decoders of layers 1..L.
    activations:
        Activations of the same layers, each ``[images, width]``.

    Returns
    -------
    torch.Tensor
        Reconstructions ``[L, images, pixels]``.
    """
    # From layer L down to 1, a decoder is applied to its layer's activations and to all that has been decoded from
    # deeper layers. This happens in place and in blocks of a few sizes: new tensors for every layer would fragment the
    # heap, and oneDNN keeps a workspace for every size.
    count, images = len(decoders), len(activations[-1])
    r = activations[-1].new_empty(count * images, max(*(d.outputs for d in decoders), activations[-1].shape[1]))
    for i in reversed(range(count)):
        x, decoder, deeper = activations[i], decoders[i], r[i * images :]
        deeper[:images, : x.shape[1]] = x
        for block in deeper.split(_LAYERS_PER_BLOCK * images):
            block[:, : decoder.outputs] = decoder.apply(block[:, : x.shape[1]])
    return r[:, : decoders[0].outputs].unflatten(0, (count, images))
