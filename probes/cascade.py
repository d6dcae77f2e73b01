"""The cascade of arXiv:2406.12916: a network's decoders, chained from any layer back to the image."""

import math
from collections.abc import Iterator

import torch

from probes.decoders import Decoder, initial_decoder
from probes.networks import READOUT, Network

_BLOCK = 10  # layers whose reconstructions are decoded together


class Cascade:
    """The decoders of one network, chained back to the image.

    Parameters
    ----------
    network:
        Hidden layers 1..depth are decoded.
    inputs:
        Images ``[N + M, pixels]``: N to learn from, then M.
    learn_from:
        N.
    shown:
        Which of the inputs are reconstructed.
    readout:
        Whether the read-out is decoded, too.

    Attributes
    ----------
    decoders:
        Of layers 1, 2, ... (and the read-out); to be trained by whoever consumes `prepare`.
    activations:
        Of the same layers, for the images shown, each ``[shown, width]``.
    ended:
        The first layer 1..depth whose activations are out of the finite range, if there is one.
    """

    def __init__(
        self, network: Network, inputs: torch.Tensor, *, learn_from: int, shown: slice, readout: bool = False
    ) -> None:
        self.network = network
        self.decoders: list[Decoder] = []
        self.activations: list[torch.Tensor] = []
        self.ended: int | None = None
        self._inputs, self._count, self._shown, self._readout = inputs, learn_from, shown, readout

    def prepare(self) -> Iterator[Decoder]:
        """Walk through the network, and yield every decoder as soon as it can be trained."""
        x, depth = self._inputs, self.network.point.depth
        self._reserve([*range(1, depth + 1), *([READOUT] if self._readout else [])])
        for number, y in self.network.walk(x, until=depth):
            # What a hidden layer gives may be out of tanh's range; images never are.
            yield self._decoder(number, x, y, bounded=number == 1 or self.network.bounded)
            x = y
        if len(self.decoders) < depth:
            self.ended = len(self.decoders) + 1
        elif self._readout:
            yield self._decoder(READOUT, x, self.network.classify(x), bounded=self.network.bounded)

    def _reserve(self, numbers: list[int]) -> None:
        """Reserve one block for all tensors that stay: between activations, they make the heap grow."""
        shown = len(self._inputs[self._shown])
        shapes: list[tuple[int, ...]] = []
        for layer in map(self.network.layer, numbers):
            shape, outputs, _ = layer.decoder_shape()
            shapes += [shape, (outputs,), (shown, layer.outputs)]
        block = self._inputs.new_empty(sum(map(math.prod, shapes))).split([math.prod(s) for s in shapes])
        self._room = iter([part.view(shape) for part, shape in zip(block, shapes, strict=True)])

    def _keep(self, tensor: torch.Tensor) -> torch.Tensor:
        return next(self._room).copy_(tensor)

    def _decoder(self, number: int, x: torch.Tensor, y: torch.Tensor, *, bounded: bool) -> Decoder:
        layer = self.network.layer(number)
        weight, bias = map(self._keep, initial_decoder(self.network.point.seed, number, layer))
        n = self._count
        decoder = Decoder(weight, bias, y[:n], x[:n], bounded, layer.size)
        self.decoders.append(decoder)
        self.activations.append(self._keep(y[self._shown]))
        return decoder

    def reconstructions(self) -> torch.Tensor:
        """Return the reconstructions of the shown images from every layer, ``[layers, shown, pixels]``."""
        return chained(self.decoders, self.activations)

    def favourites(self) -> torch.Tensor:
        """Return the image that each class likes best, ``[classes, pixels]``: its one-hot output, decoded.

        The cascade must have been made with ``readout=True`` and be trained.
        """
        x = torch.eye(self.network.architecture.classes, device=self._inputs.device)
        for decoder in reversed(self.decoders):
            x = decoder.apply(x)
        return x


def chained(decoders: list[Decoder], activations: list[torch.Tensor]) -> torch.Tensor:
    """Reconstruct images from every layer by the decoders of layers 1..L, chained backwards.

    Parameters
    ----------
    decoders, activations:
        Of the same layers; activations each ``[images, width]``.

    Returns
    -------
    Reconstructions ``[L, images, pixels]``.
    """
    # From the last layer up, what started deeper passes through the same decoder. In place, and in blocks of a few
    # sizes: larger tensors for each layer would tear the heap apart, and oneDNN keeps working space for every size.
    count, images = len(decoders), len(activations[-1])
    r = activations[-1].new_empty(count * images, max(*(d.outputs for d in decoders), activations[-1].shape[1]))
    for i in reversed(range(count)):
        x, decoder, deeper = activations[i], decoders[i], r[i * images :]
        deeper[:images, : x.shape[1]] = x
        for block in deeper.split(_BLOCK * images):
            block[:, : decoder.outputs] = decoder.apply(block[:, : x.shape[1]])
    return r[:, : decoders[0].outputs].unflatten(0, (count, images))
