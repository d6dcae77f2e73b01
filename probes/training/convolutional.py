"""Stacks of convolutional networks, whose gradients are computed by autograd."""

import torch
from torch.nn.functional import cross_entropy

from probes.layers import ACTIVATIONS, Parameters
from probes.networks import READOUT
from probes.training.descent import Descent
from probes.training.stack import LayeredStack, first


class ConvolutionalStack(LayeredStack):
    """A stack of convolutional networks, whose gradients are computed by autograd."""

    def losses(self, x: torch.Tensor, y: torch.Tensor, descent: Descent) -> torch.Tensor:
        """Return the loss of each network on a batch, see `Stack.losses`."""
        parameters = {n: [p.detach().requires_grad_() for p in layer] for n, layer in self.parameters.items()}
        with torch.enable_grad():
            out = self._logits(x, parameters).flatten(0, 1)
            losses = cross_entropy(out, y.repeat(len(self.runs)), reduction="none").view(len(self.runs), -1).mean(1)
            flat = [p for layer in parameters.values() for p in layer]
            gradients = iter(torch.autograd.grad(losses.sum(), flat))
        for number, layer in parameters.items():
            descent.use_gradients(number, [next(gradients) for _ in layer])
        return losses.detach()

    def _logits(self, x: torch.Tensor, parameters: dict[int, Parameters]) -> torch.Tensor:
        phi, h = ACTIVATIONS[self.activation], []
        out = x.expand(len(self.runs), -1, -1)
        for number, layer in self.layers.items():
            out = layer.apply(first(out, self.count_with(number)), parameters[number], phi)
            h.append(out)
        return self.readout.affine(self.last(h), parameters[READOUT])
