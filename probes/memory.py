"""An estimate of the memory that measuring a pack of points takes.

=========  ==============================================================  ==============
symbol     meaning                                                         unit
=========  ==============================================================  ==============
n          training images of the probes                                   images
m          held-out images of the probes                                   images
w          outputs of the widest hidden layer                              numbers
=========  ==============================================================  ==============

Every phase of a measurement (gradients, direct probe, training of the decoders, reconstruction, training of the
networks) has a moment at which it holds most tensors; the estimate is that of the phase which needs most. The terms
follow the code of `gradients`, `direct`, `decoders`, `cascade` and `training`; a test compares them with measured
peaks.
"""

import math
from dataclasses import dataclass

from probes.custom.function import Custom, NetworkError
from probes.custom.network import KEPT_OUTPUT_BYTES, gradient_images, is_nested, layers_ahead
from probes.custom.size import size_of
from probes.datasets import Images
from probes.decoders import BATCH, stack_limit
from probes.gradients import KEPT_BYTES, image_bytes, image_count
from probes.initialisations import ORTHOGONAL
from probes.layers import Layer
from probes.point import REACH
from probes.settings import CASCADE_IMAGES, HELD_OUT_IMAGES, ProbeSettings
from probes.training.settings import TEST_CHUNK, TEST_IMAGES

_FLOAT_BYTES, _DOUBLE_BYTES = 4, 8
_LIBRARY_BYTES = 24 * 10**6  # working space of the linear algebra libraries, and holes in the heap
# How many tensors of the size of a layer's activations exist while one is computed: its input, its output and (except
# for dense layers with tanh, which is fused) its pre-activations; convolutions also pad their input and copy it.
_LIVE_TENSORS = {"conv": 4.4, "resnet": 5.5}
_HOLES = 1.7  # in the heap of a thread, for what is kept there of outputs of this many bytes or more
_HOLED_BYTES = 16 * 10**6
_FACTORISATION_BYTES = 22  # for each weight of an orthogonal matrix while it is drawn, beside the weight itself


@dataclass(frozen=True)
class _Sizes:
    """The sizes that the terms of the estimate are made of; n, m and w as in the notation above."""

    n: int
    m: int
    w: int
    pixels: int
    layers: list[Layer]
    activations: int  # bytes of the activations of one layer
    weights: int  # bytes of the weights of the largest layer
    drawing: int  # bytes of the weights of the largest layer while they are drawn
    kept: int  # bytes of the weights that the gradients and the direct probe keep
    gradients: int  # bytes of the activations that are kept for the backward pass
    forward: int  # bytes of all activations that exist while a layer is computed


def _sizes(settings: ProbeSettings, images: Images, depth: int) -> _Sizes:
    architecture = settings.architecture_for(images)
    layers = [architecture.layer(number, depth) for number in range(1, depth + 1)]
    n, m = min(settings.images, len(images.train)), min(HELD_OUT_IMAGES, len(images.test))
    w = max(layer.outputs for layer in layers)
    activations, weights = _FLOAT_BYTES * (n + m) * w, _FLOAT_BYTES * max(map(_weight_count, layers))
    largest = max(math.prod(shape) for layer in layers for shape, _ in layer.shapes())
    return _Sizes(
        n,
        m,
        w,
        architecture.pixels,
        layers,
        activations,
        weights=weights,
        drawing=weights + (_FACTORISATION_BYTES * largest if settings.initialise == ORTHOGONAL else 0),
        kept=min(KEPT_BYTES, _FLOAT_BYTES * sum(map(_weight_count, layers))),
        gradients=min(n, image_count(architecture, settings.activation, depth))
        * image_bytes(architecture, settings.activation, depth),
        forward=int(
            _LIVE_TENSORS.get(settings.architecture, 2 if settings.activation == "tanh" else 3.5) * activations
        ),
    )


def _weight_count(layer: Layer) -> int:
    """Return how many weights a layer has, without its biases."""
    return sum(math.prod(shape) for shape, _ in layer.shapes())


