"""The Adam optimiser, by torch's fused implementation, which is its fastest."""

import torch

from probes import torch_private


class Adam:
    """An Adam optimiser, which changes its parameters in place.

    Parameters
    ----------
    parameters:
        Tensors to optimise.
    first, second:
        First and second moment of each parameter, of its shape: zeros, or those of an earlier training. They change in
        place, too.
    learning_rate:
        Learning rate of every step.
    steps:
        Number of steps that the moments have seen.

    Notes
    -----
    `torch.optim.Adam` is not used because it is part of a reference cycle, which keeps its tensors in memory until the
    next garbage collection.
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
        self._steps = [torch.full((), float(steps), dtype=torch.float32, device=p.device) for p in parameters]

    def step(self, gradients: list[torch.Tensor]) -> None:
        """Make one step, with torch's default decay rates; ``gradients`` are in the order of the parameters."""
        torch_private.adam_step(self._parameters, gradients, *self._moments, self._steps, self._rate)
