"""What a network makes of images, and which images its classes would like best, before and after training.

Source: arXiv:2406.12916, on the network's decisions: reconstructions layer by layer, and the cascade fed with the
one-hot of a class.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from probes.decoders import train_decoders
from probes.networks import Network
from probes.point import Point
from probes.prober import Prober
from probes.training.settings import TrainingCurve

_SHOWN = 4  # images
_LAYERS = 8  # of which they are reconstructed
_CLASSES = 10  # most that are asked for their favourites


@dataclass(frozen=True)
class State:
    """A network before or after training.

    ``reconstructions [layers, images, pixels]`` from ``layers`` (the last of them, depth + 1, is the read-out) and
    ``favourites [classes, pixels]``.
    """

    reconstructions: np.ndarray
    favourites: np.ndarray


@dataclass(frozen=True)
class Gallery:
    """Pictures of one point.

    Attributes
    ----------
    shape:
        Of an image: (height, width), (channels, height, width) or (pixels,).
    originals, labels:
        The test images shown, ``[images, pixels]``, and their classes.
    layers:
        From which they are reconstructed: 1..depth, and depth + 1 for the read-out.
    before, after:
        Training; None where the network diverges.
    curve:
        Of the training.
    """

    point: Point
    shape: tuple[int, ...]
    originals: np.ndarray
    labels: list[int]
    layers: list[int]
    before: State | None
    after: State | None
    curve: TrainingCurve


def as_shown(flat: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return images ``[..., pixels]`` of a shape as they are shown: ``[..., height, width]`` or with 3 colours behind.

    Two or four channels are no colours: their mean is shown. What has no height is one row.
    """
    images = flat.reshape(*flat.shape[:-1], *(shape if len(shape) > 1 else (1, *shape)))
    if len(shape) < 3:
        return images
    return np.moveaxis(images, -3, -1) if shape[0] == 3 else images.mean(-3)


def gallery(prober: Prober, point: Point, progress: Callable[[], None] | None = None) -> Gallery:
    """Train cascades, read-out included, for a network as it is drawn and as it is trained.

    ``progress`` is called after every epoch of the training.
    """
    images, depth = prober.images, point.depth
    training = prober.training([point], keep=True)
    while training.running:
        training.epoch()
        if progress:
            progress()
    (curve,) = training.curves()
    labels = images.test_labels[: prober.shown]
    # The first image of every class there is, so that they differ.
    first = [int((labels == c).nonzero()[0]) for c in labels.unique()][:_SHOWN]
    layers = sorted({*(round(n) for n in np.geomspace(1, depth, _LAYERS)), depth + 1})
    before, after = (_state(prober, prober.network(point, trained), first, layers) for trained in (None, curve.trained))
    return Gallery(
        point, images.shape, images.test[first].numpy(), labels[first].tolist(), layers, before, after, curve
    )


def _state(prober: Prober, network: Network, chosen: list[int], layers: list[int]) -> State | None:
    with torch.no_grad():
        cascade = prober.cascade(network, readout=True)
        train_decoders(cascade.prepare(), steps=prober.steps, precision=prober.settings.precision)
        if cascade.ended is not None:
            return None
        r = cascade.reconstructions()[[n - 1 for n in layers]][:, chosen]
        return State(r.cpu().numpy(), cascade.favourites()[:_CLASSES].cpu().numpy())
