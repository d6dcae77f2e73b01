"""The plain ways to train: a cascade with one module and one optimiser per layer, a network with autograd.

Kept as the oracle of the tests and as what `sweep bench` compares with; nothing else uses it.
"""

from collections.abc import Iterable, Sequence

import torch
from torch.nn.functional import cross_entropy

from probes.networks import READOUT, Network


class PlainCascade:
    """Decoders ``Linear + tanh`` of layers 1..L, each with an Adam of its own.

    Parameters
    ----------
    decoders:
        (weight ``[fan_in, fan_out]``, bias ``[fan_out]``) to begin with.
    """

    def __init__(self, decoders: Sequence[tuple[torch.Tensor, torch.Tensor]], learning_rate: float = 1e-3) -> None:
        self.layers = []
        for weight, bias in decoders:
            layer = torch.nn.Linear(weight.shape[0], weight.shape[1], device=weight.device)
            with torch.no_grad():
                layer.weight.copy_(weight.T)
                layer.bias.copy_(bias)
            self.layers.append(layer)
        self._optimisers = [torch.optim.Adam(layer.parameters(), lr=learning_rate) for layer in self.layers]

    @torch.enable_grad()
    def step(self, activations: Sequence[torch.Tensor]) -> None:
        """One step on a batch: activations of layer 0 (the images), 1, ..., L, each ``[batch, width]``."""
        for i, (layer, adam) in enumerate(zip(self.layers, self._optimisers, strict=True)):
            adam.zero_grad()
            loss = torch.nn.functional.mse_loss(torch.tanh(layer(activations[i + 1])), activations[i])
            loss.backward()
            adam.step()

    def train(self, activations: Sequence[torch.Tensor], *, steps: int, batch: int = 64) -> None:
        """Steps through the images in order, again and again; activations ``[images, width]``."""
        starts = range(0, len(activations[0]), batch)
        for k in range(steps):
            start = starts[k % len(starts)]
            self.step([a[start : start + batch] for a in activations])

    @property
    def decoders(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """(weight ``[fan_in, fan_out]``, bias) of every layer."""
        return [(layer.weight.detach().T, layer.bias.detach()) for layer in self.layers]


def train_plainly(
    network: Network, batches: Iterable[tuple[torch.Tensor, torch.Tensor]], *, learning_rate: float
) -> torch.nn.Sequential:
    """Train the dense tanh network of a point, read-out last, by SGD through (images, labels) of every batch."""
    modules: list[torch.nn.Module] = []
    for number in [*range(1, network.point.depth + 1), READOUT]:
        weight, bias = network.parameters(number)
        layer = torch.nn.Linear(weight.shape[0], weight.shape[1], device=weight.device)
        with torch.no_grad():
            layer.weight.copy_(weight.T)
            layer.bias.copy_(bias)
        modules += [layer, torch.nn.Tanh()]
    plain = torch.nn.Sequential(*modules[:-1])
    sgd = torch.optim.SGD(plain.parameters(), lr=learning_rate)
    for x, y in batches:
        with torch.enable_grad():
            sgd.zero_grad()
            cross_entropy(plain(x), y).backward()
            sgd.step()
    return plain
