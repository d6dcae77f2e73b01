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
        Learning rate of every step; a list has one for each parameter.
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
        learning_rate: float | list[float],
        steps: int = 0,
    ) -> None:
        made = [torch.full((), float(steps), dtype=torch.float32, device=p.device) for p in parameters]
        self._tensors = parameters, (first, second), made
        rates = learning_rate if isinstance(learning_rate, list) else [learning_rate] * len(parameters)
        # Of parameters with one rate, which torch changes together.
        self._groups = {rate: [i for i, r in enumerate(rates) if r == rate] for rate in dict.fromkeys(rates)}

    def step(self, gradients: list[torch.Tensor]) -> None:
        """Make one step, with torch's default decay rates; ``gradients`` are in the order of the parameters."""
        parameters, (first, second), steps = self._tensors
        for rate, members in self._groups.items():
            p, g, m, v, n = ([tensors[i] for i in members] for tensors in (parameters, gradients, first, second, steps))
            torch_private.adam_step(p, g, m, v, n, rate)
