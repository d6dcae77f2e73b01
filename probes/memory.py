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

from probes.datasets import Images
from probes.decoders import BATCH, stack_limit
from probes.networks import Architecture
from probes.settings import CASCADE_IMAGES, HELD_OUT_IMAGES, ProbeSettings
from probes.training.settings import TEST_CHUNK, TEST_IMAGES

__all__ = ["peak_bytes"]

_FLOAT, _DOUBLE = 4, 8
_LIBRARIES = 24 * 10**6  # working space of the linear algebra libraries, and the holes of the heap
# Tensors of the size of a layer's activations while one is computed: its input, what it gives and (but for dense layers
# with tanh, which is fused) what comes between; convolutions wrap their inputs and lay them out anew.
_ALIVE = {"conv": 4.4, "resnet": 5.5}


def peak_bytes(
    settings: ProbeSettings, images: Images, depth: int, pack: int = 1, device: str = "cpu", threads: int = 1
) -> int:
    """Most memory that ``pack`` points of this depth take at once, in bytes, beside the data set and the process.

    ``threads`` are torch's. Within 20 % of what is measured; more than that where the direct probe is certain before it
    has used all images.
    """
    architecture = Architecture(settings.architecture, images.shape, images.classes, settings.width, settings.widths)
    layers = [architecture.layer(number, depth) for number in range(1, depth + 1)]
    n = min(settings.images, len(images.train))
    m = min(HELD_OUT_IMAGES, len(images.test))
    w = max(layer.outputs for layer in layers)
    pixels, convolutional = architecture.pixels, architecture.convolutional
    seen = _FLOAT * (n + m) * w  # activations of one layer
    weights = _FLOAT * max(sum(math.prod(shape) for shape, _ in layer.shapes()) for layer in layers)
    walking = int(_ALIVE.get(settings.architecture, 2 if settings.activation == "tanh" else 3.5) * seen)
    inputs = _FLOAT * (n + m) * pixels

    direct = 0
    if settings.probe != "cascade":
        side = min(n, w)
        centring = 2 * _FLOAT * n * w + _FLOAT * m * w
        # One more layer is kept: where to go back to once the horizon has been passed.
        inverting = _FLOAT * (n + m) * w + (2 * _FLOAT + 3 * _DOUBLE) * side * side
        direct = inputs + walking + seen + weights + max(centring, inverting)

    stored = cascade = reconstructing = 0
    if settings.probe != "direct":
        shown = min(CASCADE_IMAGES, m)
        decoders = [(math.prod(layer.decoder_shape()[0]), layer.outputs) for layer in layers]
        stored = _FLOAT * pack * sum(size + shown * outputs for size, outputs in decoders)
        largest = max(size for size, _ in decoders)
        stack = 1 if convolutional else stack_limit(device, largest, BATCH)
        # Large decoders are trained by a thread each, and one waits. (The activations that convolutions wait with are
        # fewer than those of the walk at its widest.)
        several = device == "cpu" and stack == 1 and threads > 1 and not convolutional
        under_way = min(pack * depth, threads + 1 if several else stack)
        waiting = (under_way - 1) * seen
        if layers[0].inputs != w and stack > 1:  # first layers have a shape of their own: theirs wait for each other
            waiting += pack * seen
        stacked = 2 * under_way * _FLOAT * n * w if stack > 1 else 0
        learning = under_way * _FLOAT * (5 * largest + 4 * BATCH * w)
        cascade = walking + waiting + stacked + weights + learning
        reconstructing = _FLOAT * (depth + 10) * shown * max(w, pixels) + 6 * _DOUBLE * shown * pixels

    training = 0
    if settings.train != "none":
        parameters = sum(math.prod(shape) for layer in layers for shape, _ in layer.shapes())
        # Weights, with Adam their moments and gradients; activations of a batch, kept for the way back; those of test
        # images, of one network after another.
        networks = pack * len(settings.training.lr)
        kinds = 4 if settings.training.optimizer == "adam" else 1
        outputs = sum(layer.outputs for layer in layers) * (3 if convolutional else 1)
        batch = _FLOAT * settings.training.batch * outputs * (1 if settings.activation == "tanh" else 2)
        together = networks if device != "cpu" or not convolutional else threads
        testing = 2 * _FLOAT * min(TEST_CHUNK, TEST_IMAGES, len(images.test)) * w
        training = networks * kinds * _FLOAT * parameters + min(networks, together) * batch + testing
    return _LIBRARIES + inputs + max(direct, stored + max(cascade, reconstructing), training)
