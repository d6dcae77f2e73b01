"""The activations that a network may have. A new one is one line here.

All functions of `torch.nn.functional` are there that act on each number alone, always alike and without a jump, with
torch's defaults for their parameters, and `erf`, `arctan`, `sin` and `identity`. Left out are

- `hardshrink`, because it jumps: chi_1 is infinite, and a gradient does not see the jump;
- `threshold` and `prelu`, which have no default for their parameters;
- `rrelu`, which is random in training;
- `glu`, `softmax`, `softmin`, `log_softmax` and `gumbel_softmax`, which mix the values of a layer.

From these lines come the choice on the command line, the networks (`probes.layers`), their gradients
(`probes.training.dense`), the averages of mean field theory (`probes.kernels`) and whether a decoder ends in a tanh
(`probes.cascade`). This module imports no torch: the command line's help has to stay fast.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pkgutil import resolve_name
from typing import Any


@dataclass(frozen=True)
class Activation:
    """An activation phi, which acts on each number alone.

    Attributes
    ----------
    name:
        Name of the activation.
    path:
        Where torch has the function; None means in `torch.nn.functional`, by the same name.
    bounded:
        Whether the values lie between -1 and 1.
    kinks:
        Where phi or one of its derivatives is not smooth.
    """

    name: str
    path: str | None = None
    bounded: bool = False
    kinks: tuple[float, ...] = ()

    @cached_property
    def phi(self) -> Callable[[Any], Any]:
        """The function of torch; torch is imported when it is first asked for."""
        return resolve_name(self.path or f"torch.nn.functional.{self.name}")


_DECLARED = (
    Activation("tanh", "torch.tanh", bounded=True),
    Activation("relu", "torch.relu", kinks=(0,)),
    Activation("erf", "torch.erf", bounded=True),
    Activation("arctan", "torch.atan"),
    Activation("celu", kinks=(0,)),
    Activation("elu", kinks=(0,)),
    Activation("gelu"),
    Activation("hardsigmoid", bounded=True, kinks=(-3, 3)),
    Activation("hardswish", kinks=(-3, 3)),
    Activation("hardtanh", bounded=True, kinks=(-1, 1)),
    Activation("identity", "torch.positive"),
    Activation("leaky_relu", kinks=(0,)),
    Activation("logsigmoid"),
    Activation("mish"),
    Activation("relu6", kinks=(0, 6)),
    Activation("selu", kinks=(0,)),
    Activation("sigmoid", "torch.sigmoid", bounded=True),
    Activation("silu"),
    Activation("sin", "torch.sin", bounded=True),
    Activation("softplus"),
    Activation("softshrink", kinks=(-0.5, 0.5)),
    Activation("softsign", bounded=True, kinks=(0,)),
    Activation("tanhshrink"),
)
DECLARED = {activation.name: activation for activation in _DECLARED}
NAMES = tuple(DECLARED)
