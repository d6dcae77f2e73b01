r"""The parameters of a user's network, drawn anew for a point.

==========================  =========================================================  ==================
module                      weight                                                     bias
==========================  =========================================================  ==================
Linear, Conv1d, 2d, 3d      standard deviation sigma_w / sqrt(fan_in), distributed     normal with
                            as one of `probes.initialisations` says                    sigma_b
MultiheadAttention          the same for queries, keys, values and the output, each    normal with
                            a matrix of its own                                        sigma_b
normalisation, embeddings,  left as the function has made them                         left as they are
transposed convolutions,
bare parameters
==========================  =========================================================  ==================

fan_in is the number of values that one output is a weighted sum of: of a convolution in groups, those of one group.
Every parameter has a random generator of its own, by its name: so a deeper network contains the shallower one if names
do not change with the depth.
"""

import math

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils.parametrize import is_parametrized

from probes.initialisations import INITIALISATIONS
from probes.point import Point
from probes.seeds import DRAWN, generator

_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@torch.no_grad()
def redraw(module: nn.Module, point: Point, initialise: str) -> None:
    """Draw the parameters of a module anew, in place.

    Parameters
    ----------
    module:
        Module of the user.
    point:
        Point with sigma_w, sigma_b and the seed.
    initialise:
        One of `INITIALISATIONS`.

    Raises
    ------
    ValueError
        The weight of a layer has no shape yet, or is computed from other parameters.
    """
    for name, part in module.named_modules():
        parameters = dict(part.named_parameters(recurse=False))
        if not isinstance(part, (*_WEIGHTED, nn.MultiheadAttention)):
            continue
        if is_parametrized(part):
            raise ValueError(f"the weight of {name!r} is computed from other parameters: draw those in the function")
        if any(isinstance(p, UninitializedParameter) for p in parameters.values()):
            raise ValueError(f"the weight of {name!r} has no shape yet: give its number of inputs")
        for own, parameter in parameters.items():
            purpose = f"redrawn {name}.{own}"
            if own.endswith("bias"):
                values = torch.randn(parameter.shape, generator=generator(point.seed, purpose), **DRAWN)
                parameter.copy_(values.mul_(point.sigma_b))
            elif own.endswith("weight"):
                # Matrices that are applied side by side: those of groups, or of queries, keys and values.
                count = 3 if own == "in_proj_weight" else getattr(part, "groups", 1)
                for i, matrix in enumerate(parameter.chunk(count)):
                    matrix.copy_(_weight(matrix.shape, point, initialise, generator(point.seed, purpose, i)))


def _weight(shape: torch.Size, point: Point, initialise: str, random: torch.Generator) -> torch.Tensor:
    """Return a weight ``[out, in]``, or ``[out, in, ...]`` of a convolution."""
    scale = point.sigma_w / math.sqrt(math.prod(shape[1:]))
    if len(shape) == 2:  # initialisations take dense weights as [in, out]
        values = INITIALISATIONS[initialise](torch.randn(shape[::-1], generator=random, **DRAWN)).T
    else:
        values = INITIALISATIONS[initialise](torch.randn(shape, generator=random, **DRAWN))
    return values * scale
