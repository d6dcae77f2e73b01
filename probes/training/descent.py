"""Steps of SGD and Adam on the parameters of a stack."""

from collections.abc import Iterable

import torch

from probes.adam import Adam
from probes.layers import Parameters
from probes.products import add_product, stacked_matmul


class Descent:
    """Steps of the optimiser, told one gradient after another.

    ``tensors`` are those of a `Stack`: the parameters and, for Adam, their moments, by layer number.
    Plain SGD changes a parameter at once, so that no gradient is kept. Adam changes all of them in the end.
    """

    def __init__(self, tensors: list[dict[int, Parameters]], rate: float, *, lone: bool, steps_done: int) -> None:
        self._parameters, self._rate, self._lone = tensors[0], rate, lone
        self._adam: Adam | None = None
        self._gradients: dict[int, list[torch.Tensor]] = {}
        if len(tensors) > 1:
            flat = [_singly(p for some in kind.values() for p in some) for kind in tensors]
            self._adam = Adam(*flat, learning_rate=rate, steps=steps_done)

    def product(self, number: int, h: torch.Tensor, d: torch.Tensor) -> None:
        """The gradients of a dense layer: ``h^T d`` and the sum of d over the batch."""
        weight, bias = self._parameters[number]
        if self._adam:
            self.gradient(number, [stacked_matmul(h.mT, d, torch.empty_like(weight), lone=self._lone), d.sum(1)])
        else:
            add_product(weight, h.mT, d, -self._rate, lone=self._lone)
            bias.sub_(d.sum(1), alpha=self._rate)

    def gradient(self, number: int, gradients: list[torch.Tensor]) -> None:
        """The gradients of all parameters of a layer."""
        if self._adam:
            self._gradients[number] = gradients
        else:
            for p, g in zip(self._parameters[number], gradients, strict=True):
                p.sub_(g, alpha=self._rate)

    def finish(self) -> None:
        """The end of a step."""
        if self._adam:
            self._adam.step(_singly(g for number in self._parameters for g in self._gradients.pop(number)))


def _singly(stacked: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """Each network's own: Adam treats the last few numbers of a tensor otherwise, so they must be the same few."""
    return [one for tensor in stacked for one in tensor.unbind()]
