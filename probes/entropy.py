"""Entropies and correlations of reconstructions, and the cutoff and the horizon of their curves over the layers.

========  =============================================================  ==========================
symbol    meaning                                                        shape
========  =============================================================  ==========================
x         images                                                         ``[images, pixels]``
r         reconstructions of x                                           ``[..., images, pixels]``
p         x as a distribution over pixels:
          ``p = (x - min x + 1e-12) / sum(x - min x + 1e-12)``           ``[images, pixels]``
q         r as such a distribution                                       ``[..., images, pixels]``
KL        relative entropy, ``sum p ln(p / q)`` over pixels              ``[..., images]``
sd        standard deviation over images of each pixel of
          ``r / (sum of r over pixels)``                                 ``[..., pixels]``
H         differential entropy of a Gaussian with this sd,
          ``ln(sd) + ln(2 pi e) / 2``, averaged over pixels              ``[...]``
dx, dr    x and r, each minus its mean over the images                   as x and r
rho^2     squared correlation ``(sum dx dr)^2 / (sum dx^2 sum dr^2)``,
          sums over images and pixels; 0 where the correlation is
          negative                                                       ``[...]``
========  =============================================================  ==========================

All entropies are in nats, and everything is computed in float64. KL compares distributions: it is large where a
reconstruction is right about what sets an image apart but weak, as those of chained decoders are. rho^2 asks only for
what sets images apart, at whatever strength: it is 0 for the mean image, and for anything else that does not depend on
the image.

References
----------
The code published with arXiv:2406.12916, for both entropies and the cutoff.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch

_PIXEL_FLOOR = 1e-12  # added to every pixel, so that the logarithm of a ratio exists


def _distribution(x: torch.Tensor) -> torch.Tensor:
    shifted = x - x.amin(-1, keepdim=True) + _PIXEL_FLOOR
    return shifted / shifted.sum(-1, keepdim=True)


def relative_entropy(images: torch.Tensor, reconstructions: torch.Tensor) -> torch.Tensor:
    """Return the relative entropy KL of each image and its reconstruction, in nats.

    Parameters
    ----------
    images:
        Images x, ``[images, pixels]``.
    reconstructions:
        Reconstructions r, ``[..., images, pixels]``.

    Returns
    -------
    torch.Tensor
        Relative entropies ``[..., images]`` in float64; 0 where image and reconstruction have the same distribution.
    """
    p, q = _distribution(images.double()), _distribution(reconstructions.double())
    return (p * (p / q).log()).sum(-1)


def differential_entropy(reconstructions: torch.Tensor) -> torch.Tensor:
    """Return the Gaussian differential entropy H of reconstructions, in nats.

    Parameters
    ----------
    reconstructions:
        Reconstructions r, ``[..., images, pixels]``, of at least two images.

    Returns
    -------
    torch.Tensor
        Differential entropies ``[...]`` in float64.

    Notes
    -----
    Where all images have the same reconstruction, H would be minus infinity. The standard deviation is therefore kept
    above 1e-30, which makes H -67.7 there.
    """
    r = reconstructions.double()
    total = r.sum(-1, keepdim=True)
    r = r / torch.where(total.abs() < 1e-30, 1e-30, total)
    deviation = r.std(-2).clamp_min(1e-30)
    return deviation.log().mean(-1) + math.log(2 * math.pi * math.e) / 2


def squared_correlation(images: torch.Tensor, reconstructions: torch.Tensor) -> torch.Tensor:
    """Return the squared correlation rho^2 of images and reconstructions, both centred over the images.

    Parameters
    ----------
    images:
        Images x, ``[images, pixels]``.
    reconstructions:
        Reconstructions r, ``[..., images, pixels]``.

    Returns
    -------
    torch.Tensor
        Squared correlations ``[...]`` in float64, between 0 and 1; 0 where all reconstructions are the same.
    """
    dx, dr = (t.double() - t.double().mean(-2, keepdim=True) for t in (images, reconstructions))
    product = (dx * dr).sum((-2, -1)).clamp_min(0)
    scale = dx.square().sum() * dr.square().sum((-2, -1))
    return (product.square() / scale.clamp_min(torch.finfo(scale.dtype).tiny)).clamp_max(1)


def cutoff(curve: np.ndarray, rtol: float = 0.005, atol: float = 1e-8) -> int:
    """Return the published cutoff: the zero-based index of the last value that is not close to the final one.

    Parameters
    ----------
    curve:
        Values after each layer, ``[layers]``.
    rtol, atol:
        Tolerances of `numpy.isclose`; the published ones by default.

    Returns
    -------
    int
        The index, or the length of the curve if every value is close to the final one.
    """
    differs = np.flatnonzero(~np.isclose(curve, curve[-1], rtol=rtol, atol=atol))
    return int(differs[-1]) if differs.size else len(curve)


def horizon(layers: Sequence[int], retained: Sequence[float], threshold: float) -> tuple[float, bool]:
    """Return the depth, in layers, where retained information first falls below ``threshold``.

    Parameters
    ----------
    layers:
        Increasing layer numbers, from 1. Layer 0, the image itself, retains 1 by definition.
    retained:
        Retained information after each of these layers.
    threshold:
        Threshold, between 0 and 1.

    Returns
    -------
    depth : float
        The horizon, linearly interpolated between layers; if it is censored, the last of ``layers``.
    censored : bool
        Whether retained information never falls below the threshold in these layers.
    """
    previous_layer, previous = 0, 1.0
    for layer, value in zip(layers, retained, strict=True):
        if value < threshold:
            fraction = (previous - threshold) / (previous - value)
            return previous_layer + fraction * (layer - previous_layer), False
        previous_layer, previous = layer, value
    return float(previous_layer), True
