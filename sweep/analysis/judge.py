"""One score after another, held against one truth."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from sweep.analysis.skill import (
    auc,
    best_threshold,
    bootstrap_auc,
    bootstrap_counts,
    calibrated_probability,
    finite_mean,
    iou,
    quantile_interval,
    reliability_bins,
)
from sweep.analysis.surface import GRID, Surface, depth_planes, distance_to_boundary, truth_surface
from sweep.model.crossings import outer_crossings
from sweep.results.results import Results

_DRAWS = 400  # of the bootstrap; of surfaces fewer
_SURFACE_DRAWS = 60
_SURFACE_GRID = 24


class Judge:
    """Says how well scores of the same points predict their training.

    Each method takes a score of every trained point, and returns some columns of the table of `compare`. The bootstrap
    draws the same points for every score.

    Parameters
    ----------
    truth:
        The sweep that was trained.
    trained:
        The rows of its points that were.
    base:
        The score of xi_c, which the others must do better than; None if it is not known.

    Attributes
    ----------
    outcome:
        Whether training came above the level, ``[points]``.
    hard:
        Indices of the hard half of the points.
    surface:
        The surface of the truth.
    """

    def __init__(self, truth: Results, trained: pd.DataFrame, base: np.ndarray | None) -> None:
        self._spec, self._trained = truth.spec, trained
        self.outcome = trained["trainable"].to_numpy(bool)
        self.surface = truth_surface(truth.spec, truth.points)
        distance = distance_to_boundary(self.surface, trained, truth.spec)
        self.hard = np.argsort(distance, kind="stable")[: len(trained) // 2]
        rng = np.random.default_rng(0)
        self._counts = bootstrap_counts(rng, len(trained), _DRAWS)
        self._counts_hard = bootstrap_counts(rng, len(self.hard), _DRAWS)
        self._base = None
        if base is not None:
            self._base = auc(base, self.outcome), bootstrap_auc(base, self.outcome, self._counts)
        self._planes, self._coarse = (depth_planes(truth.spec, size) for size in (GRID, _SURFACE_GRID))
        self._plane = self.surface(self._planes)
        known = self.through(np.where(self.outcome, 1.0, -1.0))
        self._planes_drawn = self._resampled(known)

    def through(self, values: Sequence[float] | np.ndarray) -> Surface:
        """Return a surface through values at the trained points."""
        return Surface(self._spec, self._trained, np.asarray(values, dtype=float))

    def _resampled(self, surface: Surface) -> np.ndarray:
        return surface.resampled(self._coarse, self._counts[:_SURFACE_DRAWS])

    def ranking(self, score: np.ndarray) -> dict[str, float]:
        """Return the AUC over all points, over the hard half, and less that of the base."""
        s, t, hard = score, self.outcome, self.hard
        area, draws = auc(s, t), bootstrap_auc(s, t, self._counts)
        columns = {"auc": area, **quantile_interval("auc", draws), "auc_hard": auc(s[hard], t[hard])}
        columns |= quantile_interval("auc_hard", bootstrap_auc(s[hard], t[hard], self._counts_hard))
        if self._base is not None:
            columns["auc_minus_xi_c"] = area - self._base[0]
            columns |= quantile_interval("auc_minus_xi_c", draws - self._base[1])
        return columns

    def decision(self, score: np.ndarray, natural: bool) -> dict[str, float]:
        """Return how often a score is right at its own threshold, zero (NaN without ``natural``), and at the best."""
        right = (score >= 0) == self.outcome
        threshold, accuracy = best_threshold(score, self.outcome)
        return {
            "accuracy": float(right.mean()) if natural else math.nan,
            **quantile_interval("accuracy", self._counts @ right / len(right) if natural else []),
            "threshold_best": threshold,
            "accuracy_best": accuracy,
        }

    def region(self, surface: Surface) -> dict[str, float]:
        """Return how much of the true region a surface's covers, and how far its boundary is from the true one."""
        plane, sigma_w = surface(self._planes), self._planes["sigma_w"][0, 0]
        distance = math.nan
        if len(sigma_w) > 1:
            apart = np.abs(outer_crossings(sigma_w, plane) - outer_crossings(sigma_w, self._plane))
            distance = float(finite_mean(apart))
        return {
            "iou": float(finite_mean(iou(plane, self._plane))),
            **quantile_interval("iou", finite_mean(iou(self._resampled(surface), self._planes_drawn), 1)),
            "distance": distance,
        }

    def overlap(self, surface: Surface) -> float:
        """Return the intersection over union of the region of a surface and the true one, mean over the depths."""
        return float(finite_mean(iou(surface(self._planes), self._plane)))

    def calibration(self, score: np.ndarray) -> tuple[dict[str, float], list[dict[str, float | None]]]:
        """Return the Brier score of the calibrated probability, and the probability beside the truth in bins."""
        probability = calibrated_probability(score, self.outcome)
        wrong = (probability - self.outcome) ** 2
        brier = {"brier": float(wrong.mean()), **quantile_interval("brier", self._counts @ wrong / len(wrong))}
        return brier, reliability_bins(probability, self.outcome)
