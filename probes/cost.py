"""Numbers of floating point operations of a point: of its probes, and of the training that they replace.

Multiplications and additions of the matrix products (and of the factorisations of the direct probe), which are nearly
all there are; the terms follow the code of `direct`, `decoders` and `training`.
"""

import math
from dataclasses import dataclass

from probes.datasets import Images
from probes.decoders import BATCH
from probes.layers import Layer
from probes.networks import Architecture
from probes.settings import HELD_OUT_IMAGES, MIN_STEPS, ProbeSettings
from probes.training.settings import TEST_IMAGES

_BEYOND = 1.5  # times the depth: how deep the direct probe follows a network, typically
_TYPICAL_BISECTIONS = 6  # layers decoded beside those that were asked for, typically


@dataclass(frozen=True)
class Cost:
    """Numbers of floating point operations of one point.

    ``direct`` and ``cascade`` are 0 where they are not asked for; ``epoch`` is one of training, of one learning rate.
    """

    direct: float
    cascade: float
    epoch: float

    @property
    def probes(self) -> float:
        """The sum over all probes."""
        return self.direct + self.cascade


def cost(settings: ProbeSettings, images: Images, depth: int) -> Cost:
    """Return the numbers of operations of a point of this depth."""
    architecture = Architecture(settings.architecture, images.shape, images.classes, settings.width, settings.widths)
    layers = [architecture.layer(number, depth) for number in range(1, depth + 1)]
    forward = [_forward(layer) for layer in layers]
    n, held_out = min(settings.images, len(images.train)), min(HELD_OUT_IMAGES, len(images.test))
    w = max(layer.outputs for layer in layers)

    direct = cascade = 0.0
    if settings.probe != "cascade":
        reach = min(_BEYOND, architecture.reach(depth) / depth)
        side = min(n, w)
        decoded = min(settings.decoded_layers + _TYPICAL_BISECTIONS, reach * depth)
        answers = 2 * n * side * (w + architecture.pixels) + 2 * held_out * side * (side + architecture.pixels)
        direct = reach * sum(forward) * (n + held_out) + decoded * (answers + 4 / 3 * side**3)
    if settings.probe != "direct":
        steps = settings.probe_steps or max(math.ceil(n / BATCH), MIN_STEPS)
        # A decoder has as many products as its layer, of which each step takes two.
        cascade = sum(forward) * (n + held_out) + 2 * steps * BATCH * sum(forward)
    seen = min(settings.training.images, len(images.train))
    readout = _forward(architecture.readout(depth))
    # Forth, back to the weights, and back to the layer before, of which the first has none.
    training = seen * (3 * (sum(forward) + readout) - forward[0])
    testing = min(TEST_IMAGES, len(images.test)) * (sum(forward) + readout)
    return Cost(direct, cascade, training + testing)


def _forward(layer: Layer) -> float:
    """Return the operations that take one image through one layer."""
    positions = math.prod(layer.size) if layer.size else 1
    return 2.0 * positions * sum(math.prod(shape) for shape, _ in layer.shapes())
