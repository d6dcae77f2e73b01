"""The private names of torch that the probes use, which torch does not promise to keep.

Written for torch 2.6 to 2.14, and tested with 2.14.1 only. Each name is tried once, on a few numbers, when this module
is imported. If this release of torch does not have it, or gives other results, documented functions are used instead;
they are slower and give the same numbers up to rounding.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch.optim.adam import adam

Tensors = list[torch.Tensor]

# Attributes of a module that are not compared by `probes.custom.kind`: what is registered, and hooks of state_dict. If
# there are others in a release of torch, modules with such attributes are of different kinds.
UNCOMPARED = (
    *("_parameters", "_buffers", "_modules"),
    *("_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks"),
)

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8  # torch's defaults


def onednn_linear(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, *, tanh: bool = False
) -> torch.Tensor:
    """Return ``x @ weight.T + bias``, or its tanh, computed by oneDNN.

    The operator is part of torch's compiler. ``x`` is ``[m, k]``, ``weight [n, k]`` and ``bias [n]``.
    """
    function = "tanh" if tanh else "none"
    out: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, function, [], "")
    return out


def aten_tanh_backward(d: torch.Tensor, h: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    """Return the gradient ``d (1 - h^2)`` before a tanh with output h, computed by autograd's kernel.

    ``d`` is the gradient by h.
    """
    if out is None:
        result: torch.Tensor = torch.ops.aten.tanh_backward(d, h)
        return result
    torch.ops.aten.tanh_backward.grad_input(d, h, grad_input=out)
    return out


def plain_tanh_backward(d: torch.Tensor, h: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    """Return the gradient ``d (1 - h^2)`` before a tanh with output h, computed by documented functions."""
    return torch.mul(d, 1 - h * h, out=out)


def aten_relu_backward(d: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """Return the gradient before a relu with output h, computed by autograd's kernel: d where h is above 0, else 0."""
    out: torch.Tensor = torch.ops.aten.threshold_backward(d, h, 0)
    return out


def plain_relu_backward(d: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """Return the gradient before a relu with output h, computed by documented functions."""
    return torch.where(h <= 0, 0, d)


def fused_adam_step(
    parameters: Tensors, gradients: Tensors, first: Tensors, second: Tensors, steps: Tensors, rate: float
) -> None:
    """Make one step of Adam in place with the function behind torch's optimiser.

    The parameters, their first and second moments and their numbers of steps change. A gradient must have the memory
    layout of its parameter: on a CPU the function ignores strides.
    """
    adam(
        parameters,
        gradients,
        first,
        second,
        [],
        steps,
        fused=True,
        capturable=parameters[0].is_cuda,
        amsgrad=False,
        beta1=_BETA_1,
        beta2=_BETA_2,
        lr=rate,
        weight_decay=0.0,
        eps=_EPSILON,
        maximize=False,
    )


def plain_adam_step(
    parameters: Tensors, gradients: Tensors, first: Tensors, second: Tensors, steps: Tensors, rate: float
) -> None:
    """Make one step of Adam in place by the formulas of Kingma and Ba, arXiv:1412.6980."""
    for p, g, m, v, n in zip(parameters, gradients, first, second, steps, strict=True):
        n.add_(1)
        m.lerp_(g, 1 - _BETA_1)
        v.mul_(_BETA_2).addcmul_(g, g, value=1 - _BETA_2)
        deviation = (v / (1 - _BETA_2**n)).sqrt_().add_(_EPSILON)
        p.sub_(m / (1 - _BETA_1**n) / deviation, alpha=rate)


def agree(quick: Callable[[], torch.Tensor], plain: Callable[[], torch.Tensor]) -> bool:
    """Return whether ``quick``, which calls a private name, works and gives the result of ``plain``."""
    try:
        return bool(torch.allclose(quick(), plain()))
    except (AttributeError, RuntimeError, TypeError):  # the name is gone, or takes other arguments
        return False


_tensor = partial(torch.tensor, dtype=torch.float32, device="cpu")  # whatever a program has made torch's defaults


def _one_step(step: Callable[[Tensors, Tensors, Tensors, Tensors, Tensors, float], None]) -> torch.Tensor:
    p, g, m, v, n = (
        _tensor([1.0, 2.0]),
        _tensor([0.5, -1.0]),
        _tensor([0.0, 0.0]),
        _tensor([1.0, 1.0]),
        _tensor(3.0),
    )
    step([p], [g], [m], [v], [n], 0.1)
    return torch.cat([p, m, v, n[None]])


_d, _h = _tensor([2.0, 3.0]), _tensor([0.5, 0.0])
_a = _tensor([[1.0, 2.0], [3.0, 4.0]])
ONEDNN = agree(lambda: onednn_linear(_a, _a.t(), None), lambda: _a @ _a)  # if not, torch computes all products
_out = _tensor([0.0, 0.0])
_TANH_IN_PLACE_AGREES = agree(lambda: aten_tanh_backward(_d, _h, _out), lambda: plain_tanh_backward(_d, _h))
_TANH_AGREES = agree(lambda: aten_tanh_backward(_d, _h), lambda: plain_tanh_backward(_d, _h))
tanh_backward = aten_tanh_backward if _TANH_IN_PLACE_AGREES and _TANH_AGREES else plain_tanh_backward
_RELU_AGREES = agree(lambda: aten_relu_backward(_d, _h), lambda: plain_relu_backward(_d, _h))
relu_backward = aten_relu_backward if _RELU_AGREES else plain_relu_backward
_ADAM_AGREES = agree(lambda: _one_step(fused_adam_step), lambda: _one_step(plain_adam_step))
adam_step = fused_adam_step if _ADAM_AGREES else plain_adam_step
