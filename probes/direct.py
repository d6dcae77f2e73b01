r"""The direct probe: a closed-form linear decoder from each layer straight to the image.

===========  =======================================================================  ===================
symbol       meaning                                                                  shape
===========  =======================================================================  ===================
h            activations of a layer, centred; h' those of a held-out image            ``[images, width]``
x            images, centred on the mean training image                               ``[images, pixels]``
penalty      ridge penalty, a noise variance per neuron in absolute units: signals
             weaker than it count as lost
S            covariance ``h^T h / images``                                            ``[width, width]``
K            Gram matrix ``h h^T / images``                                           ``[images, images]``
a            weights of the images in the answer ``a x`` to h':
             ``h' (S + penalty)^-1 h^T / images``, or the same number
             ``h' h^T (K + penalty)^-1 / images``, whichever matrix is smaller        ``[held out, images]``
v            mean over h' of ``a a^T``: the share of the noise that the answer keeps  scalar
===========  =======================================================================  ===================

Retained information is the R^2 of ``a x`` on held-out images. A decoder fitted to few images errs on new ones by
1 + v times the error of the best decoder (exactly so where nothing is left to decode); that factor is divided out, so
that a layer that knows nothing reads 0 and not -v.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from probes import entropy
from probes.definition import MIN_HORIZON
from probes.networks import Network
from probes.products import gram, matmul
from probes.settings import CONVOLUTION_CERTAINTY, INITIAL_IMAGES, ProbeSettings

_VARIANCE_IMAGES = 256  # held-out images that v is averaged over: it needs two digits, not four
_STRIDE = 1.2  # beyond the depth asked, where nothing but the horizon is of interest
_SURE = 0.01  # relative width of the interval in which a horizon may be interpolated
_WELL_CONDITIONED = 1e5  # largest eigenvalue over smallest
_EXPECTED_BISECTIONS = 4  # to find the horizon


class DirectDecoder:
    """A decoder from the activations of any layer to one set of images.

    Parameters
    ----------
    images, held_out:
        ``[N, pixels]`` to fit on and ``[M, pixels]`` to judge by.
    penalty:
        Ridge penalty, positive.
    """

    def __init__(self, images: torch.Tensor, held_out: torch.Tensor, penalty: float) -> None:
        mean = images.mean(0)
        self._x = (images - mean).T.contiguous()  # as the products like it best
        self._x_held_out = held_out - mean
        self._variance = self._x_held_out.double().square().mean()
        self._penalty = penalty

    def retained(self, activations: torch.Tensor) -> float:
        """Return the corrected held-out R^2 from activations ``[N + M, width]`` (fitting images first)."""
        n = self._x.shape[1]
        mean = activations[:n].mean(0)
        h, h_held_out = activations[:n] - mean, activations[n:] - mean
        # Sums in float32 are as good as the penalty is large beside their rounding.
        if self._penalty < 10 * _rounding(float(h.square().sum()) / n, torch.float32):
            mean = activations[:n].double().mean(0)
            h, h_held_out = activations[:n] - mean, activations[n:] - mean
        x = self._x.to(h.dtype)
        if h.shape[1] <= n:
            h = h.T.contiguous()
            covariance = gram(h).div_(n)
            leverage = matmul(h_held_out, self._inverse(covariance))
            answer = matmul(leverage, matmul(h, x.T).div_(n))
            some = leverage[:_VARIANCE_IMAGES]
            v = float(matmul(some, covariance).mul_(some).sum()) / len(some) / n
        else:
            weights = matmul(matmul(h_held_out, h.T).div_(n), self._inverse(gram(h).div_(n)))
            answer = matmul(weights, x.T)
            v = float(weights.square().sum()) / len(weights)
        error = (self._x_held_out - answer).double().square().mean()
        return 1 - float(error / self._variance) / (1 + v)

    def _inverse(self, matrix: torch.Tensor) -> torch.Tensor:
        """Return the inverse of ``matrix + penalty``, in the precision of ``matrix``."""
        return torch.cholesky_inverse(_factor(matrix, self._penalty)).to(matrix.dtype)


def _rounding(trace: float, dtype: torch.dtype) -> float:
    """Return the rounding noise of sums whose squares add up to ``trace``: a few units in the last place."""
    return 4 * torch.finfo(dtype).eps * trace


def _factor(matrix: torch.Tensor, penalty: float) -> torch.Tensor:
    """Return the Cholesky factor of ``matrix + penalty``; the rounding of the sums counts as noise, too.

    Where a factor says that it is more than a few units in the last place, it is. In float32 as long as the matrix is
    conditioned well enough for three digits of its inverse, which are six of the retained information.
    """
    trace = float(matrix.trace())
    rounding = _rounding(trace, matrix.dtype)
    if trace > _WELL_CONDITIONED * penalty:
        matrix = matrix.double()
    while True:
        raised = matrix.clone()
        raised.diagonal().add_(penalty + rounding)
        factor, failed = torch.linalg.cholesky_ex(raised)
        if not failed:
            return factor
        rounding *= 10


@dataclass
class Profile:
    """The result of the direct probe for one network.

    Attributes
    ----------
    retained:
        Retained information by layer, for the layers decoded.
    horizon, censored:
        In layers; a lower bound if censored.
    ended:
        The first layer whose activations are out of the finite range, if it was met.
    images:
        Training images used.
    """

    retained: dict[int, float] = field(default_factory=dict)
    horizon: float = 0.0
    censored: bool = False
    ended: int | None = None
    images: int = 0

    def curve(self, depth: int) -> list[float]:
        """Return the profile of layers 1..depth: NaN where not decoded, 0 where the network had diverged."""
        lost = depth + 1 if self.ended is None else self.ended
        return [0.0 if layer >= lost else self.retained.get(layer, math.nan) for layer in range(1, depth + 1)]


def follow(network: Network, decoder: DirectDecoder, inputs: torch.Tensor, *, layers: int, threshold: float) -> Profile:
    """Walk through a network until its horizon is known and its depth is reached.

    Up to the depth, layers are decoded that are evenly spaced on a log scale, the first and the last among them; beyond
    it (the network could be deeper: `Architecture.reach`) in steps of 20 %. Where retained information falls below
    ``threshold`` between two of them, the interval is halved until it is one layer or 1 % long.

    Parameters
    ----------
    network, decoder:
        What is followed, and what decodes its layers.
    inputs:
        ``[N + M, pixels]``, the images that ``decoder`` was made of.
    layers:
        How many to decode up to the depth, about, the halvings included; all if it has no more.
    threshold:
        Retained information at the horizon.
    """
    depth = network.point.depth
    profile = Profile()
    before = (0, inputs)  # the last layer decoded, and its activations
    planned = _planned(depth, network.architecture.reach(depth), layers)
    target, last, lost = next(planned), 0, False
    for number, x in network.walk(inputs):
        last = number
        if number < target:
            continue
        value = profile.retained[number] = decoder.retained(x)
        if value < threshold and not lost:
            lost = True
            _bisect(network, decoder, profile, before, number, threshold)
        if lost and number >= depth:
            break
        before = (number, x)
        target = next(planned, number)
        if target == number:
            break
    else:
        profile.ended = last + 1
        if not lost:
            _bisect(network, decoder, profile, before, profile.ended, threshold)
    seen = sorted(profile.retained)
    values = [profile.retained[layer] for layer in seen]
    if profile.ended is not None:  # from there on, nothing is retained
        seen, values = [*seen, profile.ended], [*values, 0.0]
    profile.horizon, profile.censored = entropy.horizon(seen, values, threshold)
    return profile


def _planned(depth: int, reach: int, layers: int) -> Iterator[int]:
    """Return the layers to decode, from 1 over ``depth`` to ``reach``."""
    left = depth if layers >= depth else max(2, layers - _EXPECTED_BISECTIONS)
    layer = 1
    while layer < depth:
        yield layer
        left -= 1
        # The ratio that leads from here to the depth with what is left; the first steps are of one layer anyway.
        layer = min(depth, max(layer + 1, round(layer * (depth / layer) ** (1 / max(1, left)))))
    while layer < reach:
        yield layer
        layer = min(reach, max(layer + 1, round(layer * _STRIDE)))
    yield reach


def _bisect(
    network: Network,
    decoder: DirectDecoder,
    profile: Profile,
    before: tuple[int, torch.Tensor],
    after: int,
    threshold: float,
) -> None:
    """Decode between layer ``before``, above the threshold, and ``after``, below it; adds to ``profile.retained``."""
    low, x_low = before
    while after - low > max(1, _SURE * low):
        middle = (low + after) // 2
        x = next(x for number, x in network.walk(x_low, start=low) if number == middle)
        value = profile.retained[middle] = decoder.retained(x)
        if value < threshold:
            after = middle
        else:
            low, x_low = middle, x


class DirectProbe:
    """The direct probe, with as many images as the settings ask for or its certainty needs.

    Parameters
    ----------
    settings:
        Of the probe.
    inputs:
        Images ``[N + M, pixels]``: N to fit on, or as few of them as suffice, then M to judge by.
    learn_from:
        N.
    """

    def __init__(self, settings: ProbeSettings, inputs: torch.Tensor, *, learn_from: int) -> None:
        self._settings, self._inputs, self._available = settings, inputs, learn_from
        self._decoders: dict[int, DirectDecoder] = {}  # by how many images they were fitted to

    def profile(self, network: Network) -> Profile:
        """Return the profile of a network."""
        available = self._available
        certainty = self._settings.certainty or (CONVOLUTION_CERTAINTY if network.architecture.convolutional else None)
        count = available if certainty is None else min(INITIAL_IMAGES, available)
        previous: Profile | None = None
        while True:
            profile = self._profile(network, count)
            if count == available or _settled(previous, profile, network.point.depth, certainty or 0.0):
                return profile
            previous, count = profile, min(2 * count, available)

    def _profile(self, network: Network, count: int) -> Profile:
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
        )
        profile.images = count
        return profile


def _settled(old: Profile | None, new: Profile, depth: int, certainty: float) -> bool:
    """Return whether doubling the number of images made no difference."""
    if old is None or old.censored != new.censored:
        return False
    horizons, last = ([max(p.horizon, MIN_HORIZON) for p in (old, new)], [p.curve(depth)[-1] for p in (old, new)])
    return abs(math.log(horizons[1] / horizons[0])) < certainty and abs(last[1] - last[0]) < certainty
