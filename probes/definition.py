"""The definition of the margin, which every spec holds.

This module imports no numpy: every spec needs it, and the command line's help has to stay fast.
"""

import math
from dataclasses import dataclass, replace

MIN_HORIZON = 0.5  # layers; a shorter horizon counts as this one
MIN_BEST = 0.1  # value of the best layer, at least, that a threshold is relative to: less is hardly told from nothing
# The statistics that are horizons, in layers, and the profile that falls below its threshold there.
HORIZONS = {
    "direct_horizon": "direct_retained",
    "cascade_horizon": "cascade_retained",
    "cascade_correlation_horizon": "cascade_correlation",
}
LOGARITHMS = ("gradient_norm", "gradient_ratio")  # the statistics that are logarithms of gradients
GRADIENTS = ("gradient_horizon", *LOGARITHMS)  # the statistics that are read from gradients
TRAINABLE_DEPTH = "trainable_depth"
# The statistics that are numbers of layers: their margin is that of a horizon.
DEPTHS = (TRAINABLE_DEPTH, *HORIZONS, "gradient_horizon")
# The statistics that a margin may be computed from, and the one that it is computed from by default, by probe.
STATISTICS = (
    TRAINABLE_DEPTH,
    "direct_horizon",
    "direct_retained",
    "cascade_correlation_horizon",
    "cascade_horizon",
    "cascade_retained",
    *GRADIENTS,
)
DEFAULT_STATISTICS = {
    "both": TRAINABLE_DEPTH,
    "direct": TRAINABLE_DEPTH,
    "cascade": "cascade_correlation_horizon",
}


def statistics_of(probe: str) -> tuple[str, ...]:
    """Return the statistics that are measured with a probe; gradients are with any."""
    own = {TRAINABLE_DEPTH: "direct"}
    return tuple(s for s in STATISTICS if s in GRADIENTS or probe in ("both", own.get(s, s.partition("_")[0])))


def depth_name(statistic: str) -> str:
    """Return what one of `DEPTHS` is called in pictures: trainable depth or horizon."""
    return "trainable depth" if statistic == TRAINABLE_DEPTH else "horizon"


def is_threshold_of(chosen: str, statistic: str) -> bool:
    """Return whether a threshold that was given for the chosen statistic is one of another, too: of the same kind."""
    return (chosen in GRADIENTS) == (statistic in GRADIENTS)


@dataclass(frozen=True)
class Definition:
    """The definition of the margin, stored with every sweep so that new defaults move no old boundary.

    Attributes
    ----------
    version:
        Version of the formulas. The margin is log(horizon / (share * depth)) for a horizon, and score - threshold for a
        score. Since version 2, the threshold of the direct horizon is relative to the best layer; since version 3, that
        of the correlation horizon is, too.
    direct_share, cascade_share, correlation_share:
        Share of its depth that the horizon of a trainable network reaches, for each horizon.
    direct_horizon, direct_retained, cascade_horizon, cascade_retained, cascade_correlation_horizon:
        Threshold of each statistic: value of its profile below which a signal counts as lost.
    gradient_norm, gradient_ratio, gradient_horizon:
        Threshold of each statistic: how far its logarithm may be from 0, on either side.
    """

    version: int
    direct_share: float
    cascade_share: float
    direct_horizon: float
    direct_retained: float
    cascade_horizon: float
    cascade_retained: float
    # Of statistics that came later. Definitions that were stored before mean these values, which must never change.
    correlation_share: float = 0.6
    cascade_correlation_horizon: float = 0.03
    gradient_norm: float = 4.0
    gradient_ratio: float = 4.25
    gradient_horizon: float = 5.0

    def relative(self, statistic: str) -> bool:
        """Return whether the threshold of a horizon is relative to the value of the best layer, see `MIN_BEST`."""
        since = {TRAINABLE_DEPTH: 2, "direct_horizon": 2, "cascade_correlation_horizon": 3}
        return self.version >= since.get(statistic, math.inf)

    def share(self, statistic: str) -> float:
        """Return the share of its depth that the horizon of a trainable network reaches, for one of `DEPTHS`."""
        return {
            TRAINABLE_DEPTH: 1.0,
            "direct_horizon": self.direct_share,
            "cascade_horizon": self.cascade_share,
            "cascade_correlation_horizon": self.correlation_share,
            "gradient_horizon": 1.0,
        }[statistic]

    def threshold(self, statistic: str) -> float:
        """Return the threshold of a statistic: the value of its profile below which a signal counts as lost.

        For one of `GRADIENTS`, it is the absolute value of the logarithm above which a gradient counts as lost. The
        trainable depth is read from the direct horizon, whose threshold this is.
        """
        return float(getattr(self, "direct_horizon" if statistic == TRAINABLE_DEPTH else statistic))

    def trainable_depth(self, direct_horizon: float, gradient_horizon: float) -> float:
        """Return how deep a trainable network may be, in layers: where both horizons together are used up.

        It is the depth D at which ``(share D / direct_horizon)^2 + (D / gradient_horizon)^2 = 1``: no greater than
        what either horizon allows, and less where both are short. Of the direct horizon, at least `MIN_HORIZON` is
        counted.
        """
        return 1 / math.hypot(self.direct_share / max(direct_horizon, MIN_HORIZON), 1 / gradient_horizon)

    def margin(self, statistic: str, horizon: float, depth: float) -> float:
        """Return the margin of a horizon, log(horizon / (share * depth)): positive if predicted trainable.

        Parameters
        ----------
        statistic:
            One of `DEPTHS`.
        horizon:
            Horizon in layers; at least `MIN_HORIZON` is counted.
        depth:
            Number of hidden layers.
        """
        return math.log(max(horizon, MIN_HORIZON) / (self.share(statistic) * depth))

    @staticmethod
    def gradient_margin(logarithm: float, threshold: float) -> float:
        """Return the margin of one of `LOGARITHMS`, log((1 + threshold) / (1 + abs(logarithm))): positive if trainable.

        The logarithm of a gradient is proportional to the depth, and so its margin falls like that of a horizon.
        """
        return math.log1p(threshold) - math.log1p(abs(logarithm))


# The definition of sweeps that were stored without one; it must never change. The thresholds of the direct probe come
# from comparisons with training (see the README of sweep.analysis); those of the cascade are small because chained
# decoders compound their errors.
ORIGINAL_DEFINITION = Definition(
    version=1,
    direct_share=0.5,
    cascade_share=1.0,
    direct_horizon=0.15,
    direct_retained=0.02,
    cascade_horizon=0.05,
    cascade_retained=0.05,
)
# The definition of new sweeps.
CURRENT_DEFINITION = replace(
    ORIGINAL_DEFINITION,
    version=3,
    direct_horizon=0.1,
    cascade_correlation_horizon=0.07,
    correlation_share=0.55,
)
