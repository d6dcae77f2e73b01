"""Statistics that predict training, and how well they do: AUC, calibration, thresholds, bootstrap."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from probes.point import MIN_HORIZON, NEEDED, THRESHOLDS
from sweep.spec.spec import SweepSpec
from sweep.text import finite

__all__ = [
    "STATISTICS",
    "Statistic",
    "auc",
    "best_threshold",
    "bootstrap_auc",
    "bootstrap_counts",
    "calibrated_probability",
    "finite_mean",
    "quantile_interval",
    "reliability_bins",
    "score",
    "threshold_of",
]

_FOLDS = 5
_BINS = 5
_LIMIT = 10.0  # scores beyond are as good as infinite


@dataclass(frozen=True)
class Statistic:
    """One number that predicts trainability.

    Attributes
    ----------
    meaning:
        Of its score.
    score:
        From rows of the ``points`` table and the spec.
    natural:
        Whether zero is a threshold that was there before any truth was.
    """

    meaning: str
    score: Callable[[pd.DataFrame, SweepSpec], pd.Series]
    natural: bool = True


def _margin(name: str) -> Callable[[pd.DataFrame, SweepSpec], pd.Series]:
    return lambda points, spec: _ratio(points[name], points) - math.log(NEEDED[name])


def _ratio(numerator: pd.Series, points: pd.DataFrame) -> pd.Series:
    ratio: pd.Series = numerator.astype(float).clip(lower=MIN_HORIZON) / points["depth"]
    return ratio.map(math.log, na_action="ignore")


def _above_threshold(name: str) -> Callable[[pd.DataFrame, SweepSpec], pd.Series]:
    return lambda points, spec: points[name] - threshold_of(spec, name)


def threshold_of(spec: SweepSpec, name: str) -> float:
    """Retained information below which it counts as lost, by one of the statistics of a probe."""
    return THRESHOLDS[name] if spec.threshold is None else spec.threshold


STATISTICS: dict[str, Statistic] = {
    "direct_horizon": Statistic("log(horizon / (share depth))", _margin("direct_horizon")),
    "direct_retained": Statistic("retained information - threshold", _above_threshold("direct_retained")),
    "cascade_horizon": Statistic("log(horizon / depth)", _margin("cascade_horizon")),
    "cascade_retained": Statistic("retained information - threshold", _above_threshold("cascade_retained")),
    "cascade_cutoff": Statistic(
        "published: log((cutoff + 1) / depth)", lambda p, s: _ratio(p["cascade_cutoff"] + 1, p)
    ),
    "differential_entropy": Statistic("published: at the last layer", lambda p, s: p["differential_entropy"], False),
    "xi_c": Statistic("mean field: log(6 xi_c / depth)", lambda p, s: _ratio(6 * p["xi_c"], p)),
    "chi_1": Statistic("mean field: 1 - depth |chi_1 - 1|", lambda p, s: 1 - p["depth"] * (p["chi_1"] - 1).abs()),
}


def score(name: str, points: pd.DataFrame, spec: SweepSpec) -> np.ndarray:
    """Of one of `STATISTICS`, for rows of the ``points`` table; NaN where it was not measured."""
    values = STATISTICS[name].score(points, spec)
    return np.asarray(values.astype(float).clip(-1e3, _LIMIT))


def auc(score: np.ndarray, truth: np.ndarray) -> float:
    """Probability that a trained network has the higher score of two (ties count half); NaN if a class is empty."""
    positive = int(truth.sum())
    negative = len(truth) - positive
    if not positive or not negative:
        return math.nan
    ranks = rankdata(score)
    return float((ranks[truth].sum() - positive * (positive + 1) / 2) / (positive * negative))


def bootstrap_auc(score: np.ndarray, truth: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The AUC had every point been there so many times, ``[draws]`` for counts ``[draws, points]``."""
    value = np.unique(score, return_inverse=True)[1]  # equal scores are one value
    found = np.full(len(counts), math.nan)
    for i, count in enumerate(counts):
        positive, negative = np.bincount(value, count * truth), np.bincount(value, count * ~truth)
        if total := positive.sum() * negative.sum():
            found[i] = positive @ (negative.cumsum() - negative / 2) / total
    return found


def iou(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Intersection over union of two regions ``[..., depths, sigma_b, sigma_w]``, per depth; NaN if both are empty."""
    a, b = one >= 0, other >= 0
    union = (a | b).sum((-2, -1))
    return np.where(union > 0, (a & b).sum((-2, -1)) / np.maximum(union, 1), math.nan)


def finite_mean(values: np.ndarray, axis: Any = None) -> Any:
    """Of the finite ones; NaN if there are none."""
    good = np.isfinite(values)
    return np.where(good.any(axis), np.where(good, values, 0).sum(axis) / np.maximum(good.sum(axis), 1), math.nan)


def calibrated_probability(score: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Probability of being trainable: a logistic curve in the score, fitted to the other folds of the points."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    x = ((score - score.mean()) / (score.std() or 1.0))[:, None]
    probability = np.full(len(x), truth.mean())
    folds = min(_FOLDS, int(truth.sum()), int((~truth).sum()))
    if folds > 1:
        for fit, test in StratifiedKFold(folds, shuffle=True, random_state=0).split(x, truth):
            model = LogisticRegression(C=10.0).fit(x[fit], truth[fit])
            probability[test] = model.predict_proba(x[test])[:, 1]
    return probability


def best_threshold(score: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """The threshold that is right most often, and how often; half way between two scores."""
    order = np.argsort(score)
    s, t = score[order], truth[order]
    right = np.concatenate([[t.sum()], t.sum() - np.cumsum(t) + np.cumsum(~t)]) / len(t)
    cuts = np.concatenate([[s[0] - 1], (s[:-1] + s[1:]) / 2, [s[-1] + 1]])
    right[1:-1][s[:-1] == s[1:]] = 0  # equal scores stay together
    best = int(right.argmax())
    return float(cuts[best]), float(right[best])


def bootstrap_counts(rng: np.random.Generator, points: int, draws: int) -> np.ndarray:
    """How often each point is in each draw of a bootstrap, ``[draws, points]``."""
    return rng.multinomial(points, np.full(points, 1 / points), draws).astype(float)


def quantile_interval(name: str, draws: Any) -> dict[str, float]:
    good = np.asarray(draws, dtype=float)
    good = good[np.isfinite(good)]
    low, high = np.quantile(good, (0.05, 0.95)) if len(good) else (math.nan, math.nan)
    return {f"{name}_5": float(low), f"{name}_95": float(high)}


def reliability_bins(probability: np.ndarray, truth: np.ndarray) -> list[dict[str, float | None]]:
    edges = np.linspace(0, 1, _BINS + 1)
    bins = np.clip(np.digitize(probability, edges) - 1, 0, _BINS - 1)
    return [
        {
            "predicted": finite(float(finite_mean(probability[bins == i]))),
            "observed": finite(float(finite_mean(truth[bins == i].astype(float)))),
            "points": int((bins == i).sum()),
        }
        for i in range(_BINS)
    ]
