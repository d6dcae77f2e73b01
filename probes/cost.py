"""Estimates of the floating point operations of a point: for its probes, and for the training that they replace.

The multiplications and additions of matrix products are counted, and those of factorisations, by the direct probe and
of orthogonal weights: all others are few. The terms follow the code of `probes.direct`, `probes.decoders`,
`probes.initialisations` and `probes.training`.
"""

import math
from dataclasses import dataclass

from probes.custom.function import Custom, NetworkError
from probes.custom.network import gradient_images, is_nested
from probes.custom.size import size_of
from probes.datasets import Images
from probes.decoders import BATCH
from probes.gradients import image_count
from probes.initialisations import ORTHOGONAL
from probes.layers import Layer
from probes.settings import HELD_OUT_IMAGES, ProbeSettings
from probes.training.settings import TEST_IMAGES

_TYPICAL_REACH = 1.5  # last layer to which the direct probe follows a network, as a multiple of the depth
_TYPICAL_EXTRA_LAYERS = 6  # layers that are decoded in addition to `ProbeSettings.decoded_layers`


@dataclass(frozen=True)
class Cost:
    """The cost of one point, in floating point operations.

    Attributes
    ----------
    direct, cascade:
        Cost of each probe; 0 if it is not asked for.
    gradients:
        Cost of the gradients, which are always measured.
    epoch:
        Cost of one epoch of training with one learning rate, the test after it included.
    """

    direct: float
    cascade: float
    gradients: float
    epoch: float

    @property
    def probes(self) -> float:
        """The cost of all probes and the gradients together."""
        return self.direct + self.cascade + self.gradients


def cost(settings: ProbeSettings, images: Images, depth: int) -> Cost:
    """Return the estimated cost of a point of the given depth.

    Of networks that a function of the user makes, the operations of one forward pass are counted; a function that makes
    no network costs next to nothing.
    """
    if settings.network is not None:
        return _own_cost(settings, settings.network, images, depth)
    architecture = settings.architecture_for(images)
    layers = [architecture.layer(number, depth) for number in range(1, depth + 1)]
    forward = [_forward(layer) for layer in layers]
    drawing = sum(map(_drawing, layers)) if settings.initialise == ORTHOGONAL else 0.0
    n, held_out = min(settings.images, len(images.train)), min(HELD_OUT_IMAGES, len(images.test))
    w = max(layer.outputs for layer in layers)

    direct = cascade = 0.0
    if settings.probe != "cascade":
        reach = min(_TYPICAL_REACH, architecture.reach(depth) / depth)
        decoding = _decoding(settings, reach * depth, n, held_out, w, architecture.pixels)
        direct = reach * sum(forward) * (n + held_out) + decoding
        direct += (reach - 1) * drawing  # the gradients draw the layers up to the depth, which are then kept
    if settings.probe != "direct":
        steps = settings.decoder_steps(n)
        # A decoder has as many weights as its layer. Each step takes two products: the reconstruction, and the gradient
        # by the weights. (The decoder of a residual block has half as many: its cost is overestimated.)
        cascade = sum(forward) * (n + held_out) + 2 * steps * BATCH * sum(forward) + drawing
    shown = min(n, image_count(architecture, settings.activation, depth))
    train_images = min(settings.training.images, len(images.train))
    readout = _forward(architecture.readout(depth))
    # The forward pass, the gradient by the weights and that by the inputs, which the first layer does not need.
    training = train_images * (3 * (sum(forward) + readout) - forward[0])
    testing = min(TEST_IMAGES, len(images.test)) * (sum(forward) + readout)
    return Cost(direct, cascade, 3 * shown * sum(forward) + drawing, training + testing)


def _own_cost(settings: ProbeSettings, network: Custom, images: Images, depth: int) -> Cost:
    """Return the cost of a network that a function of the user makes."""
    n, held_out = min(settings.images, len(images.train)), min(HELD_OUT_IMAGES, len(images.test))
    try:
        size = size_of(network, images.shape, images.classes, depth)
    except NetworkError:
        return Cost(1.0, 0.0, 1.0, 1.0)
    reach = _TYPICAL_REACH if is_nested(network, images.shape, images.classes) else 1.0
    decoding = _decoding(settings, reach * depth, n, held_out, size.widest, images.pixels)
    shown = min(n, gradient_images([size.outputs]))
    train_images, tested = min(settings.training.images, len(images.train)), min(TEST_IMAGES, len(images.test))
    steps = settings.decoder_steps(n)
    return Cost(
        direct=0.0 if settings.probe == "cascade" else reach * size.operations * (n + held_out) + decoding,
        cascade=0.0
        if settings.probe == "direct"
        else size.operations * (n + held_out) + 2 * steps * BATCH * size.decoding,
        gradients=3 * shown * size.operations,
        epoch=(3 * train_images + tested) * size.operations,
    )


def _decoding(settings: ProbeSettings, layers: float, n: int, held_out: int, width: int, pixels: int) -> float:
    """Return the number of operations of the ridge regressions from some of the layers to the images."""
    side = min(n, width)
    products = 2 * n * side * (width + pixels) + 2 * held_out * side * (side + pixels)
    return min(settings.decoded_layers + _TYPICAL_EXTRA_LAYERS, layers) * (products + 4 / 3 * side**3)


def _forward(layer: Layer) -> float:
    """Return the number of operations that take one image through one layer."""
    positions = math.prod(layer.size) if layer.size else 1
    return 2.0 * positions * sum(math.prod(shape) for shape, _ in layer.shapes())


def _drawing(layer: Layer) -> float:
    """Return the number of operations of the factorisations that make the weights of a layer orthogonal."""
    operations = 0.0
    for shape, _ in layer.shapes():
        rows, columns = sorted((shape[0], math.prod(shape[1:])))
        operations += 4 * columns * rows**2 - 4 / 3 * rows**3  # the factors, and the matrix from its reflections
    return operations
