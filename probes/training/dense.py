"""Stacks of dense networks, whose gradients are computed layer by layer.

==========  ================================================================  ==========================
symbol      meaning                                                           shape
==========  ================================================================  ==========================
h_l         outputs of hidden layer l, ``phi(z_l)``; h_0 are the images       ``[stack, batch, width]``
z_l         pre-activations of hidden layer l, ``h_{l-1} W_l + b_l``          ``[stack, batch, width]``
d_l         gradient of the loss by h_l                                       ``[stack, batch, width]``
e_l         gradient of the loss by z_l, ``d_l phi'(z_l)``                    ``[stack, batch, width]``
p           probabilities of the classes: softmax of a linear read-out of     ``[stack, batch, classes]``
            the last h
==========  ================================================================  ==========================

The loss is the mean cross entropy over the batch. The chain rule gives ``d_{l-1} = e_l W_l^T``; the gradients are
``h_{l-1}^T e_l`` by W_l and the sum of e_l over the batch by b_l. So plain SGD needs no memory for gradients: it
updates the weights of a layer as soon as d of the layer before is computed. There is a formula for phi' of a few
activations; for the others autograd gives e_l from z_l and d_l.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import log_softmax

from probes import torch_private
from probes.layers import ACTIVATIONS
from probes.networks import READOUT
from probes.products import stacked_affine, stacked_matmul
from probes.training.descent import Descent
from probes.training.stack import LayeredStack, first


class DenseStack(LayeredStack):
    """A stack of dense networks, whose gradients are computed layer by layer."""

    def losses(self, x: torch.Tensor, y: torch.Tensor, descent: Descent) -> torch.Tensor:
        """Return the loss of each network on a batch, see `Stack.losses`."""
        h, pre_activations = [x.expand(len(self.runs), -1, -1)], []
        for number in self.layers:
            out, z = self._layer(number, h[-1])
            h.append(out)
            pre_activations.append(z)
        weight, bias = self.parameters[READOUT]
        last = self.last(h[1:])
        log_p = log_softmax(torch.baddbmm(bias[:, None], last, weight), 2)
        labels = y.expand(len(self.runs), -1)[:, :, None]
        losses = -log_p.gather(2, labels).mean((1, 2))
        d_logits = log_p.exp_()
        d_logits.scatter_add_(2, labels, -torch.ones_like(labels, dtype=d_logits.dtype)).div_(len(x))
        # d has a row for each network, the deepest first. A network that has no layer `number` keeps the gradient by
        # its last h in its row until the loop arrives at its last layer.
        d = torch.bmm(d_logits, weight.mT)
        descent.use_product(READOUT, last, d_logits)
        derivative = derivative_of(self.activation)
        for number in reversed(self.layers):
            weight = self.parameters[number][0]
            networks, inputs, _ = weight.shape
            rows = first(d, networks)
            e = derivative(rows, h[number], pre_activations[number - 1])
            if number > 1:
                out = rows if rows.shape[2] == inputs else d.new_empty(networks, len(x), inputs)
                before = stacked_matmul(e, weight.mT, out, lone=self.lone)
                d = before if rows is d else d
            descent.use_product(number, first(h[number - 1], networks), e)
        return losses

    def _layer(self, number: int, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the outputs h of a layer and its pre-activations z, or None where the derivative needs only h."""
        weight, bias = self.parameters[number]
        x = first(x, weight.shape[0])
        out = x.new_empty(*x.shape[:2], weight.shape[2])
        tanh = self.activation == "tanh"
        z = stacked_affine(x, weight, bias[:, None], out, tanh=tanh, lone=self.lone)
        if tanh:
            return z, None
        return ACTIVATIONS[self.activation](z), z


# The gradient by z, d phi'(z), from the gradient d by h, from h and from z. It must not be d itself, whose memory the
# gradient of the layer before takes.
Derivative = Callable[[torch.Tensor, torch.Tensor, Any], torch.Tensor]

_FORMULAS: dict[str, Derivative] = {
    "tanh": lambda d, h, z: torch_private.tanh_backward(d, h),
    "relu": lambda d, h, z: torch_private.relu_backward(d, h),
    "erf": lambda d, h, z: d * (2 / math.sqrt(math.pi)) * torch.exp(-z.square()),
    "arctan": lambda d, h, z: d / (1 + z.square()),
    "identity": lambda d, h, z: d.clone(),
}


def derivative_of(activation: str) -> Derivative:
    """Return the function that gives the gradient before an activation: by a formula, or else by autograd."""
    phi = ACTIVATIONS[activation]

    def by_autograd(d: torch.Tensor, h: torch.Tensor, z: Any) -> torch.Tensor:
        with torch.enable_grad():
            inputs = z.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(phi(inputs), inputs, d)
        return gradient

    return _FORMULAS.get(activation, by_autograd)
