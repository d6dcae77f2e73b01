"""The options of advice: those of a sweep, with defaults for a few cheap measurements at one depth."""

from dataclasses import dataclass

from sweep.errors import SpecError
from sweep.spec.experiment import Experiment
from sweep.spec.kinds import Interval, Range
from sweep.spec.network import DISTRIBUTION, DISTRIBUTION_HELP
from sweep.spec.options import option, resolved
from sweep.spec.ranges import IMAGES, SIGMA_B

# The options that advice takes; the others have their defaults, but for the depth.
OF_BUILT_IN = ("architecture", "width", "widths", "activation")
OPTIONS = (
    *("sigma_w", "sigma_b", "points", "seed", "timeout"),
    *("dataset", "data_dir", "download", "layout", "images", "resize"),
    *(*OF_BUILT_IN, "initialise"),
)
# Images that suffice: with 4096, margins differ by 0.04 or less, those of convolutions by 0.01.
IMAGE_COUNT, CONVOLVED_COUNT = 256, 128


@dataclass(frozen=True, kw_only=True)
class AdviceSpec(Experiment):
    """What advice is asked for: the options of a sweep, of which some have other defaults.

    Raises
    ------
    SpecError
        A value that is not allowed.
    """

    title = "Points"

    # Networks are most often made without biases, or with small ones.
    sigma_b: tuple[float, float] = option(
        (0.0, 1.0), Interval(SIGMA_B), "Range of the standard deviation of the biases; LO = HI fixes it."
    )
    points: int = option(20, Range(10, 1000), "Number of places (sigma_w, sigma_b) that are measured.")
    images: int = option(
        IMAGE_COUNT,
        IMAGES,
        f"Number of training images that the probe learns from; it is judged on as many others. With convolutions, "
        f"{CONVOLVED_COUNT} unless it is given.",
    )
    initialise: str = option(
        resolved("orthogonal", by=None),
        DISTRIBUTION,
        f"{DISTRIBUTION_HELP} function: as your function has drawn them; the others draw its Linear, Conv and "
        "attention layers anew. Default: function if yours takes sigma_w; else orthogonal, or normal where the probe "
        "tells that those carry deeper.",
        measured=True,
    )
    probe: str = "direct"

    def _refuse(self) -> None:
        if self.depth[0] != self.depth[1]:
            raise SpecError("`depth` must be given: the number of hidden layers of the network")
        if self.sigma_w[0] == self.sigma_w[1]:
            raise SpecError(f"`sigma_w` must be LO HI with LO < HI, got {self.sigma_w[0]:g} {self.sigma_w[1]:g}")
