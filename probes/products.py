"""Dense products in float32 at the speed of the processor.

torch multiplies float32 matrices with MKL, which uses half of what other makers' processors can do (measured on an AMD
EPYC with AVX-512: 105 GFLOP/s a core, where oneDNN, which torch ships too, reaches 230). So on a CPU large products
go to oneDNN; small ones, where its dispatch costs more than it saves, and all others stay with torch. The choice
depends on the shapes alone, so that a point's numbers depend on nothing else. No function here knows gradients.
"""

import torch

from probes import torch_private

_SMALLEST = 1_000_000  # multiplications from which oneDNN is the faster one


def uses_onednn(device: str, dtype: torch.dtype, multiplications: int) -> bool:
    """Return whether a product on a type of device goes to oneDNN."""
    return torch_private.ONEDNN and device == "cpu" and dtype == torch.float32 and multiplications >= _SMALLEST


def _uses_onednn(a: torch.Tensor, b: torch.Tensor) -> bool:
    return uses_onednn(a.device.type, a.dtype, a.shape[-2] * a.shape[-1] * b.shape[-1])


def _onednn(a: torch.Tensor, b: torch.Tensor, bias: torch.Tensor | None, tanh: bool = False) -> torch.Tensor:
    if not (a.is_contiguous() or a.t().is_contiguous()):
        a = a.contiguous()  # a part of a transposed matrix would take a hundred times as long
    return torch_private.onednn_linear(a, b.t(), bias, tanh=tanh)


def matmul(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """``a @ b`` for ``[m, k]`` and ``[k, n]``."""
    return _onednn(a, b, None) if _uses_onednn(a, b) else torch.mm(a, b)


def gram(a: torch.Tensor) -> torch.Tensor:
    """``a @ a.T`` for ``[m, k]``; of the half that symmetry gives, a quarter is not computed."""
    half = len(a) // 2
    out = a.new_empty(len(a), len(a))
    out[:half] = matmul(a[:half], a.T)
    out[half:, :half] = out[:half, half:].T
    out[half:, half:] = matmul(a[half:], a[half:].T)
    return out


def affine(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, *, tanh: bool = False) -> torch.Tensor:
    """``x @ weight + bias`` for ``[m, k]``, ``[k, n]`` and ``[n]``, or its tanh."""
    if _uses_onednn(x, weight):
        return _onednn(x, weight, bias, tanh)
    z = torch.addmm(bias, x, weight)
    return z.tanh_() if tanh else z


def stacked_matmul(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor, *, lone: bool = True) -> torch.Tensor:
    """``a @ b`` for ``[s, m, k]`` and ``[s, k, n]``, into ``out`` or, for a stack of one, perhaps elsewhere.

    Unless it is ``lone`` a stack of one is part of what could have been a larger one, and is treated in the same way.
    """
    if lone and len(a) == 1 and _uses_onednn(a, b):
        return _onednn(a[0], b[0], None)[None]
    return torch.bmm(a, b, out=out)


def add_product(to: torch.Tensor, a: torch.Tensor, b: torch.Tensor, factor: float, *, lone: bool = True) -> None:
    """``to += factor a @ b`` for ``[s, m, k]`` and ``[s, k, n]``; ``lone`` as in `stacked_matmul`."""
    if lone and len(a) == 1 and _uses_onednn(a, b):
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
    """``x @ weight + bias`` for ``[s, m, k]``, ``[s, k, n]`` and ``[s, 1, n]``, or its tanh; as `stacked_matmul`."""
    if lone and len(x) == 1 and _uses_onednn(x, weight):
        return _onednn(x[0], weight[0], bias[0, 0], tanh)[None]
    if tanh and x.device.type == "cpu":
        return torch.baddbmm(bias, x, weight, beta=2, alpha=2, out=out).sigmoid_().mul_(2).sub_(1)  # see `quick_tanh_`
    z = torch.baddbmm(bias, x, weight, out=out)
    return z.tanh_() if tanh else z


def quick_tanh_(x: torch.Tensor) -> torch.Tensor:
    """The tanh, in place, with an error of 2e-7: on a CPU torch's own takes five times as long as its sigmoid."""
    return x.mul_(2).sigmoid_().mul_(2).sub_(1) if x.device.type == "cpu" else x.tanh_()
