"""Torch's fused Adam, which is its fastest."""

import torch

from probes import torch_private


class Adam:
    """Torch's fused Adam without its optimiser, whose reference cycle would keep its tensors.

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
        """Change the parameters by one step with the default decay rates."""
        torch_private.adam_step(self._parameters, gradients, *self._moments, self._steps, self._rate)
