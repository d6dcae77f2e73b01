"""Pictures of what a network sees, before and after its training.

They are the reconstructions of test images from each layer and, for each class, the image that the cascade decodes
from the one-hot of the class.

References
----------
arXiv:2406.12916, on the network's decisions.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from probes.decoders import train_decoders
from probes.networks import Network
from probes.point import Point
from probes.prober import Prober
from probes.threads import plain_modes, safe_in_forks
from probes.training.settings import TrainingCurve

_MAX_IMAGES = 4
_MAX_HIDDEN_LAYERS = 8  # that images are reconstructed from
_MAX_FAVOURITES = 10


@dataclass(frozen=True)
class State:
    """The pictures of one network, either before or after its training.

    Attributes
    ----------
    reconstructions:
        Images reconstructed from the layers of the gallery, ``[layers, images, pixels]``.
    favourites:
        The image that each class likes best, ``[classes, pixels]``; of the first ten classes at most.
    """

    reconstructions: np.ndarray
    favourites: np.ndarray


@dataclass(frozen=True)
class Gallery:
    """The pictures of one point's network, before and after its training.

    Attributes
    ----------
    point:
        The point.
    shape:
        Shape of an image: (height, width), (channels, height, width) or (pixels,).
    originals, labels:
        The test images that are reconstructed, ``[images, pixels]``, and their classes.
    layers:
        Layers from which they are reconstructed: up to eight from 1 to depth, and depth + 1, the read-out.
    before, after:
        Pictures of the network as drawn and as trained; None where the network diverges.
    curve:
        Outcome of the training.
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
    """Reshape flat images ``[..., pixels]`` for display.

    Parameters
    ----------
    flat:
        Images ``[..., pixels]``.
    shape:
        Shape of an image: (height, width), (channels, height, width) or (pixels,).

    Returns
    -------
    numpy.ndarray
        ``[..., height, width, 3]`` for three channels, which are colours; otherwise ``[..., height, width]``, the mean
        over the channels. Images without height and width are a single row.
    """
    images = flat.reshape(*flat.shape[:-1], *(shape if len(shape) > 1 else (1, *shape)))
    if len(shape) < 3:
        return images
    return np.moveaxis(images, -3, -1) if shape[0] == 3 else images.mean(-3)


@safe_in_forks
@plain_modes()
def gallery(prober: Prober, point: Point, progress: Callable[[], None] | None = None) -> Gallery:
    """Train a point's network, and the cascades of it as drawn and as trained; return their pictures.

    The cascades include the read-out. ``progress`` is called after every epoch of the network's training.
    """
    images, depth = prober.images, point.depth
    training = prober.training([point], keep=True)
    while training.running:
        training.epoch()
        if progress:
            progress()
    (curve,) = training.curves()
    labels = images.test_labels[: prober.reconstructed]
    # One image of each class that there is, so that the images differ.
    first = [int((labels == c).nonzero()[0]) for c in labels.unique()][:_MAX_IMAGES]
    layers = sorted({*(round(n) for n in np.geomspace(1, depth, _MAX_HIDDEN_LAYERS)), depth + 1})
    before, after = (_state(prober, prober.network(point, trained), first, layers) for trained in (None, curve.trained))
    return Gallery(
        point, images.shape, images.test[first].numpy(), labels[first].tolist(), layers, before, after, curve
    )


def _state(prober: Prober, network: Network, chosen: list[int], layers: list[int]) -> State | None:
    with torch.no_grad():
        cascade = prober.cascade(network, readout=True)
        train_decoders(cascade.prepare(), steps=prober.steps, precision=prober.settings.precision)
        if cascade.diverged_at is not None:
            return None
        r = cascade.reconstructions()[[n - 1 for n in layers]][:, chosen]
        return State(r.cpu().numpy(), cascade.favourites()[:_MAX_FAVOURITES].cpu().numpy())
