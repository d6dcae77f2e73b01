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
        counts = [torch.full((), float(steps), dtype=torch.float32, device=p.device) for p in parameters]
        rates = learning_rate if isinstance(learning_rate, list) else [learning_rate] * len(parameters)
        # Parameters with one rate are changed together: by rate, which they are, and what belongs to them.
        self._groups: list[tuple[float, list[int], list[list[torch.Tensor]]]] = []
        for rate in dict.fromkeys(rates):
            members = [i for i, r in enumerate(rates) if r == rate]
            state = [[tensors[i] for i in members] for tensors in (parameters, first, second, counts)]
            self._groups.append((rate, members, state))

    def step(self, gradients: list[torch.Tensor]) -> None:
        """Make one step, with torch's default decay rates; ``gradients`` are in the order of the parameters."""
        for rate, members, (parameters, first, second, counts) in self._groups:
            own = gradients if len(self._groups) == 1 else [gradients[i] for i in members]
            torch_private.adam_step(parameters, own, first, second, counts, rate)
