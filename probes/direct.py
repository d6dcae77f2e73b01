r"""The direct probe: a closed-form linear decoder from each layer straight to the image.

===========  =======================================================================  ======================
symbol       meaning                                                                  shape
===========  =======================================================================  ======================
N, M         numbers of images to fit the decoder to, and of held-out images          scalar
h            activations of a layer for the N images, minus their mean                ``[N, width]``
h'           activations for the held-out images, minus the same mean                 ``[M, width]``
x            the N images, minus their mean                                           ``[N, pixels]``
x'           held-out images, minus the same mean                                     ``[M, pixels]``
penalty      ridge penalty, a noise variance per neuron in absolute units: signals
             weaker than it count as lost                                             scalar
S            covariance ``h^T h / N``                                                 ``[width, width]``
K            Gram matrix ``h h^T / N``                                                ``[N, N]``
a            weights of the N images in the reconstruction ``a x`` of x':
             ``a = h' (S + penalty)^-1 h^T / N``, or, which is the same,
             ``a = h' h^T (K + penalty)^-1 / N``: the smaller matrix is inverted      ``[M, N]``
v            mean over held-out images of ``a a^T``: noise of the N images that is
             passed on to a reconstruction, as a share of their variance              scalar
R^2          retained information: ``1 - (mean (x' - a x)^2 / mean x'^2) / (1 + v)``  scalar
===========  =======================================================================  ======================

A decoder that is fitted to few images errs on new ones by 1 + v times the error of the best decoder (exactly so where
nothing is left to decode). R^2 is corrected by this factor: a layer that knows nothing of the image reads 0, not -v.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from probes import entropy
from probes.definition import MIN_BEST, MIN_HORIZON
from probes.networks import Walkable
from probes.products import gram, matmul
from probes.settings import CONVOLUTION_CERTAINTY, INITIAL_IMAGES, ProbeSettings

_VARIANCE_IMAGES = 256  # held-out images that v is averaged over with S: two digits of it suffice
_RATIO_BEYOND_DEPTH = 1.2  # from one decoded layer to the next, beyond the depth, where only the horizon matters
_HORIZON_TOLERANCE = 0.01  # relative width of the interval in which the horizon is interpolated
_MAX_FLOAT32_CONDITION = 1e5  # condition number up to which a matrix is factorised in float32
_EXPECTED_BISECTIONS = 4  # layers decoded to find the horizon


class DirectDecoder:
    """A decoder from the activations of any layer to one set of images.

    Parameters
    ----------
    images:
        Images ``[N, pixels]`` to fit the decoder to.
    held_out:
        Images ``[M, pixels]`` on which R^2 is computed.
    penalty:
        Ridge penalty, positive.
    """

    def __init__(self, images: torch.Tensor, held_out: torch.Tensor, penalty: float) -> None:
        mean = images.mean(0)
        self._x = (images - mean).T.contiguous()  # [pixels, N], the layout for which the products are fastest
        self._x_held_out = held_out - mean
        self._variance = self._x_held_out.double().square().mean()
        self._penalty = penalty

    def retained(self, activations: torch.Tensor) -> float:
        """Return the information that a layer retains: R^2 in the notation above, at most 1.

        Parameters
        ----------
        activations:
            Activations ``[N + M, width]`` of the layer, those of the images to fit to first.
        """
        n = self._x.shape[1]
        mean = activations[:n].mean(0)
        h, h_held_out = activations[:n] - mean, activations[n:] - mean
        # Sums in float32 are good enough if the penalty is large compared with their rounding error.
        if self._penalty < 10 * _rounding(float(h.square().sum()) / n, torch.float32):
            mean = activations[:n].double().mean(0)
            h, h_held_out = activations[:n] - mean, activations[n:] - mean
        x = self._x.to(h.dtype)
        if h.shape[1] <= n:
            h = h.T.contiguous()
            covariance = gram(h).div_(n)
            leverage = matmul(h_held_out, self._inverse(covariance))
            reconstruction = matmul(leverage, matmul(h, x.T).div_(n))
            sample = leverage[:_VARIANCE_IMAGES]
            v = float(matmul(sample, covariance).mul_(sample).sum()) / len(sample) / n
        else:
            weights = matmul(matmul(h_held_out, h.T).div_(n), self._inverse(gram(h).div_(n)))
            reconstruction = matmul(weights, x.T)
            v = float(weights.square().sum()) / len(weights)
        error = (self._x_held_out - reconstruction).double().square().mean()
        return 1 - float(error / self._variance) / (1 + v)

    def _inverse(self, matrix: torch.Tensor) -> torch.Tensor:
        """Return the inverse of ``matrix`` with the penalty on its diagonal, in the precision of ``matrix``."""
        return torch.cholesky_inverse(_factor(matrix, self._penalty)).to(matrix.dtype)


def _rounding(trace: float, dtype: torch.dtype) -> float:
    """Return the rounding error of the sums in a matrix with this trace: a few units in the last place."""
    return 4 * torch.finfo(dtype).eps * trace


def _factor(matrix: torch.Tensor, penalty: float) -> torch.Tensor:
    """Return the Cholesky factor of a matrix with the penalty and the rounding error of its sums on the diagonal.

    If the matrix is not positive definite, the rounding error was underestimated: it is raised until there is a factor.
    The factor is in float32 if the matrix is conditioned well enough for three digits of its inverse, which give six
    digits of the retained information; otherwise it is in float64.
    """
    trace = float(matrix.trace())
    rounding = _rounding(trace, matrix.dtype)
    if trace > _MAX_FLOAT32_CONDITION * penalty:  # the trace is no less than the largest eigenvalue
        matrix = matrix.double()
    while True:
        penalised = matrix.clone()
        penalised.diagonal().add_(penalty + rounding)
        factor, failed = torch.linalg.cholesky_ex(penalised)
        if not failed:
            return factor
        rounding *= 10


@dataclass
class Profile:
    """The result of the direct probe for one network.

    Attributes
    ----------
    retained:
        Retained information by layer number, for the layers that were decoded.
    horizon:
        Horizon in layers; a lower bound if it is censored.
    censored:
        Whether retained information stays above its threshold in all layers that were followed.
    diverged_at:
        First layer whose activations are not finite or too large; None if no such layer was met.
    images:
        Number of training images that the decoder was fitted to.
    """

    retained: dict[int, float] = field(default_factory=dict)
    horizon: float = 0.0
    censored: bool = False
    diverged_at: int | None = None
    images: int = 0

    def curve(self, depth: int) -> list[float]:
        """Return the retained information after layers 1..depth.

        It is NaN for layers that were not decoded, and 0 from the layer on in which the network diverged.
        """
        diverged = depth + 1 if self.diverged_at is None else self.diverged_at
        return [0.0 if layer >= diverged else self.retained.get(layer, math.nan) for layer in range(1, depth + 1)]


def follow(
    network: Walkable,
    decoder: DirectDecoder,
    inputs: torch.Tensor,
    *,
    layers: int,
    threshold: float,
    relative: bool = False,
) -> Profile:
    """Walk through a network until its horizon is known and its depth is reached.

    Parameters
    ----------
    network:
        Network to follow, as far as it reaches, which may lie beyond its depth.
    decoder:
        Decoder for its layers.
    inputs:
        Images ``[N + M, pixels]`` that ``decoder`` was made with.
    layers:
        Approximate number of layers to decode up to the depth, including those that locate the horizon. If the network
        has no more layers than this, all are decoded.
    threshold:
        Retained information at the horizon.
    relative:
        Whether the threshold is a share of the retained information of the best layer before, see `MIN_BEST`.

    Returns
    -------
    Profile
        Retained information of the decoded layers, and the horizon.

    Notes
    -----
    Up to the depth, the decoded layers are evenly spaced on a log scale, and the first and the last layer are among
    them. Beyond it, each is 20 % deeper than the one before. When retained information has fallen below the threshold
    between two of them, the interval is halved until it is one layer or 1 % long.
    """
    depth = network.point.depth
    profile = Profile()
    decoded = (0, inputs)  # number and activations of the last layer that was decoded
    planned = _planned(depth, network.reach, layers)
    target, last, lost = next(planned), 0, False
    share, best = threshold, MIN_BEST
    for number, x in network.walk(inputs):
        last = number
        if number < target:
            continue
        value = profile.retained[number] = decoder.retained(x)
        if relative and not lost:
            best = max(best, value)
            threshold = share * best
        if value < threshold and not lost:
            lost = True
            _bisect(network, decoder, profile, decoded, number, threshold)
        if lost and number >= depth:
            break
        decoded = (number, x)
        target = next(planned, number)
        if target == number:
            break
    else:
        profile.diverged_at = last + 1
        if not lost:
            _bisect(network, decoder, profile, decoded, profile.diverged_at, threshold)
    numbers = sorted(profile.retained)
    values = [profile.retained[number] for number in numbers]
    if profile.diverged_at is not None:  # from this layer on, nothing is retained
        numbers, values = [*numbers, profile.diverged_at], [*values, 0.0]
    profile.horizon, profile.censored = entropy.horizon(numbers, values, threshold)
    return profile


def _planned(depth: int, reach: int, layers: int) -> Iterator[int]:
    """Yield the numbers of the layers to decode: about ``layers`` from 1 to ``depth``, and more up to ``reach``."""
    left = depth if layers >= depth else max(2, layers - _EXPECTED_BISECTIONS)
    layer = 1
    while layer < depth:
        yield layer
        left -= 1
        # The ratio that reaches the depth with the layers that are left. The first steps are one layer long anyway.
        layer = min(depth, max(layer + 1, round(layer * (depth / layer) ** (1 / max(1, left)))))
    while layer < reach:
        yield layer
        layer = min(reach, max(layer + 1, round(layer * _RATIO_BEYOND_DEPTH)))
    yield reach


def _bisect(
    network: Walkable,
    decoder: DirectDecoder,
    profile: Profile,
    above: tuple[int, torch.Tensor],
    below: int,
    threshold: float,
) -> None:
    """Decode layers by bisection until the horizon is located, and add their retained information to the profile.

    ``above`` is the number of a layer above the threshold, with its activations; ``below`` that of a layer below it or
    of the one in which the network diverged.
    """
    low, x_low = above
    while below - low > max(1, _HORIZON_TOLERANCE * low):
        middle = (low + below) // 2
        x = next(x for number, x in network.walk(x_low, start=low) if number == middle)
        value = profile.retained[middle] = decoder.retained(x)
        if value < threshold:
            below = middle
        else:
            low, x_low = middle, x


class DirectProbe:
    """The direct probe, with as many images as the settings ask for or its certainty needs.

    Parameters
    ----------
    settings:
        Settings of the probe.
    inputs:
        Images ``[N + M, pixels]``: N to fit decoders to, of which fewer are used if they suffice, then M held-out ones.
    learn_from:
        The number N.
    """

    def __init__(self, settings: ProbeSettings, inputs: torch.Tensor, *, learn_from: int) -> None:
        self._settings, self._inputs, self._available = settings, inputs, learn_from
        self._decoders: dict[int, DirectDecoder] = {}  # by the number of images that they were fitted to

    def profile(self, network: Walkable) -> Profile:
        """Return the profile of a network.

        With a certainty, the images are doubled until horizon and last value of the profile change no more.
        """
        available = self._available
        certainty = self._settings.certainty or (CONVOLUTION_CERTAINTY if network.convolutional else None)
        count = available if certainty is None else min(INITIAL_IMAGES, available)
        previous: Profile | None = None
        while True:
            profile = self._profile(network, count)
            if count == available or _settled(previous, profile, network.point.depth, certainty or 0.0):
                return profile
            previous, count = profile, min(2 * count, available)

    def _profile(self, network: Walkable, count: int) -> Profile:
        held_out = self._inputs[self._available :]
        inputs = self._inputs if count == self._available else torch.cat([self._inputs[:count], held_out])
        if count not in self._decoders:
            self._decoders[count] = DirectDecoder(inputs[:count], held_out, self._settings.penalty)
        settings = self._settings
        profile = follow(
            network,
            self._decoders[count],
            inputs,
            layers=settings.decoded_layers,
            threshold=settings.threshold_of("direct_horizon"),
            relative=settings.definition.relative("direct_horizon"),
        )
        profile.images = count
        return profile


def _settled(old: Profile | None, new: Profile, depth: int, certainty: float) -> bool:
    """Return whether doubling the images changed horizon and last value of a profile by less than ``certainty``."""
    if old is None or old.censored != new.censored:
        return False
    horizons, last = ([max(p.horizon, MIN_HORIZON) for p in (old, new)], [p.curve(depth)[-1] for p in (old, new)])
    return abs(math.log(horizons[1] / horizons[0])) < certainty and abs(last[1] - last[0]) < certainty
