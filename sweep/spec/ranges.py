"""The ranges that numbers may be in, where more than one option or module asks for them."""

from probes.activations import NAMES
from sweep.spec.kinds import Choice, Range

SIGMA_W = Range(0, 20, whole=False, above=True)
SIGMA_B = Range(0, 20, whole=False)
DEPTH = Range(1, 2000)
WIDTH = Range(1, 16_384)
IMAGES = Range(16, 10_000_000)
POINTS = Range(1, 1_000_000)
CONCURRENCY = Range(1, 10_000)
RESIZE = Range(2, 512)
SHARE = Range(0, 1, whole=False, above=True)
RETAINED, LOGARITHM = Range(0.001, 0.999, whole=False), Range(0.001, 999, whole=False)  # thresholds
VERSION = Range(1, 1_000_000)
SEQUENCE = Range(0, 1_000_000)
ACTIVATION = Choice(NAMES)
