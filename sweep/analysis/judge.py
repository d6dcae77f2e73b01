"""The judge of scores: how well each of them predicts the same truth."""

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

_DRAWS = 400  # of the bootstrap
_SURFACE_DRAWS = 60  # fewer for surfaces, and on a coarser grid: each takes longer
_SURFACE_GRID = 24


class Judge:
    """Judge of how well scores predict the outcome of training.

    The methods `ranking`, `decision`, `region` and `calibration` take a score of every trained point, or a surface
    through one, and return some columns of the table of `compare`. The bootstrap draws the same points for every score.

    Parameters
    ----------
    truth:
        Results of the sweep that was trained.
    trained:
        The rows of its trained points.
    xi_c_score:
        The score of mean field's 6 xi_c / depth, with which the others are compared; None if it is not known.

    Attributes
    ----------
    outcome:
        Whether the accuracy after training is above the level, ``[points]``.
    hard:
        Indices of the hard half of the points, nearest to the boundary first.
    surface:
        The surface of the truth.
    """

    def __init__(self, truth: Results, trained: pd.DataFrame, xi_c_score: np.ndarray | None) -> None:
        self._spec, self._trained = truth.spec, trained
        self.outcome = trained["trainable"].to_numpy(bool)
        self.surface = truth_surface(truth.spec, truth.points)
        distance = distance_to_boundary(self.surface, trained, truth.spec)
        self.hard = np.argsort(distance, kind="stable")[: len(trained) // 2]
        rng = np.random.default_rng(0)
        self._counts = bootstrap_counts(rng, len(trained), _DRAWS)
        self._counts_hard = bootstrap_counts(rng, len(self.hard), _DRAWS)
        self._xi_c_auc = None
        if xi_c_score is not None:
            self._xi_c_auc = auc(xi_c_score, self.outcome), bootstrap_auc(xi_c_score, self.outcome, self._counts)
        self._places, self._coarse_places = (depth_planes(truth.spec, size) for size in (GRID, _SURFACE_GRID))
        self._true_values = self.surface(self._places)
        outcome_surface = self.surface_through(np.where(self.outcome, 1.0, -1.0))
        self._resampled_truth = self._resampled(outcome_surface)

    def surface_through(self, values: Sequence[float] | np.ndarray) -> Surface:
        """Return a surface through values at the trained points."""
        return Surface(self._spec, self._trained, np.asarray(values, dtype=float))

    def _resampled(self, surface: Surface) -> np.ndarray:
        return surface.resampled(self._coarse_places, self._counts[:_SURFACE_DRAWS])

    def ranking(self, score: np.ndarray) -> dict[str, float]:
        """Return the AUC over all points and over the hard half, and the AUC less that of xi_c, with intervals."""
        s, t, hard = score, self.outcome, self.hard
        area, draws = auc(s, t), bootstrap_auc(s, t, self._counts)
        columns = {"auc": area, **quantile_interval("auc", draws), "auc_hard": auc(s[hard], t[hard])}
        columns |= quantile_interval("auc_hard", bootstrap_auc(s[hard], t[hard], self._counts_hard))
        if self._xi_c_auc is not None:
            columns["auc_minus_xi_c"] = area - self._xi_c_auc[0]
            columns |= quantile_interval("auc_minus_xi_c", draws - self._xi_c_auc[1])
        return columns

    def decision(self, score: np.ndarray, natural: bool) -> dict[str, float]:
        """Return the share of correct predictions at the threshold zero and at the best one, and the best threshold.

        Without ``natural``, zero means nothing to the score and the share at zero is NaN.
        """
        right = (score >= 0) == self.outcome
        threshold, accuracy = best_threshold(score, self.outcome)
        return {
            "accuracy": float(right.mean()) if natural else math.nan,
            **quantile_interval("accuracy", self._counts @ right / len(right) if natural else []),
            "threshold_best": threshold,
            "accuracy_best": accuracy,
        }

    def region(self, surface: Surface) -> dict[str, float]:
        """Return how well the region of a surface overlaps with the true one, and how far apart the boundaries are."""
        values, sigma_w = surface(self._places), self._places["sigma_w"][0, 0]
        distance = math.nan
        if len(sigma_w) > 1:
            distances = np.abs(outer_crossings(sigma_w, values) - outer_crossings(sigma_w, self._true_values))
            distance = float(finite_mean(distances))
        return {
            "iou": float(finite_mean(iou(values, self._true_values))),
            **quantile_interval("iou", finite_mean(iou(self._resampled(surface), self._resampled_truth), 1)),
            "distance": distance,
        }

    def overlap(self, surface: Surface) -> float:
        """Return the intersection over union of the region of a surface and the true one, averaged over the depths."""
        return float(finite_mean(iou(surface(self._places), self._true_values)))

    def calibration(self, score: np.ndarray) -> tuple[dict[str, float], list[dict[str, float | None]]]:
        """Return how good the calibrated probability is, and its bins of reliability.

        They are the share of correct predictions at the calibrated threshold, where it is one half, and its Brier score
        with the interval.
        """
        probability = calibrated_probability(score, self.outcome)
        squared_error = (probability - self.outcome) ** 2
        quality = {
            "accuracy_calibrated": float(((probability >= 0.5) == self.outcome).mean()),
            "brier": float(squared_error.mean()),
            **quantile_interval("brier", self._counts @ squared_error / len(squared_error)),
        }
        return quality, reliability_bins(probability, self.outcome)
