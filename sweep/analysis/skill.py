"""How well a score tells trained networks from the others: AUC, thresholds, regions, calibration, bootstrap.

==========  ===========================================================  ====================
symbol      meaning                                                      shape
==========  ===========================================================  ====================
score       the larger, the more trainable                               ``[points]``
truth       whether the accuracy after training is above the level       ``[points]``
counts      how often each point occurs in each draw of the bootstrap    ``[draws, points]``
==========  ===========================================================  ====================
"""

import math
from typing import Any

import numpy as np

from sweep.text import finite

_FOLDS = 5  # of the cross-validation
_BINS = 5  # of the predicted probability


def auc(score: np.ndarray, truth: np.ndarray) -> float:
    """Return the area under the ROC curve of a score; NaN if no network was trained, or all were.

    It is the probability that a trained network has a higher score than one that was not; ties count half.
    """
    return float(bootstrap_auc(score, truth, np.ones((1, len(score))))[0])


def bootstrap_auc(score: np.ndarray, truth: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the AUC in each draw of the bootstrap, ``[draws]``; NaN where a draw holds a single outcome."""
    value = np.unique(score, return_inverse=True)[1]  # equal scores are one value
    areas = np.full(len(counts), math.nan)
    for i, count in enumerate(counts):
        positive, negative = np.bincount(value, count * truth), np.bincount(value, count * ~truth)
        if total := positive.sum() * negative.sum():
            areas[i] = positive @ (negative.cumsum() - negative / 2) / total
    return areas


def iou(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the intersection over union of two regions for each depth, ``[..., depths]``; NaN where both are empty.

    The regions are where the values ``[..., depths, sigma_b, sigma_w]`` are not negative.
    """
    a, b = one >= 0, other >= 0
    union = (a | b).sum((-2, -1))
    return np.where(union > 0, (a & b).sum((-2, -1)) / np.maximum(union, 1), math.nan)


def finite_mean(values: np.ndarray, axis: Any = None) -> Any:
    """Return the mean of the finite values along an axis; NaN where there are none."""
    ok = np.isfinite(values)
    return np.where(ok.any(axis), np.where(ok, values, 0).sum(axis) / np.maximum(ok.sum(axis), 1), math.nan)


def calibrated_probability(score: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the probability of being trainable, by logistic regression on the score with cross-validation.

    The probability of each point comes from a fit to the points of the other folds. If there are too few points of
    an outcome for two folds, it is the share of trained networks.
    """
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
    """Return the threshold (half way between two scores) with the most correct predictions, and their share."""
    order = np.argsort(score)
    s, t = score[order], truth[order]
    right = np.concatenate([[t.sum()], t.sum() - np.cumsum(t) + np.cumsum(~t)]) / len(t)
    cuts = np.concatenate([[s[0] - 1], (s[:-1] + s[1:]) / 2, [s[-1] + 1]])
    right[1:-1][s[:-1] == s[1:]] = 0  # no threshold lies between equal scores
    best = int(right.argmax())
    return float(cuts[best]), float(right[best])


def bootstrap_counts(rng: np.random.Generator, points: int, draws: int) -> np.ndarray:
    """Return how often each point occurs in each draw of a bootstrap, ``[draws, points]``."""
    return rng.multinomial(points, np.full(points, 1 / points), draws).astype(float)


def quantile_interval(name: str, draws: Any) -> dict[str, float]:
    """Return the 5 % and 95 % quantiles of the finite draws, as ``NAME_5`` and ``NAME_95``."""
    finite_draws = np.asarray(draws, dtype=float)
    finite_draws = finite_draws[np.isfinite(finite_draws)]
    low, high = np.quantile(finite_draws, (0.05, 0.95)) if len(finite_draws) else (math.nan, math.nan)
    return {f"{name}_5": float(low), f"{name}_95": float(high)}


def reliability_bins(probability: np.ndarray, truth: np.ndarray) -> list[dict[str, float | None]]:
    """Return the mean predicted probability and the observed share of trained networks in each bin of the former."""
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
