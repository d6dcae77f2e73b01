"""Stacks: networks of one shape whose tensors are stacked and trained as one.

Where all hidden layers of built-in networks are alike, networks of all depths have one shape. A stack holds them from
deep to shallow, so the networks that have a layer l are the first ones.
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
    """A stack of networks that are trained as one.

    Parameters
    ----------
    runs:
        Runs of the networks, of one kind: with one learning rate, or each with its own, and equally many epochs.
    settings:
        How the networks are trained.
    lone:
        Whether every stack of these networks holds one of them, and has a thread of its own; see `probes.products`.

    Attributes
    ----------
    runs:
        Runs of the networks that are still in training.
    tensors:
        Parameters by a number (of built-in networks that of the layer, where 0 is the read-out), each stacked over the
        networks that have them; for Adam followed by the first and the second moments in the same form.
    """

    tensors: list[dict[int, Parameters]]

    def __init__(self, runs: Sequence[TrainingRun], settings: TrainingSettings, *, lone: bool) -> None:
        self.runs, self.lone = list(runs), lone
        self._adam = settings.optimizer == "adam"
        self._epoch = len(runs[0].accuracy)

    @property
    def parameters(self) -> dict[int, Parameters]:
        """Parameters by number, stacked over the networks that have them."""
        return self.tensors[0]

    def tensors_of(self, i: int) -> list[dict[int, Parameters]]:
        """Return views of the tensors of one network."""
        raise NotImplementedError

    def losses(self, x: torch.Tensor, y: torch.Tensor, descent: Descent) -> torch.Tensor:
        """Return the loss of each network on a batch, and give its gradients to the optimiser.

        Parameters
        ----------
        x, y:
            Images ``[batch, pixels]`` and their labels ``[batch]``.
        descent:
            The optimiser.

        Returns
        -------
        torch.Tensor
            Mean cross entropy of each network over the batch, in nats, ``[stack]``.
        """
        raise NotImplementedError

    def _logits_of(self, i: int, x: torch.Tensor) -> torch.Tensor:
        """Return the logits ``[images, classes]`` of one network for test images ``[images, pixels]``."""
        raise NotImplementedError

    @torch.no_grad()  # here, because the setting is one of each thread
    def steps(self, data: TrainingData) -> torch.Tensor:
        """Make the steps of one epoch and return the sum of each network's losses over the images, ``[stack]``."""
        rate = [run.lr for run in self.runs] if self.runs[0].own_rate else self.runs[0].lr
        descent = Descent(self.tensors, rate, lone=self.lone, steps_done=self._epoch * data.steps)
        total = torch.zeros(len(self.runs), dtype=torch.float64, device=self.parameters[READOUT][0].device)
        for x, y in data.batches(self._epoch):
            total += self.losses(x, y, descent) * len(x)
            descent.finish_step()
        return total

    @torch.no_grad()
    def epoch(self, data: TrainingData) -> None:
        """Train for one epoch, test, and add accuracy and loss to the runs."""
        total = self.steps(data)
        correct = torch.zeros_like(total, dtype=torch.int64)
        for i in range(len(self.runs)):  # one network at a time: products of so many images are fastest one by one
            for x, y in data.test_chunks():
                correct[i] += (self._logits_of(i, x).argmax(1) == y).sum()
        self._epoch += 1
        loss = torch.nan_to_num(total / data.images, nan=torch.inf, posinf=torch.inf).tolist()
        for run, count, value in zip(self.runs, correct.tolist(), loss, strict=True):
            run.accuracy.append(count / data.test_images)
            run.loss.append(value)

    def remove(self, leaving: Sequence[bool], keep: bool) -> None:
        """Remove the networks that are ``leaving`` from the stack; with ``keep`` their runs keep their tensors."""
        if not any(leaving):
            return
        for i, run in enumerate(self.runs):
            if leaving[i] and keep:
                run.tensors = [
                    {n: [p.clone() for p in layer] for n, layer in kind.items()} for kind in self.tensors_of(i)
                ]
        self._keep_tensors_of([i for i in range(len(self.runs)) if not leaving[i]])
        self.runs = [run for i, run in enumerate(self.runs) if not leaving[i]]

    def _keep_tensors_of(self, staying: Sequence[int]) -> None:
        """Keep the tensors of the networks with these indices, and no others."""
        raise NotImplementedError


