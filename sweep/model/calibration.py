r"""The calibration of the margin: the probability that a network trains, and the margin at which half of them do.

==========  ==================================================================================  ==============
symbol      meaning                                                                             shape
==========  ==================================================================================  ==============
margin      how far a network is from the predicted boundary, in the units of its statistic     ``[networks]``
trained     whether the accuracy after training is above the level                              ``[networks]``
p           probability that a network trains, ``1 / (1 + exp(-slope (margin - shift)))``       ``[networks]``
shift       margin at which half of the networks train                                          scalar
slope       by how much the log-odds of p grow with the margin                                  scalar
==========  ==================================================================================  ==============

A statistic's share or threshold, see `probes.definition`, says where half of the networks train as long as none of a
sweep was trained: the shift is 0. How sharply outcomes change with the margin, and how far shift and slope vary between
data and networks, was found on the study's sets for selection; ``python -m tests.study.calibrate`` prints it.

Given a few trainings, shift and slope are the most probable ones by their outcomes and by how far they vary. What can
be trained also depends on learning rate, optimiser and epochs. A calibration belongs to these data, this network and
this protocol of training: a sweep is calibrated by its own trainings and by no others.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from probes.definition import GRADIENTS, depth_name
from sweep.model.level import level_of
from sweep.spec.experiment import Experiment, Measuring

if TYPE_CHECKING:
    import pandas as pd

MIN_TRAININGS = 4  # fewer say too little
# By how much a margin exceeds its lower bound on average. Horizons that were followed to three times the depth exceed
# the depth, where others are not followed further, by about 0.5 in the sets for selection.
EXCESS = 0.5
_TOLERANCE = 1e-8  # of the gradient of the logarithm of the posterior


@dataclass(frozen=True)
class Prior:
    """How shift and slope vary between data and networks: both the shift and the log of the slope are normal.

    Attributes
    ----------
    shift_deviation:
        Standard deviation of the shift, whose mean is 0.
    slope, slope_deviation:
        The median slope, and the standard deviation of its logarithm.
    """

    shift_deviation: float
    slope: float
    slope_deviation: float


# By version of the calibration, which every sweep stores; a version must never change. Statistics that the sets for
# selection do not have go by the one of the same kind.
_PRIORS: dict[int, dict[str, Prior]] = {
    1: {
        "trainable_depth": Prior(0.2, 6.7, 0.3),
        "direct_horizon": Prior(0.76, 4.4, 0.61),
        "direct_retained": Prior(0.076, 24, 0.87),
        "gradient_horizon": Prior(0.33, 4.2, 0.33),
        "gradient_norm": Prior(0.24, 5.1, 0.3),
        "gradient_ratio": Prior(0.2, 5, 0.3),
    }
}
_FIRST = min(_PRIORS)


@dataclass(frozen=True)
class Calibration:
    """The probability that a network trains, as a function of its margin.

    Attributes
    ----------
    shift:
        The margin at which half of the networks train, and where the boundary is.
    slope:
        The growth of the log-odds with the margin. It allows for the shift not being known exactly.
    networks:
        The number of trainings that it was fitted to; 0: none, it is the default.
    deviation:
        The standard deviation of the shift, given these trainings; 0 for the default, which is so by definition.
    """

    shift: float
    slope: float
    networks: int = 0
    deviation: float = 0.0

    def probability(self, margin: Any) -> np.ndarray:
        """Return the probability that networks of some margins train; NaN for those without a margin."""
        log_odds = self.slope * (np.asarray(margin, dtype=float) - self.shift)
        return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -700, 700))))


def prior_of(statistic: str, version: int = _FIRST) -> Prior:
    """Return how shift and slope of a statistic's margin vary, by a version of the calibration."""
    priors = _PRIORS[max(version, _FIRST)]
    return priors.get(statistic) or priors["direct_retained" if statistic.endswith("_retained") else "direct_horizon"]


def default_calibration(prior: Prior) -> Calibration:
    """Return the calibration for data and networks of which nothing was trained."""
    return Calibration(0.0, _moderated(prior.slope, prior.shift_deviation**2))


def default_of(spec: Measuring) -> Calibration:
    """Return the default calibration of a sweep's margin, by the version that the sweep stores."""
    return default_calibration(prior_of(spec.statistic, spec.calibration))


