"""What advice consists of: the recommended initialisation, the band around it, and the default beside it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from probes.point import Measurement
from sweep.advice.default import Sigmas
from sweep.advice.spec import AdviceSpec
from sweep.model.calibration import default_of, expected
from sweep.model.margin import MarginModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Score:
    """What was measured of the networks of one initialisation, the scale on which initialisations are compared.

    Attributes
    ----------
    margin:
        Mean margin of these networks: positive where they are predicted trainable.
    carries:
        How deep networks of this initialisation may be, in layers.
    at_least:
        Whether both are lower bounds, since the probe followed a network no further.
    p_trainable:
        Probability that a network of the depth that was asked for trains.
    """

    margin: float
    carries: float
    at_least: bool
    p_trainable: float

    @property
    def trainable(self) -> bool:
        """Whether networks of the depth that was asked for are predicted trainable."""
        return self.margin >= 0

    def as_dict(self) -> dict[str, Any]:
        """Return the score as plain data."""
        return {**vars(self), "trainable": self.trainable}


def score_of(measured: Sequence[Measurement], spec: AdviceSpec) -> Score | None:
    """Return the score of networks of one initialisation; None if none of them could be measured."""
    values = [m.values for m in measured if m.status != "failed"]
    if not values:
        return None
    margins, censored = ([v[name] for v in values] for name in ("margin", "margin_censored"))
    margin = float(np.mean(margins))
    return Score(
        margin=margin,
        carries=spec.definition.share(spec.statistic) * spec.depth[0] * math.exp(margin),
        at_least=any(map(bool, censored)),
        p_trainable=float(default_of(spec).probability(expected(margins, censored)).mean()),
    )


@dataclass(frozen=True)
class Rival:
    """Networks with other weights than the recommended ones, at the same sigmas.

    Attributes
    ----------
    initialise:
        Distribution of their weights.
    score:
        What was measured of them; None if that failed.
    is_better:
        Whether their margins are larger for certain, see `sweep.advice.weights`.
    """

    initialise: str
    score: Score | None
    is_better: bool

    def as_dict(self) -> dict[str, Any]:
        """Return what was measured as plain data."""
        return {"initialise": self.initialise, **(self.score.as_dict() if self.score else {})}


@dataclass(frozen=True, eq=False)
class Advice:
    """Which initialisation to use, and how it compares with what a network gets without advice.

    Attributes
    ----------
    sigma_w, sigma_b:
        The recommended standard deviations, those of the most robust place; see `sweep.advice.robust`.
    initialise:
        The recommended distribution of the weights, one of `probes.initialisations.INITIALISATIONS`, or ``function``
        where the user's function draws its own.
    lower, upper:
        Ends of the trainable band of sigma_w at this sigma_b. None where the band goes on beyond the range that was
        searched, or where nothing is trainable.
    depth:
        Number of hidden layers.
    range:
        How much of the range is predicted trainable: a ``band``, ``all`` or ``none`` of it. If none is, as far as the
        measurements tell, the recommended place is the one that comes nearest.
    score:
        What was measured at the recommended place.
    rival:
        What was measured there of networks with other weights; None where the distribution of the weights was given.
    default, default_sigmas:
        What was measured of networks without advice, and the standard deviations of their layers; None if that failed.
    code:
        Lines of Python that apply the recommendation.
    spec:
        What was asked for.
    points:
        The places that were measured, as in the table ``points`` of a sweep.
    model:
        Model of the margin over the range.
    """

    sigma_w: float
    sigma_b: float
    initialise: str
    lower: float | None
    upper: float | None
    depth: int
    range: str
    score: Score
    rival: Rival | None
    default: Score | None
    default_sigmas: Sigmas
    code: str
    spec: AdviceSpec
    points: pd.DataFrame
    model: MarginModel

    def as_dict(self) -> dict[str, Any]:
        """Return the advice as plain data."""
        default = None
        if self.default is not None:
            default = self.default.as_dict()
            for name in ("sigma_w", "sigma_b"):
                values = getattr(self.default_sigmas, name) or (0.0,)
                default |= {name: median(values), f"{name}_range": [min(values), max(values)]}
        names = ("sigma_w", "sigma_b", "initialise", "lower", "upper", "depth", "range", "code")
        own = {name: getattr(self, name) for name in names}
        rival = self.rival and self.rival.as_dict()
        return {**own, **self.score.as_dict(), "rival": rival, "default": default, "points": len(self.points)}

    def figure(self) -> "Figure":
        """Return a figure of the trainable band, with the recommended place and the default in it."""
        from sweep.advice.figure import band_figure

        default = self.as_dict()["default"]
        return band_figure(
            self.model,
            self.points,
            recommended=(self.sigma_w, self.sigma_b),
            default=default and (default["sigma_w"], default["sigma_b"], default["carries"]),
        )