def peak_bytes(
    settings: ProbeSettings, images: Images, depth: int, pack: int = 1, device: str = "cpu", threads: int = 1
) -> int:
    """Return the peak memory of measuring a pack, in bytes, without the data set and the process itself.

    The estimate is within 20 % of measured peaks. It is further above them where the direct probe stops before it has
    used all images, and of networks of the user: up to three quarters.

    Parameters
    ----------
    settings, images:
        How the points are measured, and on which data set.
    depth:
        Depth of every point.
    pack:
        Number of points.
    device:
        Type of the device: ``cpu`` or ``cuda``.
    threads:
        Number of torch's threads.
    """
    if settings.network is not None:
        return _own(settings, settings.network, images, depth, pack, threads)
    sizes = _sizes(settings, images, depth)
    phases = [sizes.kept + (0 if device == "cpu" else sizes.gradients) + max(2 * sizes.weights, sizes.drawing)]
    if settings.probe != "cascade":
        phases.append(_direct(sizes))
    if settings.probe != "direct":
        phases.append(_cascade(sizes, pack, device, threads))
    if settings.train != "none":
        phases.append(_training(sizes, settings, len(images.test), pack, device, threads))
    # What the gradients have freed are holes in the heap, into which larger tensors do not fit.
    holes = sizes.gradients if device == "cpu" else 0
    return _LIBRARY_BYTES + _FLOAT_BYTES * (sizes.n + sizes.m) * sizes.pixels + holes + max(phases)


def _own(settings: ProbeSettings, network: Custom, images: Images, depth: int, pack: int, threads: int) -> int:
    """Return the bytes of measuring networks that a function of the user makes: probed one by one, trained together.

    What happens between its layers is unknown: the estimate is that of layers each of which has two tensors of the size
    of its outputs under way. The module runs in a thread, whose heap the C library makes of parts of 64 MB: the larger
    its outputs, the fewer of those that were freed have their place taken by others. These holes are counted as they
    were measured with glibc 2.36: a pack of dense networks with outputs of 16 MB held 1.6 to 2.2 times what was in use.
    """
    n, m = min(settings.images, len(images.train)), min(HELD_OUT_IMAGES, len(images.test))
    try:
        size = size_of(network, images.shape, images.classes, depth)
    except NetworkError:
        return _LIBRARY_BYTES
    nested = is_nested(network, images.shape, images.classes)
    parameters = _FLOAT_BYTES * size.parameters * (1 + (REACH if nested else 0))
    activations = _FLOAT_BYTES * (n + m) * size.widest
    side = min(n, size.widest)
    centring = 2 * _FLOAT_BYTES * n * size.widest + _FLOAT_BYTES * m * size.widest
    inverting = activations + (2 * _FLOAT_BYTES + 3 * _DOUBLE_BYTES) * side * side
    held = min(KEPT_OUTPUT_BYTES + activations, _FLOAT_BYTES * (n + m) * size.outputs * (REACH if nested else 1))
    holes = _HOLES * held * min(1, activations / _HOLED_BYTES)
    direct = held + holes + (2 + layers_ahead(activations)) * activations + max(centring, inverting)
    gradients = 2 * _DOUBLE_BYTES * gradient_images([size.outputs]) * size.outputs
    inputs = 2 * _FLOAT_BYTES * (n + m) * images.pixels
    phases = [gradients]
    if settings.probe != "cascade":
        phases.append(direct)
    if settings.probe != "direct":
        shown = min(CASCADE_IMAGES, m)
        stored = _FLOAT_BYTES * pack * (size.decoders + shown * size.outputs)
        learning = _FLOAT_BYTES * (5 * size.largest_decoder + 4 * BATCH * size.widest)
        fitting = (2 + layers_ahead(activations) + threads) * activations + (threads + 1) * learning
        reconstructing = _FLOAT_BYTES * (depth + 10) * shown * max(size.widest, images.pixels)
        phases.append(stored + holes + max(fitting, reconstructing))
    probing = parameters + max(phases)
    # Parameters with their gradients or moments, and the outputs of a batch with what leads to them.
    training, networks = settings.training, pack * len(settings.training.lr)
    stored = _FLOAT_BYTES * size.parameters * (4 if training.optimizer == "adam" else 2)
    trained = networks * (stored + 3 * _FLOAT_BYTES * training.batch * size.outputs)
    return int(_LIBRARY_BYTES + inputs + max(probing, trained if settings.train != "none" else 0))


