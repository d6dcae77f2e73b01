"""Entropies of reconstructions, retained information, cutoff and horizon.

========  =============================================================  ==========================
symbol    meaning                                                        shape
========  =============================================================  ==========================
x         images                                                         ``[images, pixels]``
r         their reconstructions                                          ``[..., images, pixels]``
p, q      x and r as distributions over pixels                           as x and r
========  =============================================================  ==========================

All entropies are in nats and computed in float64. Source: the code published with arXiv:2406.12916.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch

_FLOOR = 1e-12


def _distribution(x: torch.Tensor) -> torch.Tensor:
    shifted = x - x.amin(-1, keepdim=True) + _FLOOR
    return shifted / shifted.sum(-1, keepdim=True)


def relative_entropy(images: torch.Tensor, reconstructions: torch.Tensor) -> torch.Tensor:
    """Return the KL divergence in nats of each image from its reconstruction, ``[..., images]``.

    Each is shifted by its minimum, raised by 1e-12 and normalised to sum 1 over the pixels.
    """
    p, q = _distribution(images.double()), _distribution(reconstructions.double())
    return (p * (p / q).log()).sum(-1)


def differential_entropy(reconstructions: torch.Tensor) -> torch.Tensor:
    """Return the Gaussian differential entropy in nats, ``[...]``, of reconstructions ``[..., images, pixels]``.

    Each reconstruction is divided by its sum; the entropy of each pixel over the images,
    ``ln(sd) + ln(2 pi e)/2``, is averaged over the pixels. Minus infinity would mean that every image has
    the same reconstruction; the standard deviation is kept above 1e-30 so that the value stays finite.
    """
    r = reconstructions.double()
    total = r.sum(-1, keepdim=True)
    r = r / torch.where(total.abs() < 1e-30, 1e-30, total)
    deviation = r.std(-2).clamp_min(1e-30)
    return deviation.log().mean(-1) + math.log(2 * math.pi * math.e) / 2


def cutoff(curve: np.ndarray, rtol: float = 0.005, atol: float = 1e-8) -> int:
    """Return the published cutoff: the zero-based index of the last value that is not close to the final one.

    The curve's length if every value is close to it.
    """
    differs = np.flatnonzero(~np.isclose(curve, curve[-1], rtol=rtol, atol=atol))
    return int(differs[-1]) if differs.size else len(curve)


def horizon(layers: Sequence[int], retained: Sequence[float], threshold: float) -> tuple[float, bool]:
    """Return the depth, in layers, where retained information first falls below ``threshold``.

    Parameters
    ----------
    layers:
        Increasing layer numbers, from 1; layer 0, the image itself, retains 1 by definition.
    retained:
        Retained information after each of them.
    threshold:
        Between 0 and 1.

    Returns
    -------
    (depth, censored):
        The interpolated depth; or the last layer given and True where the profile never falls below.
    """
    previous_layer, previous = 0, 1.0
    for layer, value in zip(layers, retained, strict=True):
        if value < threshold:
            fraction = (previous - threshold) / (previous - value)
            return previous_layer + fraction * (layer - previous_layer), False
        previous_layer, previous = layer, value
    return float(previous_layer), True
