"""The definition of the margin, which every spec holds. Imports no numpy, so that help stays fast."""

import math
from dataclasses import dataclass

MIN_HORIZON = 0.5  # in layers; a shorter one counts as this
HORIZONS = ("direct_horizon", "cascade_horizon")  # statistics that are a number of layers


@dataclass(frozen=True)
class Definition:
    """The definition of the margin, stored with every sweep so that new defaults move no old boundary.

    Attributes
    ----------
    version:
        Of the formula. 1: log(horizon / (share * depth)) of a horizon, score - threshold of a score.
    direct_share, cascade_share:
        Share of its depth that a trainable network's horizon reaches.
    direct_horizon, direct_retained, cascade_horizon, cascade_retained:
        Thresholds, by statistic: retained information below which a signal counts as lost.
    """

    version: int
    direct_share: float
    cascade_share: float
    direct_horizon: float
    direct_retained: float
    cascade_horizon: float
    cascade_retained: float

    def share(self, statistic: str) -> float:
        """Return the share of its depth that a trainable network's horizon reaches, for one of `HORIZONS`."""
        return {"direct_horizon": self.direct_share, "cascade_horizon": self.cascade_share}[statistic]

    def threshold(self, statistic: str) -> float:
        """Return the retained information below which a signal counts as lost."""
        return float(getattr(self, statistic))

    def margin(self, statistic: str, horizon: float, depth: float) -> float:
        """Return the margin of a horizon, log(horizon / (share * depth)): positive if predicted trainable."""
        return math.log(max(horizon, MIN_HORIZON) / (self.share(statistic) * depth))


# Of sweeps that say nothing of it: not to be changed. The thresholds of the direct probe are by evidence (see README),
# those of the cascade small, since its decoders compound their errors.
FIRST = Definition(
    version=1,
    direct_share=0.5,
    cascade_share=1.0,
    direct_horizon=0.15,
    direct_retained=0.02,
    cascade_horizon=0.05,
    cascade_retained=0.05,
)
TODAY = FIRST  # of sweeps that begin now
