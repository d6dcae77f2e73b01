"""The products of a user's network by the same kernels as those of built-in networks, while it is probed."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode

from probes.products import affine, matmul, uses_onednn


class QuickProducts(TorchFunctionMode):
    """A mode in which dense layers are computed by `probes.products`, on a processor that is quicker so.

    It is for passes without gradients on a CPU: elsewhere, and for other tensors than those of single precision, torch
    computes as ever. The mode holds for the thread that enters it.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Return what ``func`` gives, a dense layer by the quicker product."""
        if func is linear and not kwargs and not torch.is_grad_enabled():
            product = _quick_linear(*args)
            if product is not None:
                return product
        return func(*args, **(kwargs or {}))


def _plain(x: Any) -> bool:
    return (
        type(x) in (torch.Tensor, torch.nn.Parameter)
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.layout == torch.strided
    )


def _quick_linear(x: Any, weight: Any, bias: Any = None) -> torch.Tensor | None:
    """Return ``x @ weight.T + bias`` for ``x [..., inputs]``; None if torch is to compute it."""
    if (
        not all(map(_plain, (x, weight)))
        or not (bias is None or _plain(bias))
        or x.ndim < 2
        or weight.ndim != 2
        or not x.numel()
    ):
        return None
    if not uses_onednn("cpu", x.dtype, x.shape[:-1].numel() * weight.numel()) or torch.is_autocast_enabled("cpu"):
        return None
    flat = x.reshape(-1, x.shape[-1])
    product = matmul(flat, weight.t()) if bias is None else affine(flat, weight.t(), bias)
    return product.view(*x.shape[:-1], len(weight))
