"""Steps of SGD or Adam on the parameters of a stack."""

from collections.abc import Iterable

import torch

from probes.adam import Adam
from probes.layers import Parameters
from probes.products import add_product, stacked_matmul


class Descent:
    """An optimiser that is given the gradients of one layer after another.

    Plain SGD changes the parameters of a layer at once, so no gradient is stored. Adam changes all parameters at the
    end of the step.

    Parameters
    ----------
    tensors:
        The tensors of a `Stack`: parameters by layer number and, for Adam, their two moments.
    rate:
        Learning rate; a list has one for each network of the stack. Both differ in rounding.
    lone:
        Whether every stack holds one network, see `probes.products`.
    steps_done:
        Number of steps made before.
    """

    def __init__(
        self, tensors: list[dict[int, Parameters]], rate: float | list[float], *, lone: bool, steps_done: int
    ) -> None:
        self._parameters, self._lone = tensors[0], lone
        self._rate, rates = (1.0, rate) if isinstance(rate, list) else (rate, None)
        self._factors = None if rates is None else _beside(tensors[0], rates)
        self._adam: Adam | None = None
        self._gradients: dict[int, list[torch.Tensor]] = {}
        if len(tensors) > 1:
            flat = [_per_network(p for layer in kind.values() for p in layer) for kind in tensors]
            stacked = (p for layer in tensors[0].values() for p in layer)
            each = rate if rates is None else [r for p in stacked for r in rates[: len(p)]]
            self._adam = Adam(*flat, learning_rate=each, steps=steps_done)

    def use_product(self, number: int, h: torch.Tensor, e: torch.Tensor) -> None:
        """Use the gradients of a dense layer, ``h^T e`` and the sum of e over the batch.

        ``h [stack, batch, inputs]`` are the inputs of layer ``number`` and ``e [stack, batch, outputs]`` is the
        gradient of the loss by its pre-activations.
        """
        weight, bias = self._parameters[number]
        if self._adam:
            self.use_gradients(number, [stacked_matmul(h.mT, e, torch.empty_like(weight), lone=self._lone), e.sum(1)])
        else:
            e = self._scaled(e)
            add_product(weight, h.mT, e, -self._rate, lone=self._lone)
            bias.sub_(e.sum(1), alpha=self._rate)

    def use_gradients(self, number: int, gradients: list[torch.Tensor]) -> None:
        """Use the gradients of all parameters of a layer."""
        if self._adam:
            self._gradients[number] = gradients
        else:
            for p, g in zip(self._parameters[number], gradients, strict=True):
                p.sub_(self._scaled(g), alpha=self._rate)

    def _scaled(self, gradients: torch.Tensor) -> torch.Tensor:
        """Return gradients ``[stack, ...]`` times the learning rate of each network, where each has its own."""
        if self._factors is None:
            return gradients
        return gradients * self._factors[: len(gradients)].view(-1, *[1] * (gradients.ndim - 1))

    def finish_step(self) -> None:
        """End the step, which changes the parameters if the optimiser is Adam."""
        if self._adam:
            self._adam.step(_per_network(g for number in self._parameters for g in self._gradients.pop(number)))


def _beside(parameters: dict[int, Parameters], values: list[float]) -> torch.Tensor:
    """Return values as a tensor of the type of parameters, and on their device."""
    first = next(iter(parameters.values()))[0]
    return torch.tensor(values, dtype=first.dtype, device=first.device)


def _per_network(stacked: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """Split stacked tensors into one per network.

    Fused Adam rounds the last few numbers of a tensor differently. Split, they are the same numbers as in a network
    that trains alone.
    """
    return [one for tensor in stacked for one in tensor.unbind()]