def _direct(s: _Sizes) -> int:
    """Return the bytes of the direct probe, which follows one network at a time."""
    side = min(s.n, s.w)
    centring = 2 * _FLOAT_BYTES * s.n * s.w + _FLOAT_BYTES * s.m * s.w
    inverting = _FLOAT_BYTES * (s.n + s.m) * s.w + (2 * _FLOAT_BYTES + 3 * _DOUBLE_BYTES) * side * side
    inputs = _FLOAT_BYTES * (s.n + s.m) * s.pixels
    # The activations of one more layer are kept: from there the search for the horizon walks on.
    walking = max(s.forward + s.weights + max(centring, inverting), s.activations + s.drawing)
    return inputs + s.kept + s.activations + walking


def _cascade(s: _Sizes, pack: int, device: str, threads: int) -> int:
    """Return the bytes of a pack of cascades: what they store, and the training of decoders or the reconstruction."""
    shown, depth = min(CASCADE_IMAGES, s.m), len(s.layers)
    convolutional = s.layers[0].size is not None
    decoders = [(math.prod(layer.decoder_shape()[0]), layer.outputs) for layer in s.layers]
    stored = _FLOAT_BYTES * pack * sum(size + shown * outputs for size, outputs in decoders)
    largest = max(size for size, _ in decoders)
    stack = 1 if convolutional else stack_limit(device, largest, BATCH)
    # Large decoders have a thread each, and one decoder waits. (Convolutions that wait hold fewer activations than
    # `forward` counts.)
    threaded = device == "cpu" and stack == 1 and threads > 1 and not convolutional
    under_way = min(pack * depth, threads + 1 if threaded else stack)
    waiting = (under_way - 1) * s.activations
    # The decoders of first layers have a shape of their own and wait for each other.
    if s.layers[0].inputs != s.w and stack > 1:
        waiting += pack * s.activations
    stacked = 2 * under_way * _FLOAT_BYTES * s.n * s.w if stack > 1 else 0
    learning = under_way * _FLOAT_BYTES * (5 * largest + 4 * BATCH * s.w)
    fitting = max(s.forward + s.weights, s.activations + s.drawing) + waiting + stacked + learning
    reconstructing = _FLOAT_BYTES * (depth + 10) * shown * max(s.w, s.pixels) + 6 * _DOUBLE_BYTES * shown * s.pixels
    return stored + max(fitting, reconstructing)


def _training(s: _Sizes, settings: ProbeSettings, test_images: int, pack: int, device: str, threads: int) -> int:
    """Return the bytes of the training of a pack of networks.

    They are the weights and, with Adam, their gradients and two moments; the activations of a batch, kept for the
    backward pass; and the activations of the test images of one network at a time.
    """
    training, convolutional = settings.training, s.layers[0].size is not None
    networks = pack * len(training.lr)
    kinds = 4 if training.optimizer == "adam" else 1
    outputs = sum(layer.outputs for layer in s.layers) * (3 if convolutional else 1)
    batch = _FLOAT_BYTES * training.batch * outputs * (1 if settings.activation == "tanh" else 2)
    together = networks if device != "cpu" or not convolutional else threads
    testing = 2 * _FLOAT_BYTES * min(TEST_CHUNK, TEST_IMAGES, test_images) * s.w
    stored = networks * kinds * _FLOAT_BYTES * sum(map(_weight_count, s.layers))
    return stored + max(min(networks, together) * batch + testing, s.drawing - s.weights)
