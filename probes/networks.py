"""Random networks: W ~ N(0, sigma_w^2 / fan_in), b ~ N(0, sigma_b^2).

=========  ==============================================  =======================
symbol     meaning                                         shape
=========  ==============================================  =======================
x          activations of a layer; layer 0 is the image    ``[images, fan_in]``
weight     of a layer, applied as ``x @ weight + bias``    ``[fan_in, fan_out]``
bias       of a layer                                      ``[fan_out]``
=========  ==============================================  =======================
"""

import math
from collections.abc import Callable, Iterator

import torch

from .point import Point
from .seeds import generator

__all__ = ["ACTIVATIONS", "LARGEST_ACTIVATION", "draw_layer", "forward"]

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "erf": torch.erf,
    "arctan": torch.atan,
}

# Beyond this a float32 sum of squares is no longer to be trusted: the network counts as diverged.
LARGEST_ACTIVATION = 1e12

READOUT = 0  # the number under which a network's linear read-out is drawn


def draw_layer(
    point: Point, layer: int, fan_in: int, fan_out: int, device: torch.device | str = "cpu"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight ``[fan_in, fan_out]`` and bias ``[fan_out]`` of layer 1..depth (0: the read-out).

    Every layer has its own generator, so a deeper network contains the shallower one; the draw is made in
    units of the standard deviations, so points that share a seed share it up to scale.
    """
    random = generator(point.seed, "network", layer)
    weight = torch.randn(fan_in, fan_out, generator=random).mul_(point.sigma_w / math.sqrt(fan_in))
    bias = torch.randn(fan_out, generator=random).mul_(point.sigma_b)
    return weight.to(device), bias.to(device)


def forward(point: Point, images: torch.Tensor, width: int, activation: str) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield (layer, activations ``[images, width]``) for layer 1, 2, ... without end, on the images' device.

    Ends early, without yielding it, at a layer whose activations are not finite or exceed
    `LARGEST_ACTIVATION`. The products of a point never depend on which other points are measured: the
    chaotic phase would amplify any difference in rounding.
    """
    phi = ACTIVATIONS[activation]
    x, layer = images, 0
    while True:
        layer += 1
        weight, bias = draw_layer(point, layer, x.shape[1], width, images.device)
        x = phi(torch.addmm(bias, x, weight))
        if not bool(x.abs().amax() <= LARGEST_ACTIVATION):  # also true for NaN
            return
        yield layer, x
