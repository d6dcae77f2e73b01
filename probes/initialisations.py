"""The initialisations that a network may have: how the weights of its hidden layers are drawn.

Each makes weights of variance 1 of standard normal numbers; a layer then scales them by ``sigma_w / sqrt(fan_in)``, so
sigma_w means the same whatever the initialisation. All take the same normal numbers: of one seed, the biases are equal,
and the weights are as alike as they can be. A new initialisation is one function here, one entry in `INITIALISATIONS`,
and its name among the choices in `sweep/spec/network.py`.

================  ==========================================================================================
name              weights of a layer
================  ==========================================================================================
normal            independent and normal
orthogonal        a random orthogonal matrix, by Haar's measure; see `orthogonal` for layers that are not square
uniform           independent and uniform
truncated-normal  independent and normal, but none beyond two standard deviations of the normal distribution
================  ==========================================================================================

The read-out of a network is normal in any case.

References
----------
Saxe et al. 2013, arXiv:1312.6120, for orthogonal weights; Mezzadri 2006, arXiv:math-ph/0609050, for how they are drawn;
Xiao et al. 2018, arXiv:1806.05393, for orthogonal convolutions.
"""

import math
from collections.abc import Callable

import torch

from probes.threads import one_thread

NORMAL, ORTHOGONAL = "normal", "orthogonal"
_CUT = 2.0  # of a truncated normal distribution, in standard deviations of the normal one
_SHARE_KEPT = math.erf(_CUT / math.sqrt(2))  # of the normal distribution by the cut
_VARIANCE_KEPT = 1 - 2 * _CUT * math.exp(-(_CUT**2) / 2) / math.sqrt(2 * math.pi) / _SHARE_KEPT


def normal(z: torch.Tensor) -> torch.Tensor:
    """Return standard normal numbers as they are."""
    return z


def uniform(z: torch.Tensor) -> torch.Tensor:
    """Return numbers that are uniform on plus or minus sqrt(3), made of standard normal ones in place."""
    return z.mul_(math.sqrt(0.5)).erf_().mul_(math.sqrt(3))


def truncated_normal(z: torch.Tensor) -> torch.Tensor:
    """Return numbers of a normal distribution cut at two standard deviations, then scaled to variance 1, in place.

    They are made of standard normal numbers of the same quantiles.
    """
    scale = math.sqrt(2 / _VARIANCE_KEPT)
    return z.mul_(math.sqrt(0.5)).erf_().mul_(_SHARE_KEPT).erfinv_().mul_(scale)


def orthogonal(z: torch.Tensor) -> torch.Tensor:
    """Return a random orthogonal matrix, scaled so that the mean square of its entries is exactly 1.

    The matrix is that of a dense layer, ``[inputs, outputs]``, or the kernel of a convolution flattened to
    ``[out, in x kernel^2]``, as of `torch.nn.init.orthogonal_`. With a scale of sigma_w / sqrt(fan_in),

    - a layer with as many outputs as inputs is sigma_w times an orthogonal matrix, which keeps the lengths of all
      inputs and their angles, up to the factor sigma_w;
    - one with more outputs has orthogonal rows. It keeps lengths and angles, too: for every input, the mean square of
      the outputs, before bias and activation, is sigma_w^2 times that of the inputs;
    - one with fewer outputs has orthogonal columns of length sigma_w. It is a projection onto random directions: the
      mean square of the outputs is sigma_w^2 times that of the inputs on average over networks.

    A convolution maps the patch of every pixel like that, but patches overlap, so as a whole it is no isometry. The
    delta-orthogonal kernels of Xiao et al. 2018 are one, but they are zero but for the middle of the kernel, so that
    pixels never mix and weights differ in variance: such a network is a dense one of each pixel.

    Parameters
    ----------
    z:
        Standard normal numbers, ``[rows, columns]`` or with more axes, which count as columns.

    Returns
    -------
    torch.Tensor
        The matrix, in the shape of ``z``.

    Notes
    -----
    Factorised in double precision by one thread: a single bit that depended on the number of threads would grow in the
    chaotic phase.
    """
    flat = z.flatten(1)
    is_wide = len(flat) < flat.shape[1]
    with one_thread():
        factors, reflections = torch.geqrf((flat.T if is_wide else flat).double())
        signs = 1 - 2 * torch.signbit(factors.diagonal()).double()  # without them, Q is not uniformly distributed
        q = torch.linalg.householder_product(factors, reflections)
    q.mul_(signs * math.sqrt(len(q)))
    return (q.T if is_wide else q).float().reshape(z.shape)


INITIALISATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    NORMAL: normal,
    ORTHOGONAL: orthogonal,
    "uniform": uniform,
    "truncated-normal": truncated_normal,
}
