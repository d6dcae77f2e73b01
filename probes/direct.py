r"""The direct probe: a closed-form linear decoder from each layer straight to the image.

===========  =======================================================================  ===================
symbol       meaning                                                                  shape
===========  =======================================================================  ===================
h            activations of a layer, centred                                          ``[images, width]``
x            images, centred on the mean training image                               ``[images, pixels]``
penalty      ridge penalty, a noise variance per neuron in absolute units: signals
             weaker than it count as lost
S            covariance ``h^T h / images``                                            ``[width, width]``
P            ``(S + penalty)^-1``                                                     ``[width, width]``
A            decoder ``P h^T x / images``                                             ``[width, pixels]``
v            variance of A as a share of the noise: ``tr(P S P S') / images``, S'     scalar
             the covariance of held-out activations
===========  =======================================================================  ===================

Retained information is the R^2 of ``h A`` on held-out images. A decoder fitted to few images errs on new ones by
1 + v times the error of the best decoder (exactly so where nothing is left to decode); that factor is divided out, so
that a layer that knows nothing reads 0 and not -v.
"""

import torch

__all__ = ["DirectDecoder"]

_VARIANCE_IMAGES = 256  # held-out images that v is averaged over: it needs two digits, not four


class DirectDecoder:
    """Decodes the activations of any layer to one set of images.

    Parameters
    ----------
    images, held_out:
        ``[N, pixels]`` to fit on and ``[M, pixels]`` to judge by.
    penalty:
        Ridge penalty, positive.
    """

    def __init__(self, images: torch.Tensor, held_out: torch.Tensor, penalty: float) -> None:
        mean = images.mean(0)
        self._x = images - mean
        self._x_held_out = held_out - mean
        self._variance = self._x_held_out.double().square().mean()
        self._penalty = penalty

    def retained(self, activations: torch.Tensor) -> float:
        """Corrected held-out R^2 from activations ``[N + M, width]`` (fitting images first)."""
        n = len(self._x)
        mean = activations[:n].mean(0)
        h, h_held_out = activations[:n] - mean, activations[n:] - mean
        # The sums are safe in float32; the inverse is not, where a wide spectrum meets a small penalty.
        covariance = (h.T @ h).div_(n)
        inverse = torch.cholesky_inverse(_factor(covariance.double(), self._penalty))
        decoder = (inverse @ (h.T @ self._x).div_(n).double()).to(h.dtype)
        error = (self._x_held_out - h_held_out @ decoder).double().square().mean()
        leverage = h_held_out[:_VARIANCE_IMAGES] @ inverse.to(h.dtype)
        v = float((leverage @ covariance).mul_(leverage).sum()) / len(leverage) / n
        return 1 - float(error / self._variance) / (1 + v)


def _factor(covariance: torch.Tensor, penalty: float) -> torch.Tensor:
    """Cholesky factor of ``covariance + penalty``, where the noise of the float32 sums counts as noise, too.

    That noise is a few units in the last place of the largest variance; where a factor says it is more, it is.
    """
    identity = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    rounding = 4 * torch.finfo(torch.float32).eps * covariance.trace()
    while True:
        factor, failed = torch.linalg.cholesky_ex(covariance + (penalty + rounding) * identity)
        if not failed:
            return factor
        rounding *= 10
