"""Stacks of dense networks, with gradients by hand.

==========  ================================================================  ==========================
symbol      meaning                                                           shape
==========  ================================================================  ==========================
h           outputs of a hidden layer, h_0 the images                         ``[stack, batch, width]``
z           what its activation phi is applied to, ``h W + b``                ``[stack, batch, width]``
d           gradient of the loss by h, then by z: ``d = d phi'(z)``           ``[stack, batch, width]``
p           probabilities, softmax of a linear read-out of the last h         ``[stack, batch, classes]``
==========  ================================================================  ==========================

The loss is the cross entropy, its mean over the batch. For dense layers ``d_{l-1} = d_l W^T`` and the gradients are
``h_{l-1}^T d_l`` and the sum of d_l over the batch, so plain SGD needs no memory for gradients: every weight is updated
as soon as the layer before it has its d.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn.functional import log_softmax

from probes import torch_private
from probes.layers import ACTIVATIONS
from probes.networks import READOUT
from probes.products import stacked_affine, stacked_matmul
from probes.training.descent import Descent
from probes.training.stack import Stack


class DenseStack(Stack):
    """Dense layers: their gradients are written by hand."""

    def losses(self, x: torch.Tensor, y: torch.Tensor, descend: Descent) -> torch.Tensor:
        """See `Stack`."""
        h, kept = [x.expand(len(self.runs), -1, -1)], []
        for number in self.layers:
            out, z = self._layer(number, h[-1])
            h.append(out)
            kept.append(z)
        weight, bias = self.parameters[READOUT]
        last = self._last(h[1:])
        log_p = log_softmax(torch.baddbmm(bias[:, None], last, weight), 2)
        answers = y.expand(len(self.runs), -1)[:, :, None]
        losses = -log_p.gather(2, answers).mean((1, 2))
        d_logits = log_p.exp_()
        d_logits.scatter_add_(2, answers, -torch.ones_like(answers, dtype=d_logits.dtype)).div_(len(x))
        # Rows of networks that end before a layer wait in d for the layer that is their last.
        d = torch.bmm(d_logits, weight.mT)
        descend.product(READOUT, last, d_logits)
        derivative = _DERIVATIVES[self.activation]
        for number in reversed(self.layers):
            weight = self.parameters[number][0]
            here = derivative(d[: len(weight)], h[number], kept[number - 1])
            if number > 1:
                alike = d.shape[2] == weight.shape[1]
                rows = d[: len(weight)] if alike else d.new_empty(len(weight), len(x), weight.shape[1])
                before = stacked_matmul(here, weight.mT, rows, lone=self.lone)
                d = before if len(weight) == len(d) else d
            descend.product(number, h[number - 1][: len(weight)], here)
        return losses

    def _layer(self, number: int, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Outputs, and what the activation was applied to unless its derivative follows from its value."""
        weight, bias = self.parameters[number]
        x = x[: len(weight)]
        out = x.new_empty(len(weight), x.shape[1], weight.shape[2])
        tanh = self.activation == "tanh"
        z = stacked_affine(x, weight, bias[:, None], out, tanh=tanh, lone=self.lone)
        if tanh:
            return z, None
        return ACTIVATIONS[self.activation](z), z

    def _last(self, h: Sequence[torch.Tensor]) -> torch.Tensor:
        """The last hidden outputs of each network, ``[stack, images, width]``."""
        if len(h[-1]) == len(self.runs):
            return h[-1]
        return torch.stack([h[run.point.depth - 1][i] for i, run in enumerate(self.runs)])


_DERIVATIVES: dict[str, Callable[[torch.Tensor, torch.Tensor, Any], torch.Tensor]] = {
    "tanh": lambda d, h, z: torch_private.tanh_backward(d, h),
    "relu": lambda d, h, z: torch_private.relu_backward(d, h),
    "erf": lambda d, h, z: d * (2 / math.sqrt(math.pi)) * torch.exp(-z.square()),
    "arctan": lambda d, h, z: d / (1 + z.square()),
}