class LayeredStack(Stack):
    """A stack of built-in networks, the deepest first.

    Parameters
    ----------
    runs:
        Runs as of `Stack`, from deep to shallow.
    settings, lone:
        As of `Stack`.
    architecture, activation:
        Layers of the networks and their activation.
    device:
        Device of the training.

    Attributes
    ----------
    layers, readout:
        Hidden layers by number, and the read-out.
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
        super().__init__(runs, settings, lone=lone)
        self.layers = {n: architecture.layer(n, runs[0].point.depth) for n in range(1, runs[0].point.depth + 1)}
        self.readout = architecture.readout(runs[0].point.depth)
        self.activation = activation
        if not runs[0].tensors:
            for run in runs:
                run.tensors = [{n: architecture.draw(run.point, n) for n, _ in self._layers_of(run)}]
                for _ in range(2 * self._adam):
                    run.tensors.append({n: [torch.zeros_like(p) for p in layer] for n, layer in run.tensors[0].items()})
        self.tensors = [
            {
                n: [torch.stack(same).to(device) for same in zip(*self._per_network(kind, n), strict=True)]
                for n in self.numbers
            }
            for kind in range(len(runs[0].tensors))
        ]
        for run in runs:
            run.tensors = []

    @property
    def numbers(self) -> list[int]:
        """Numbers of the layers, that of the read-out first."""
        return [READOUT, *self.layers]

    def _layers_of(self, run: TrainingRun) -> list[tuple[int, Layer]]:
        return [(READOUT, self.readout), *((n, x) for n, x in self.layers.items() if n <= run.point.depth)]

    def _per_network(self, kind: int, number: int) -> list[Parameters]:
        return [run.tensors[kind][number] for run in self.runs[: self.count_with(number)]]

    def count_with(self, number: int) -> int:
        """Return how many networks have a layer."""
        return sum(run.point.depth >= number for run in self.runs)

    def tensors_of(self, i: int) -> list[dict[int, Parameters]]:
        """Return views of the tensors of one network."""
        return [{n: [p[i] for p in kind[n]] for n, _ in self._layers_of(self.runs[i])} for kind in self.tensors]

    def last(self, h: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the outputs of the last hidden layer of each network, ``[stack, images, outputs]``.

        ``h`` has the outputs of every hidden layer, for the networks that have the layer.
        """
        if h[-1].shape[0] == len(self.runs):
            return h[-1]
        return torch.stack([h[run.point.depth - 1][i] for i, run in enumerate(self.runs)])

    def _logits_of(self, i: int, x: torch.Tensor) -> torch.Tensor:
        (parameters, *_) = self.tensors_of(i)
        for number, layer in self._layers_of(self.runs[i])[1:]:
            x = layer.apply(x, parameters[number], ACTIVATIONS[self.activation])
        weight, bias = parameters[READOUT]
        return torch.addmm(bias, x, weight)

    def _keep_tensors_of(self, staying: Sequence[int]) -> None:
        having = {n: [i for i in staying if i < self.count_with(n)] for n in self.numbers}
        self.tensors = [{n: [p[having[n]] for p in kind[n]] for n in kind if having[n]} for kind in self.tensors]
        self.layers = {n: layer for n, layer in self.layers.items() if having[n]}


def first(x: torch.Tensor, networks: int) -> torch.Tensor:
    """Return the part of a stacked tensor that belongs to the first networks; a slice of them all takes time, too."""
    return x if x.shape[0] == networks else x[:networks]
