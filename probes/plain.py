"""Plain training loops: a cascade with one module and one optimiser per layer, and a network with autograd.

Tests compare the fast code with these loops, and benchmarks measure its speed against them; nothing else uses them.
"""

from collections.abc import Iterable, Sequence

import torch
from torch.nn.functional import cross_entropy

from probes.networks import READOUT, Network


class PlainCascade:
    """The decoders ``Linear + tanh`` of layers 1..L, each with an Adam optimiser of its own.

    Parameters
    ----------
    decoders:
        Initial weight ``[fan_in, fan_out]`` and bias ``[fan_out]`` of each decoder.
    learning_rate:
        Learning rate of Adam.
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
        """Make one step on the activations ``[batch, width]`` of layers 0 (the images), 1, ..., L."""
        for i, (layer, adam) in enumerate(zip(self.layers, self._optimisers, strict=True)):
            adam.zero_grad()
            loss = torch.nn.functional.mse_loss(torch.tanh(layer(activations[i + 1])), activations[i])
            loss.backward()
            adam.step()

    def train(self, activations: Sequence[torch.Tensor], *, steps: int, batch: int = 64) -> None:
        """Make steps on batches of the activations ``[images, width]``, in order, again and again."""
        starts = range(0, len(activations[0]), batch)
        for k in range(steps):
            start = starts[k % len(starts)]
            self.step([a[start : start + batch] for a in activations])

    @property
    def decoders(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Weight ``[fan_in, fan_out]`` and bias ``[fan_out]`` of every decoder."""
        return [(layer.weight.detach().T, layer.bias.detach()) for layer in self.layers]


def train_plainly(
    network: Network, batches: Iterable[tuple[torch.Tensor, torch.Tensor]], *, learning_rate: float
) -> torch.nn.Sequential:
    """Train a dense tanh network by SGD, one step per batch of (images, labels); return its modules, read-out last."""
    modules: list[torch.nn.Module] = []
    for number in [*range(1, network.point.depth + 1), READOUT]:
        weight, bias = network.parameters(number)
        layer = torch.nn.Linear(weight.shape[0], weight.shape[1], device=weight.device)
        with torch.no_grad():
            layer.weight.copy_(weight.T)
            layer.bias.copy_(bias)
        modules += [layer, torch.nn.Tanh()]
    plain = torch.nn.Sequential(*modules[:-1])
    descend_plainly(plain, batches, learning_rate=learning_rate)
    return plain


def descend_plainly(
    module: torch.nn.Module, batches: Iterable[tuple[torch.Tensor, torch.Tensor]], *, learning_rate: float
) -> None:
    """Train a module by SGD, one step per batch of (images, labels)."""
    sgd = torch.optim.SGD(module.parameters(), lr=learning_rate)
    for x, y in batches:
        with torch.enable_grad():
            sgd.zero_grad()
            cross_entropy(module(x), y).backward()
            sgd.step()
