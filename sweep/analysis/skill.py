"""How well a score tells trained networks from the others: AUC, thresholds, regions, calibration, bootstrap.

==========  ===========================================================  ====================
symbol      meaning                                                      shape
==========  ===========================================================  ====================
score       the larger, the more trainable                               ``[points]``
truth       whether training came above the level                        ``[points]``
counts      how often each point is in each draw of the bootstrap        ``[draws, points]``
==========  ===========================================================  ====================
"""

import math
from typing import Any

import numpy as np

from sweep.text import finite

_FOLDS = 5
_BINS = 5


def auc(score: np.ndarray, truth: np.ndarray) -> float:
    """Return the probability that a trained network has the higher score of two; NaN if a class is empty."""
    return float(bootstrap_auc(score, truth, np.ones((1, len(score))))[0])


def bootstrap_auc(score: np.ndarray, truth: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the AUC of each draw, ``[draws]``; ties count half, and it is NaN where a class is empty."""
    value = np.unique(score, return_inverse=True)[1]  # equal scores are one value
    areas = np.full(len(counts), math.nan)
    for i, count in enumerate(counts):
        positive, negative = np.bincount(value, count * truth), np.bincount(value, count * ~truth)
        if total := positive.sum() * negative.sum():
            areas[i] = positive @ (negative.cumsum() - negative / 2) / total
    return areas


def iou(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the intersection over union, per depth, of two regions ``[..., depths, sigma_b, sigma_w]``.

    It is NaN where both are empty.
    """
    a, b = one >= 0, other >= 0
    union = (a | b).sum((-2, -1))
    return np.where(union > 0, (a & b).sum((-2, -1)) / np.maximum(union, 1), math.nan)


def finite_mean(values: np.ndarray, axis: Any = None) -> Any:
    """Return the mean of the finite values; NaN if there are none."""
    good = np.isfinite(values)
    return np.where(good.any(axis), np.where(good, values, 0).sum(axis) / np.maximum(good.sum(axis), 1), math.nan)


def calibrated_probability(score: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the probability of being trainable: a logistic curve in the score, fitted to the points of other folds."""
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
    """Return the threshold that is right most often, half way between two scores, and how often it is right."""
    order = np.argsort(score)
    s, t = score[order], truth[order]
    right = np.concatenate([[t.sum()], t.sum() - np.cumsum(t) + np.cumsum(~t)]) / len(t)
    cuts = np.concatenate([[s[0] - 1], (s[:-1] + s[1:]) / 2, [s[-1] + 1]])
    right[1:-1][s[:-1] == s[1:]] = 0  # equal scores stay together
    best = int(right.argmax())
    return float(cuts[best]), float(right[best])


def bootstrap_counts(rng: np.random.Generator, points: int, draws: int) -> np.ndarray:
    """Return how often each point is in each draw of a bootstrap: the counts."""
    return rng.multinomial(points, np.full(points, 1 / points), draws).astype(float)


def quantile_interval(name: str, draws: Any) -> dict[str, float]:
    """Return the 5 % and 95 % quantiles of the finite draws, as ``NAME_5`` and ``NAME_95``."""
    good = np.asarray(draws, dtype=float)
    good = good[np.isfinite(good)]
    low, high = np.quantile(good, (0.05, 0.95)) if len(good) else (math.nan, math.nan)
    return {f"{name}_5": float(low), f"{name}_95": float(high)}


def reliability_bins(probability: np.ndarray, truth: np.ndarray) -> list[dict[str, float | None]]:
    """Return what was predicted and observed on average in each bin of the predicted probability."""
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
