"""Fast products of dense matrices in float32.

torch multiplies float32 matrices with MKL, which uses only half of what processors of other makers than Intel can do:
105 GFLOP/s a core on an AMD EPYC with AVX-512, where oneDNN, which comes with torch, reaches 230. So on a CPU large
products are computed by oneDNN. Small ones, for which its overhead costs more than it saves, and all products on other
devices or in other precisions are left to torch. The choice depends on the shapes alone, and so do the numbers of a
point. No function here records gradients, but for `quick_tanh_`.

========  ==============================================================
symbol    meaning
========  ==============================================================
m, k      rows and columns of the first matrix
k, n      rows and columns of the second matrix
s         number of matrices in a stack
========  ==============================================================

A stack of one matrix may be computed by oneDNN if it is ``lone``: no other pack of points would have made it a larger
stack. Otherwise it is computed as larger stacks are, since its numbers must not depend on its neighbours.
"""

from typing import Any

import torch

from probes import torch_private

_MIN_MULTIPLICATIONS = 1_000_000  # from which oneDNN is faster than MKL
_MINUS_ONE = torch.tensor(-1.0, dtype=torch.float32, device="cpu")


def uses_onednn(device: str, dtype: torch.dtype, multiplications: int) -> bool:
    """Return whether oneDNN computes a product of so many multiplications on a type of device."""
    return (
        torch_private.ONEDNN and device == "cpu" and dtype == torch.float32 and multiplications >= _MIN_MULTIPLICATIONS
    )


def _uses_onednn(a: torch.Tensor, b: torch.Tensor) -> bool:
    return uses_onednn(a.device.type, a.dtype, a.shape[-2] * a.shape[-1] * b.shape[-1])


def _onednn(a: torch.Tensor, b: torch.Tensor, bias: torch.Tensor | None, tanh: bool = False) -> torch.Tensor:
    if not (a.is_contiguous() or a.t().is_contiguous()):
        a = a.contiguous()  # oneDNN takes a hundred times as long for a part of a transposed matrix
    return torch_private.onednn_linear(a, b.t(), bias, tanh=tanh)


def matmul(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return ``a @ b`` for ``a [m, k]`` and ``b [k, n]``."""
    return _onednn(a, b, None) if _uses_onednn(a, b) else torch.mm(a, b)


def gram(a: torch.Tensor) -> torch.Tensor:
    """Return ``a @ a.T`` for ``a [m, k]``; by symmetry one quarter of it is copied, not computed."""
    half = len(a) // 2
    out = a.new_empty(len(a), len(a))
    out[:half] = matmul(a[:half], a.T)
    out[half:, :half] = out[:half, half:].T
    out[half:, half:] = matmul(a[half:], a[half:].T)
    return out


def affine(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, *, tanh: bool = False) -> torch.Tensor:
    """Return ``x @ weight + bias``, or its tanh, for ``x [m, k]``, ``weight [k, n]`` and ``bias [n]``."""
    if _uses_onednn(x, weight):
        return _onednn(x, weight, bias, tanh)
    z = torch.addmm(bias, x, weight)
    return quick_tanh_(z) if tanh else z


def stacked_matmul(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor, *, lone: bool = True) -> torch.Tensor:
    """Return ``a @ b`` for ``a [s, m, k]`` and ``b [s, k, n]``.

    The result is written to ``out``, except where oneDNN computes a ``lone`` stack: use the returned tensor.
    """
    if lone and a.shape[0] == 1 and _uses_onednn(a, b):
        return _onednn(a[0], b[0], None)[None]
    return torch.bmm(a, b, out=out)


def add_product(to: torch.Tensor, a: torch.Tensor, b: torch.Tensor, factor: float, *, lone: bool = True) -> None:
    """Add ``factor * a @ b`` to ``to [s, m, n]`` in place, for ``a [s, m, k]`` and ``b [s, k, n]``."""
    if lone and a.shape[0] == 1 and _uses_onednn(a, b):
        to[0].add_(_onednn(a[0], b[0], None), alpha=factor)
    else:
        to.baddbmm_(a, b, alpha=factor)


def stacked_affine(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    out: torch.Tensor,
    *,
    tanh: bool = False,
    lone: bool = True,
) -> torch.Tensor:
    """Return ``x @ weight + bias``, or its tanh, for ``x [s, m, k]``, ``weight [s, k, n]`` and ``bias [s, 1, n]``.

    The result is written to ``out``, except where oneDNN computes a ``lone`` stack: use the returned tensor.
    """
    if lone and x.shape[0] == 1 and _uses_onednn(x, weight):
        return _onednn(x[0], weight[0], bias[0, 0], tanh)[None]
    if tanh and x.device.type == "cpu":
        return _tanh_of_half_(torch.baddbmm(bias, x, weight, beta=2, alpha=2, out=out))
    z = torch.baddbmm(bias, x, weight, out=out)
    return z.tanh_() if tanh else z


def quick_tanh_(x: torch.Tensor) -> torch.Tensor:
    """Replace x by its tanh and return it.

    On a CPU it is computed from the sigmoid, which torch computes five times as fast as its tanh; the error is 2e-7.
    """
    out: torch.Tensor = _QuickTanh.apply(x) if x.device.type == "cpu" else x.tanh_()
    return out


class _QuickTanh(torch.autograd.Function):
    """The tanh of `quick_tanh_`, and its gradient."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        """Replace x by its tanh."""
        ctx.mark_dirty(x)
        ctx.save_for_backward(_tanh_of_half_(x.mul_(2)))
        return x

    @staticmethod
    def backward(ctx: Any, d: torch.Tensor) -> torch.Tensor:
        """Return the gradient before the tanh."""
        return torch_private.tanh_backward(d, *ctx.saved_tensors)


def _tanh_of_half_(x: torch.Tensor) -> torch.Tensor:
    """Replace x by the tanh of x / 2, which is ``2 sigmoid(x) - 1``, and return it."""
    return torch.add(_MINUS_ONE, x.sigmoid_(), alpha=2, out=x)
