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
from collections.abc import Iterator
from typing import TypeVar

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils.parametrize import is_parametrized

from probes.initialisations import INITIALISATIONS, NORMAL
from probes.point import Point
from probes.seeds import DRAWN, generator

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
M = TypeVar("M", bound=nn.Module)


def initialise(module: M, sigma_w: float, sigma_b: float, kind: str = NORMAL, seed: int = 0) -> M:
    """Draw the weights and biases of a module anew, in place, and return the module.

    Weights of Linear, Conv1d, 2d, 3d and MultiheadAttention get the standard deviation ``sigma_w / sqrt(fan_in)``,
    their biases ``sigma_b``. All other parameters are left as they are.

    Parameters
    ----------
    module:
        The module, for example one that is to be trained.
    sigma_w:
        Standard deviation of the weights, times sqrt(fan_in): above 0, at most 20.
    sigma_b:
        Standard deviation of the biases: from 0 to 20.
    kind:
        Distribution of the weights, one of `probes.initialisations.INITIALISATIONS`.
    seed:
        Seed of all random numbers.

    Raises
    ------
    ValueError
        An argument is not allowed, the module has no such weights, or they cannot be drawn.
    """
    if not isinstance(module, nn.Module):
        raise ValueError(f"`module` must be a torch.nn.Module, got {type(module).__name__}")
    if kind not in INITIALISATIONS:
        raise ValueError(f"`kind` must be one of {', '.join(INITIALISATIONS)}, got {kind!r}")
    point = Point(sigma_w, sigma_b, depth=1, seed=seed)
    if not list(_drawn(module)):
        raise ValueError("`module` must have a Linear, Conv or MultiheadAttention, got none")
    redraw(module, point, kind)
    return module


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
    for name, own, parameter, count in _drawn(module):
        purpose = f"redrawn {name}.{own}"
        if own.endswith("bias"):
            values = torch.randn(parameter.shape, generator=generator(point.seed, purpose), **DRAWN)
            parameter.copy_(values.mul_(point.sigma_b))
        else:
            for i, matrix in enumerate(parameter.chunk(count)):
                matrix.copy_(_weight(matrix.shape, point, initialise, generator(point.seed, purpose, i)))


@torch.no_grad()
def sigmas(module: nn.Module) -> tuple[list[float], list[float]]:
    """Return what standard deviations the parameters have that `redraw` would draw anew, as they are now.

    Returns
    -------
    sigma_w
        Standard deviation of each weight, times sqrt(fan_in).
    sigma_b
        Standard deviation of each bias.
    """
    weights, biases = list[float](), list[float]()
    for _, own, parameter, count in _drawn(module):
        if own.endswith("bias"):
            biases.append(float(parameter.std(correction=0)))
        else:
            weights += [float(m.std(correction=0)) * math.sqrt(math.prod(m.shape[1:])) for m in parameter.chunk(count)]
    return weights, biases


def _drawn(module: nn.Module) -> Iterator[tuple[str, str, nn.Parameter, int]]:
    """Yield the parameters that are drawn: name of the module, own name, parameter, and number of matrices in it.

    Matrices that are applied side by side stand in one weight: those of groups, or of queries, keys and values.
    """
    for name, part in module.named_modules():
        if not isinstance(part, (*WEIGHTED, nn.MultiheadAttention)):
            continue
        if is_parametrized(part):
            raise ValueError(f"the weight of {name!r} is computed from other parameters: draw those in the function")
        parameters = dict(part.named_parameters(recurse=False))
        if any(isinstance(p, UninitializedParameter) for p in parameters.values()):
            raise ValueError(f"the weight of {name!r} has no shape yet: give its number of inputs")
        for own, parameter in parameters.items():
            if own.endswith(("weight", "bias")):
                count = 1 if own.endswith("bias") else 3 if own == "in_proj_weight" else getattr(part, "groups", 1)
                yield name, own, parameter, count


def _weight(shape: torch.Size, point: Point, initialise: str, random: torch.Generator) -> torch.Tensor:
    """Return a weight ``[out, in]``, or ``[out, in, ...]`` of a convolution."""
    scale = point.sigma_w / math.sqrt(math.prod(shape[1:]))
    if len(shape) == 2:  # initialisations take dense weights as [in, out]
        values = INITIALISATIONS[initialise](torch.randn(shape[::-1], generator=random, **DRAWN)).T
    else:
        values = INITIALISATIONS[initialise](torch.randn(shape, generator=random, **DRAWN))
    return values * scale