def fitted(prior: Prior, margin: np.ndarray, trained: np.ndarray) -> Calibration:
    """Return the most probable calibration, given what was trained; without any training, the default one.

    Parameters
    ----------
    prior:
        How shift and slope vary between data and networks. It also keeps them finite where all outcomes are the same.
    margin:
        ``[networks]``: those that are not finite are left out. For those that are only lower bounds see `expected`.
    trained:
        ``[networks]``: whether each of them was trained successfully.

    Notes
    -----
    The result does not depend on the order of the networks.
    """
    from scipy.optimize import minimize

    known = np.isfinite(margin)
    m, t = np.asarray(margin, dtype=float)[known], np.asarray(trained, dtype=float)[known]
    order = np.lexsort((t, m))  # sums are rounded in one order only
    m, t = m[order], t[order]
    if not len(m):
        return default_calibration(prior)

    def minus_log_posterior(at: np.ndarray) -> tuple[float, np.ndarray]:
        shift, log_ratio = at
        slope = prior.slope * math.exp(log_ratio)
        log_odds = slope * (m - shift)
        surplus = 1 / (1 + np.exp(-np.clip(log_odds, -700, 700))) - t
        value = (np.logaddexp(0, log_odds) - t * log_odds).sum() + (at**2 / scale**2).sum() / 2
        return float(value), np.array([-slope * surplus.sum(), surplus @ log_odds]) + at / scale**2

    scale = np.array([prior.shift_deviation, prior.slope_deviation])
    found = minimize(minus_log_posterior, np.zeros(2), jac=True, method="BFGS", options={"gtol": _TOLERANCE}).x
    shift, slope = float(found[0]), prior.slope * math.exp(found[1])
    z = slope * (m - shift)
    weight = 1 / (2 + 2 * np.cosh(np.clip(z, -700, 700)))  # p (1 - p)
    of_shift, of_slope = slope**2 * weight.sum() + scale[0] ** -2, weight @ z**2 + scale[1] ** -2
    variance = float(of_slope / (of_shift * of_slope - (slope * (weight @ z)) ** 2))  # by the Fisher information
    return Calibration(shift, _moderated(slope, variance), len(m), math.sqrt(variance))


def _moderated(slope: float, variance: float) -> float:
    """Return the slope of the mean of p over a shift that has a variance.

    The mean of a logistic function over a normal distribution is nearly one of a smaller slope (MacKay 1992,
    "The evidence framework applied to classification networks").
    """
    return slope / math.sqrt(1 + math.pi / 8 * slope**2 * variance)


def expected(margin: Any, censored: Any) -> np.ndarray:
    """Return margins, and for those that are only lower bounds what is to be expected instead of the bound.

    A trained network whose horizon was out of sight says little about where the boundary is, and the bound itself must
    not come to lie below the boundary.
    """
    return np.asarray(margin, dtype=float) + EXCESS * np.asarray(censored, dtype=bool)


def calibration_of(spec: Experiment, margin: Any, censored: Any, accuracy: Any, chance: Any) -> Calibration:
    """Return the calibration of a sweep: the one by its own trainings, or the default one if they are too few.

    It is the default one, too, where learning rates are searched: a calibration belongs to one of them.

    Parameters
    ----------
    spec:
        The sweep's specification. The boundary of a sweep that was stored before there were calibrations stays where
        the margin is 0.
    margin, censored, accuracy, chance:
        ``[points]``: the margins and whether each is only a lower bound, the accuracies and the chance levels, with NaN
        for what is not known.
    """
    margin, accuracy, chance = (np.asarray(v, dtype=float) for v in (expected(margin, censored), accuracy, chance))
    known = np.isfinite(margin) & np.isfinite(accuracy)
    # Where the learning rate is an axis, no two networks are trained by one protocol.
    if spec.train == "none" or spec.trains_over_rates or spec.calibration == 0 or known.sum() < MIN_TRAININGS:
        return default_of(spec)
    level = spec.level or level_of(accuracy, chance)
    return fitted(prior_of(spec.statistic, spec.calibration), margin[known], accuracy[known] > level)


def predicted_trainable(points: "pd.DataFrame") -> "pd.Series":
    """Return which rows of a table ``points`` are predicted trainable: by ``p_trainable``, or else by the margin."""
    by_margin: pd.Series = points["margin"] >= 0
    if "p_trainable" not in points:
        return by_margin
    return (points["p_trainable"] >= 0.5).where(points["p_trainable"].notna(), by_margin)


def calibrated_share(spec: Experiment, calibration: Calibration) -> float:
    """Return the share of its depth that the horizon of a network reaches where half of the networks train."""
    return spec.definition.share(spec.statistic) * math.exp(calibration.shift)


def sentence(spec: Experiment, calibration: Calibration) -> str:
    """Return a sentence that says by what a sweep was calibrated and what changed; empty if nothing was trained."""
    if not calibration.networks:
        return ""
    half, shift = "half of the networks train where", calibration.shift
    if spec.by_horizon:
        now, then = calibrated_share(spec, calibration), spec.definition.share(spec.statistic)
        where = f"the {depth_name(spec.statistic)} is {now:.2g} of the depth ({then:.2g} uncalibrated)"
    elif spec.statistic in GRADIENTS:
        then = spec.threshold_of(spec.statistic)
        now = max(0.0, (1 + then) * math.exp(-shift) - 1)
        where = f"the logarithm of the gradient is {now:.3g} from 0 ({then:.3g} uncalibrated)"
    elif spec.statistic.endswith("_retained"):
        then = spec.threshold_of(spec.statistic)
        where = f"{then + shift:.2g} of the information is retained ({then:.2g} uncalibrated)"
    else:
        where = f"the margin is {shift:.2g} (0 uncalibrated)"
    return f"calibrated by {calibration.networks} trainings: {half} {where}"
