"""Statistics that predict training, of the probes and of mean field, as scores: the larger, the more trainable."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from probes.definition import MIN_HORIZON
from sweep.spec.experiment import Measuring

_MAX_SCORE = 10.0  # larger scores are cut off: xi_c is infinite at the critical line


@dataclass(frozen=True)
class Statistic:
    """A statistic that predicts trainability.

    Attributes
    ----------
    meaning:
        The formula of its score, in words.
    score:
        The function that computes the score from rows of the ``points`` table and the specification.
    natural:
        Whether zero is a threshold that was fixed without knowledge of any truth.
    """

    meaning: str
    score: Callable[[pd.DataFrame, Measuring], pd.Series]
    natural: bool = True


def _horizon_margin(name: str) -> Callable[[pd.DataFrame, Measuring], pd.Series]:
    return lambda points, spec: _log_ratio_to_depth(points[name], points) - math.log(spec.definition.share(name))


def _log_ratio_to_depth(numerator: pd.Series, points: pd.DataFrame) -> pd.Series:
    ratio: pd.Series = numerator.astype(float).clip(lower=MIN_HORIZON) / points["depth"]
    return ratio.map(math.log, na_action="ignore")


def _above_threshold(name: str) -> Callable[[pd.DataFrame, Measuring], pd.Series]:
    return lambda points, spec: points[name] - spec.threshold_of(name)


def _gradient_margin(name: str) -> Callable[[pd.DataFrame, Measuring], pd.Series]:
    return lambda points, spec: points[name].map(
        lambda value: spec.definition.gradient_margin(value, spec.threshold_of(name)), na_action="ignore"
    )


STATISTICS: dict[str, Statistic] = {
    "trainable_depth": Statistic("log(trainable depth / depth)", _horizon_margin("trainable_depth")),
    "direct_horizon": Statistic("log(horizon / (share depth))", _horizon_margin("direct_horizon")),
    "direct_retained": Statistic("retained information - threshold", _above_threshold("direct_retained")),
    "cascade_correlation_horizon": Statistic(
        "log(horizon / (share depth))", _horizon_margin("cascade_correlation_horizon")
    ),
    "cascade_horizon": Statistic("log(horizon / depth)", _horizon_margin("cascade_horizon")),
    "cascade_retained": Statistic("retained information - threshold", _above_threshold("cascade_retained")),
    "cascade_cutoff": Statistic(
        "published: log((cutoff + 1) / depth)", lambda p, s: _log_ratio_to_depth(p["cascade_cutoff"] + 1, p), False
    ),
    "gradient_horizon": Statistic("log(horizon / depth)", _horizon_margin("gradient_horizon")),
    "gradient_norm": Statistic("log((1 + threshold) / (1 + |log norm|))", _gradient_margin("gradient_norm")),
    "gradient_ratio": Statistic("log((1 + threshold) / (1 + |log ratio|))", _gradient_margin("gradient_ratio")),
    "differential_entropy": Statistic("published: at the last layer", lambda p, s: p["differential_entropy"], False),
    "xi_c": Statistic("mean field: log(6 xi_c / depth)", lambda p, s: _log_ratio_to_depth(6 * p["xi_c"], p)),
    "chi_1": Statistic("mean field: 1 - depth |chi_1 - 1|", lambda p, s: 1 - p["depth"] * (p["chi_1"] - 1).abs()),
}


def score(name: str, points: pd.DataFrame, spec: Measuring) -> np.ndarray:
    """Return the score of a statistic for each row of the ``points`` table; NaN where it was not measured."""
    values = STATISTICS[name].score(points, spec)
    return np.asarray(values.astype(float).clip(-1e3, _MAX_SCORE))
