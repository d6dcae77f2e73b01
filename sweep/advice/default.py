"""What a network gets without advice: torch's default initialisation, or the one that the user's function makes."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any

import torch
from torch import nn

from probes.custom.function import Custom
from probes.custom.redrawing import WEIGHTED, sigmas
from probes.networks import Architecture
from probes.point import Point


@dataclass(frozen=True)
class Sigmas:
    """The standard deviations of the parameters of a network, layer by layer.

    Attributes
    ----------
    sigma_w:
        Of each weight, times sqrt(fan_in).
    sigma_b:
        Of each bias; empty if there are none.
    """

    sigma_w: tuple[float, ...]
    sigma_b: tuple[float, ...]


def default_of(custom: Custom) -> Custom:
    """Return the function of the networks that there are without advice.

    A function that takes no sigma makes them as its user wants them, most often by torch's default. Of one that takes a
    sigma, dense and convolutional layers get torch's default.
    """
    takes_sigma = {"sigma_w", "sigma_b"} & {*custom.arguments}
    return replace(custom, function=_reset(custom.function) if takes_sigma else custom.function, initialise=None)


def _reset(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that gives dense and convolutional layers torch's default parameters."""

    @wraps(function)
    def made(**arguments: Any) -> Any:
        returned = function(**arguments)
        torch.manual_seed(torch.initial_seed())  # as if nothing had been drawn: a deeper one contains the shallower one
        module = returned[0] if isinstance(returned, tuple) else returned
        for part in module.modules() if isinstance(module, nn.Module) else ():
            if isinstance(part, WEIGHTED):
                part.reset_parameters()
        return returned

    return made


def sigmas_of_function(custom: Custom, point: Point, shape: tuple[int, ...], classes: int) -> Sigmas:
    """Return the sigmas of a network that a function makes."""
    return Sigmas(*map(tuple, sigmas(custom.make(point, point.depth, shape, classes).module)))


def sigmas_of_architecture(architecture: Architecture, depth: int) -> Sigmas:
    """Return the sigmas of the hidden layers of a built-in network with torch's default initialisation.

    Torch draws weights and biases from the uniform distribution on plus or minus 1 / sqrt(fan_in), whose standard
    deviation is 1 / sqrt(3) of that.
    """
    shapes = [s for number in range(1, depth + 1) for s in architecture.layer(number, depth).shapes()]
    fan_ins = [math.prod(weight) // outputs for weight, outputs in shapes]
    return Sigmas((1 / math.sqrt(3),) * len(fan_ins), tuple(1 / math.sqrt(3 * n) for n in fan_ins))
