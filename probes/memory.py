"""How much memory a pack takes: an estimate before it is measured.

=========  ==============================================================  ==============
symbol     meaning                                                         unit
=========  ==============================================================  ==============
n, m       training and held-out images of the probes                      images
w          outputs of the widest hidden layer                              numbers
d          depth                                                           layers
=========  ==============================================================  ==============

Every phase of a measurement (direct probe, training of the decoders, reconstruction, training of the networks) has a
moment in which most is alive; the peak is that of the greediest phase. The terms follow the code of `direct`,
`decoders`, `cascade` and `training`; a test compares them with what is measured.
"""

import math
from dataclasses import dataclass

from probes.datasets import Images
from probes.decoders import BATCH, stack_limit
from probes.layers import Layer
from probes.networks import Architecture
from probes.settings import CASCADE_IMAGES, HELD_OUT_IMAGES, ProbeSettings
from probes.training.settings import TEST_CHUNK, TEST_IMAGES

_FLOAT, _DOUBLE = 4, 8
_LIBRARIES = 24 * 10**6  # working space of the linear algebra libraries, and the holes of the heap
# Tensors of the size of a layer's activations while one is computed: its input, what it gives and (but for dense layers
# with tanh, which is fused) what comes between; convolutions wrap their inputs and lay them out anew.
_ALIVE = {"conv": 4.4, "resnet": 5.5}


@dataclass(frozen=True)
class _Sizes:
    """What a pack of networks of one depth is made of, n, m and w as above."""

    n: int
    m: int
    w: int
    pixels: int
    layers: list[Layer]
    seen: int  # bytes of the activations of one layer
    weights: int  # bytes of those of the largest layer
    walking: int  # bytes while a layer is computed


def _sizes(settings: ProbeSettings, images: Images, depth: int) -> _Sizes:
    architecture = Architecture(settings.architecture, images.shape, images.classes, settings.width, settings.widths)
    layers = [architecture.layer(number, depth) for number in range(1, depth + 1)]
    n, m = min(settings.images, len(images.train)), min(HELD_OUT_IMAGES, len(images.test))
    w = max(layer.outputs for layer in layers)
    seen = _FLOAT * (n + m) * w
    return _Sizes(
        n,
        m,
        w,
        architecture.pixels,
        layers,
        seen,
        weights=_FLOAT * max(map(_numbers, layers)),
        walking=int(_ALIVE.get(settings.architecture, 2 if settings.activation == "tanh" else 3.5) * seen),
    )


def _numbers(layer: Layer) -> int:
    """Return how many weights a layer has."""
    return sum(math.prod(shape) for shape, _ in layer.shapes())


def peak_bytes(
    settings: ProbeSettings, images: Images, depth: int, pack: int = 1, device: str = "cpu", threads: int = 1
) -> int:
    """Return the most memory that ``pack`` points of this depth take at once, beside the data set and the process.

    In bytes. ``threads`` are torch's. Within 20 % of what is measured; more than that where the direct probe is certain
    before it has used all images.
    """
    sizes = _sizes(settings, images, depth)
    phases = [0]
    if settings.probe != "cascade":
        phases.append(_direct(sizes))
    if settings.probe != "direct":
        phases.append(_cascade(sizes, pack, device, threads))
    if settings.train != "none":
        phases.append(_training(sizes, settings, len(images.test), pack, device, threads))
    return _LIBRARIES + _FLOAT * (sizes.n + sizes.m) * sizes.pixels + max(phases)


def _direct(s: _Sizes) -> int:
    """Return what the direct probe takes, whose networks are followed one after another."""
    side = min(s.n, s.w)
    centring = 2 * _FLOAT * s.n * s.w + _FLOAT * s.m * s.w
    inverting = _FLOAT * (s.n + s.m) * s.w + (2 * _FLOAT + 3 * _DOUBLE) * side * side
    inputs = _FLOAT * (s.n + s.m) * s.pixels
    # One more layer is kept: where to go back to once the horizon has been passed.
    return inputs + s.walking + s.seen + s.weights + max(centring, inverting)


def _cascade(s: _Sizes, pack: int, device: str, threads: int) -> int:
    """Return what a pack of cascades takes: what is stored, and the training of the decoders or the reconstruction."""
    shown, depth = min(CASCADE_IMAGES, s.m), len(s.layers)
    convolutional = s.layers[0].size is not None
    decoders = [(math.prod(layer.decoder_shape()[0]), layer.outputs) for layer in s.layers]
    stored = _FLOAT * pack * sum(size + shown * outputs for size, outputs in decoders)
    largest = max(size for size, _ in decoders)
    stack = 1 if convolutional else stack_limit(device, largest, BATCH)
    # Large decoders are trained by a thread each, and one waits. (The activations that convolutions wait with are
    # fewer than those of the walk at its widest.)
    several = device == "cpu" and stack == 1 and threads > 1 and not convolutional
    under_way = min(pack * depth, threads + 1 if several else stack)
    waiting = (under_way - 1) * s.seen
    if s.layers[0].inputs != s.w and stack > 1:  # first layers have a shape of their own: theirs wait for each other
        waiting += pack * s.seen
    stacked = 2 * under_way * _FLOAT * s.n * s.w if stack > 1 else 0
    learning = under_way * _FLOAT * (5 * largest + 4 * BATCH * s.w)
    fitting = s.walking + waiting + stacked + s.weights + learning
    reconstructing = _FLOAT * (depth + 10) * shown * max(s.w, s.pixels) + 6 * _DOUBLE * shown * s.pixels
    return stored + max(fitting, reconstructing)


def _training(s: _Sizes, settings: ProbeSettings, test_images: int, pack: int, device: str, threads: int) -> int:
    """Return what the training of a pack takes.

    Weights, with Adam their moments and gradients; activations of a batch, kept for the way back; those of test images,
    of one network after another.
    """
    training, convolutional = settings.training, s.layers[0].size is not None
    networks = pack * len(training.lr)
    kinds = 4 if training.optimizer == "adam" else 1
    outputs = sum(layer.outputs for layer in s.layers) * (3 if convolutional else 1)
    batch = _FLOAT * training.batch * outputs * (1 if settings.activation == "tanh" else 2)
    together = networks if device != "cpu" or not convolutional else threads
    testing = 2 * _FLOAT * min(TEST_CHUNK, TEST_IMAGES, test_images) * s.w
    return networks * kinds * _FLOAT * sum(map(_numbers, s.layers)) + min(networks, together) * batch + testing
