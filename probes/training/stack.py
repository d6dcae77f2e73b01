"""Networks of one shape that are trained together.

Networks of one shape form stacks. Where all hidden layers are alike, they are of one shape whatever their depth: sorted
from deep to shallow, layer l of a stack is a layer of the first few.
"""

from collections.abc import Sequence

import torch

from probes.layers import ACTIVATIONS, Layer, Parameters
from probes.networks import READOUT, Architecture
from probes.training.data import TrainingData
from probes.training.descent import Descent
from probes.training.run import TrainingRun
from probes.training.settings import TrainingSettings


class Stack:
    """Networks of one shape that are trained together, the deepest first.

    Attributes
    ----------
    runs:
        Those still in training.
    lone:
        Whether every stack is of one.
    tensors:
        The parameters by layer number (0: the read-out), stacked over those networks that have the layer, which are the
        first; then, in the same form, the two moments of Adam.
    """

    def __init__(
        self,
        runs: Sequence[TrainingRun],
        settings: TrainingSettings,
        architecture: Architecture,
        activation: str,
        device: torch.device,
        *,
        lone: bool,
    ) -> None:
        self.runs, self.lone = list(runs), lone
        self.layers = {n: architecture.layer(n, runs[0].point.depth) for n in range(1, runs[0].point.depth + 1)}
        self.readout = architecture.readout(runs[0].point.depth)
        self.activation = activation
        self.rate, self._adam = runs[0].lr, settings.optimizer == "adam"
        self._epoch = len(runs[0].accuracy)
        if not runs[0].tensors:
            for run in runs:
                run.tensors = [{n: layer.draw(run.point, n) for n, layer in self._layers_of(run)}]
                for _ in range(2 * self._adam):
                    run.tensors.append({n: [torch.zeros_like(p) for p in some] for n, some in run.tensors[0].items()})
        self.tensors = [
            {n: [torch.stack(same).to(device) for same in zip(*self._all(kind, n), strict=True)] for n in self.numbers}
            for kind in range(len(runs[0].tensors))
        ]
        for run in runs:
            run.tensors = []

    @property
    def numbers(self) -> list[int]:
        """Of the layers."""
        return [READOUT, *self.layers]

    def _layers_of(self, run: TrainingRun) -> list[tuple[int, Layer]]:
        return [(READOUT, self.readout), *((n, x) for n, x in self.layers.items() if n <= run.point.depth)]

    def _all(self, kind: int, number: int) -> list[Parameters]:
        return [run.tensors[kind][number] for run in self.runs[: self.having(number)]]

    def having(self, number: int) -> int:
        """How many networks have this layer."""
        return sum(run.point.depth >= number for run in self.runs)

    @property
    def parameters(self) -> dict[int, Parameters]:
        """By layer number."""
        return self.tensors[0]

    def of(self, i: int) -> list[dict[int, Parameters]]:
        """Views of the tensors of one network."""
        return [{n: [p[i] for p in kind[n]] for n, _ in self._layers_of(self.runs[i])} for kind in self.tensors]

    def losses(self, x: torch.Tensor, y: torch.Tensor, descend: Descent) -> torch.Tensor:
        """The loss of each network on a batch, ``[stack]``; ``descend`` is told the gradients as they become known."""
        raise NotImplementedError

    def _logits_of(self, i: int, x: torch.Tensor) -> torch.Tensor:
        """``[images, classes]`` of one network for images ``[images, pixels]``."""
        (parameters, *_) = self.of(i)
        for number, layer in self._layers_of(self.runs[i])[1:]:
            x = layer.apply(x, parameters[number], ACTIVATIONS[self.activation])
        weight, bias = parameters[READOUT]
        return torch.addmm(bias, x, weight)

    @torch.no_grad()  # which each thread has to say for itself
    def epoch(self, data: TrainingData) -> None:
        """One epoch and a test, noted in the runs."""
        descend = Descent(self.tensors, self.rate, lone=self.lone, steps_done=self._epoch * data.steps)
        total = torch.zeros(len(self.runs), dtype=torch.float64, device=self.parameters[READOUT][0].device)
        right = torch.zeros_like(total, dtype=torch.int64)
        for x, y in data.batches(self._epoch):
            total += self.losses(x, y, descend) * len(x)
            descend.finish()
        for i in range(len(self.runs)):  # one after another: so much at once is best multiplied alone
            for x, y in data.test_chunks():
                right[i] += (self._logits_of(i, x).argmax(1) == y).sum()
        self._epoch += 1
        loss = torch.nan_to_num(total / data.images, nan=torch.inf).tolist()
        for run, count, value in zip(self.runs, right.tolist(), loss, strict=True):
            run.accuracy.append(count / data.test_images)
            run.loss.append(value)

    def part_with(self, leaving: Sequence[bool], keep: bool) -> None:
        """Let some networks go; with their parameters, if they are to be kept."""
        if not any(leaving):
            return
        for i, run in enumerate(self.runs):
            if leaving[i] and keep:
                run.tensors = [{n: [p.clone() for p in some] for n, some in kind.items()} for kind in self.of(i)]
        stay = {n: [i for i in range(self.having(n)) if not leaving[i]] for n in self.numbers}
        self.tensors = [{n: [p[stay[n]] for p in kind[n]] for n in kind if stay[n]} for kind in self.tensors]
        self.layers = {n: layer for n, layer in self.layers.items() if stay[n]}
        self.runs = [run for i, run in enumerate(self.runs) if not leaving[i]]
