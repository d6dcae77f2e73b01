r"""The backward side of a network: how a random gradient at its output arrives at every layer.

=============  ================================================================  =======================
symbol         meaning                                                           shape
=============  ================================================================  =======================
L              number of hidden layers, the depth                                scalar
n, w           number of images, and of values in a layer                        scalar
h_l            activations of hidden layer l; h_0 are the images                 ``[n, w]``
t              random target, N(0, 1/w), drawn for every image                   ``[n, w]``
f              the function whose gradients are taken: the sum of ``t h_L``      scalar
d_l            gradient of f by h_l; d_L = t                                     ``[n, w]``
delta_l        root mean square of d_l                                           scalar
G_l            gradient of ``f / sqrt(n)`` by the weights of layer l             of the weights
r              root mean square of the images, times sqrt(fan_in) of layer 1:
               the norm of what one neuron of layer 1 sees of an image           scalar
profile        ``log(\|G_l\| / r)``, with the Frobenius norm; for a residual
               block, that of both convolutions together                         ``[L]``
gradient_norm  the profile's first value, that of layer 1                        scalar
ratio          ``log(delta_0 / delta_L)``                                        scalar
whole          norm of the gradient by all weights of the network of the first   ``[L]``
               l layers: ``log(sqrt(sum of (\|G_k\| / r)^2, k = 1..l))``,
               less ``log(\|d_l\| / \|d_L\|)``
change         ``max(whole, log(delta_l / delta_0))``                            ``[L]``
=============  ================================================================  =======================

Near the critical line both numbers are near 0. In the ordered phase the gradient vanishes on its way, in the chaotic
one it explodes. Since the targets of different images are independent, the mean of ``\|G_l\|^2`` over them is the mean
over the images of the squared gradient of one image, however many images there are: so ``f / sqrt(n)``.

Training fails where the gradient by all weights together has exploded, or where that by the first layers has vanished:
so the change is the larger of the two. The first l layers are a network of their own, whose target is d_l: gradients
cannot tell its directions from random ones.

A gradient may shrink or grow beyond the range of float32. So d is divided by its norm at every layer, and the
logarithms of the norms are added up. A norm of exactly 0 counts as the smallest normal number of float32. Where
the network diverges, the target is that of the last layer with finite activations; the layers from there on, and both
statistics at least, count as `DIVERGED`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from probes import torch_private
from probes.layers import Dense, Layer, Parameters, Phi
from probes.networks import LARGEST_ACTIVATION, Architecture, Network
from probes.point import REACH
from probes.products import affine, matmul
from probes.seeds import DRAWN, generator

DIVERGED = math.log(LARGEST_ACTIVATION)  # log of a gradient where the network diverges: it has grown like the signal
MAX_IMAGES, MIN_IMAGES = 256, 16
_MAX_BYTES = 2**26  # of the activations that are kept for the backward pass, unless the fewest images take more
KEPT_BYTES = 2**28  # of weights that are kept between the passes; the weights of deeper layers are drawn twice
SAFE_NORMS = (1e-12, 1e18)  # between these, squares that vanish in single precision do not matter
_SMALLEST = torch.finfo(torch.float32).tiny
_FLOAT_BYTES = 4

# From the gradient by the outputs of a layer, which may be overwritten, to those by its weights and by its inputs.
_Backward = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Gradients:
    """The gradients of a network, as natural logarithms.

    Attributes
    ----------
    profile:
        Logarithm of the norm of the gradient by the weights of each layer, ``[depth]``.
    norm:
        That of the first layer.
    ratio:
        Logarithm of the ratio of the gradients by the images and by the outputs of the last layer.
    change:
        How much the gradients of the network of the first 1, 2, ... layers vanish or explode, ``[depth]``.
    diverged_at:
        First layer whose activations are not finite or too large; None if there is none.
    """

    profile: np.ndarray
    norm: float
    ratio: float
    change: np.ndarray
    diverged_at: int | None

    def horizon(self, threshold: float) -> tuple[float, bool]:
        """Return the depth at which gradients change by a threshold, in layers, and whether it is censored.

        Between layers it is interpolated. Beyond the depth the change is assumed to go on as in the second half of the
        network, for up to `REACH` times the depth; a horizon beyond that is censored.
        """
        depth, half = len(self.change), len(self.change) // 2
        before = np.concatenate([[0.0], self.change])  # from layer 0 on
        beyond = np.flatnonzero(before > threshold)
        if beyond.size:
            layer = int(beyond[0]) - 1
            return float(layer + (threshold - before[layer]) / (before[layer + 1] - before[layer])), False
        slope = (before[-1] - before[half]) / (depth - half)
        horizon = float(depth + (threshold - before[-1]) / slope) if slope > 0 else math.inf
        return min(horizon, float(REACH * depth)), horizon > REACH * depth


def image_bytes(architecture: Architecture, activation: str, depth: int) -> int:
    """Return the bytes of the activations of one image that are kept for the backward pass.

    A dense layer keeps its outputs, and what comes before the activation unless that is tanh. A convolution keeps its
    padded inputs, too.
    """
    tensors = {"conv": 4, "resnet": 8}.get(architecture.name, 1 if activation == "tanh" else 2)
    return tensors * _FLOAT_BYTES * sum(architecture.layer(n, depth).outputs for n in range(1, depth + 1))


def image_count(architecture: Architecture, activation: str, depth: int) -> int:
    """Return the number of images that gradients are computed of: fewer where they are large or the network is deep."""
    return max(MIN_IMAGES, min(MAX_IMAGES, _MAX_BYTES // image_bytes(architecture, activation, depth)))


def gradients(network: Network, images: torch.Tensor) -> Gradients:
    """Return the gradients of a network for a random target at its output.

    Parameters
    ----------
    network:
        Network, whose parameters are needed twice: let it keep them (`Network.keep`).
    images:
        Images ``[n, pixels]`` on the network's device.
    """
    depth = network.point.depth
    x, steps = images, list[_Backward]()
    for number in range(1, depth + 1):
        y, step = _forward(network, number, x)
        if network.diverges(y):
            break
        steps.append(step)
        x = y
    reached = len(steps)
    random = generator(network.point.seed, "target")
    d = torch.randn(x.shape, generator=random, **DRAWN).mul_(x.shape[1] ** -0.5).to(x.device)
    norms, norms_by_weights = [_norm(d)], []  # from the last layer to the images
    while steps:
        by_weights, d = steps.pop()(d.div_(norms[-1]))
        norms_by_weights.append(_norm(by_weights))
        norms.append(_norm(d))
    # All in one transfer from a GPU.
    every = (*norms, *norms_by_weights, _norm(images))
    logs = torch.stack([torch.as_tensor(n, dtype=torch.float64, device=x.device) for n in every])
    steps_back, log_by_weights, (log_images,) = np.split(logs.log().cpu().numpy(), [reached + 1, 2 * reached + 1])
    log_d = steps_back.cumsum()[::-1]  # from the images on
    fan_in = _fan_in(network.layer(1))
    log_seen = log_images + 0.5 * math.log(fan_in / images.numel())  # log r
    widths = np.array([images.shape[1], *(network.layer(n).outputs for n in range(1, reached + 1))])
    log_weights = log_d[1:] + log_by_weights[::-1] - 0.5 * math.log(len(images)) - log_seen
    return summary(depth, log_d, log_weights, widths)


def summary(depth: int, log_d: np.ndarray, log_weights: np.ndarray, widths: np.ndarray) -> Gradients:
    """Return the gradients of a network from the logarithms of their norms.

    Parameters
    ----------
    depth:
        Number of hidden layers.
    log_d:
        Logarithms of the norms of d at the images and at the layers 1..reached, in the notation above; further layers
        have diverged.
    log_weights:
        ``log(|G| / r)`` of the layers 1..reached.
    widths:
        Numbers of values at the images and at these layers.
    """
    reached = len(log_weights)
    profile, change = np.full(depth, DIVERGED), np.full(depth, DIVERGED)
    profile[:reached] = log_weights
    log_delta = log_d - 0.5 * np.log(widths)
    norm, ratio = float(profile[0]), float(log_delta[0] - log_delta[-1])
    whole = np.logaddexp.accumulate(2 * log_weights) / 2 - (log_d[1:] - log_d[-1])
    change[:reached] = np.maximum(whole, log_delta[1:] - log_delta[0])
    if reached == depth:
        return Gradients(profile, norm, ratio, change, None)
    return Gradients(profile, max(norm, DIVERGED), max(ratio, DIVERGED), change, reached + 1)


def _norm(x: torch.Tensor) -> torch.Tensor | float:
    """Return the Frobenius norm of a tensor, at least the smallest normal number of float32.

    Squares that vanish or overflow in single precision do not in double precision. On a GPU the norm stays there.
    """
    if x.is_cuda:
        return torch.linalg.vector_norm(x, dtype=torch.float64).clamp_min(_SMALLEST)
    norm = torch.linalg.vector_norm(x).item()  # three times as fast as in double precision
    if not SAFE_NORMS[0] < norm < SAFE_NORMS[1]:
        norm = torch.linalg.vector_norm(x, dtype=torch.float64).item()
    return max(norm, _SMALLEST)


def _fan_in(layer: Layer) -> int:
    (shape, outputs), *_ = layer.shapes()
    return math.prod(shape) // outputs


def _forward(network: Network, number: int, x: torch.Tensor) -> tuple[torch.Tensor, _Backward]:
    """Return the outputs of a hidden layer for inputs ``x``, and the step back through it."""
    layer = network.layer(number)
    if not isinstance(layer, Dense):
        return _by_autograd(layer, x, network.parameters(number), network.phi)
    if network.phi is torch.tanh:
        h = layer.apply(x, network.parameters(number), torch.tanh)
        before = lambda d: torch_private.tanh_backward(d, h, d)  # noqa: E731
    else:
        z = affine(x, *network.parameters(number)).requires_grad_()
        with torch.enable_grad():
            kept = network.phi(z)
        h = kept.detach()
        before = lambda d: torch.autograd.grad(kept, z, d)[0]  # noqa: E731

    def backward(d: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        e = before(d)
        return matmul(x.T, e), matmul(e, network.parameters(number)[0].T)

    return h, backward


def _by_autograd(layer: Layer, x: torch.Tensor, parameters: Parameters, phi: Phi) -> tuple[torch.Tensor, _Backward]:
    """Return the outputs of a layer and the step back through it, which autograd takes."""
    x = x.detach().requires_grad_()
    parameters = [p.detach().requires_grad_(i % 2 == 0) for i, p in enumerate(parameters)]  # no gradient by biases
    with torch.enable_grad():
        y = layer.apply(x, parameters, phi)

    def backward(d: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        *by_weights, by_x = torch.autograd.grad(y, [*parameters[::2], x], d)
        return torch.cat([g.flatten() for g in by_weights]), by_x

    return y.detach(), backward
