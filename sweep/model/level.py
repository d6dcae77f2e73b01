"""The level: the accuracy above which a network counts as trained."""

import math

import numpy as np
import pandas as pd


def trained_level(points: pd.DataFrame) -> float:
    """Return the accuracy above which a network counts as trained, for a sweep that does not state it.

    Parameters
    ----------
    points:
        ``points`` table of a sweep, with the columns ``accuracy`` and ``chance``.

    Returns
    -------
    float
        Half way from chance to the best accuracy of the sweep, and at least a tenth of the way from chance to 1, so
        that no network counts as trained where nothing could be learnt; NaN if no network was trained.
    """
    return level_of(points["accuracy"].to_numpy(), points["chance"].to_numpy())


def level_of(accuracy: np.ndarray, chance: np.ndarray) -> float:
    """Return `trained_level` for arrays of accuracies and of chance levels."""
    if not np.isfinite(accuracy).any():
        return math.nan
    by_chance = float(np.nanmax(chance))
    return max(by_chance + (float(np.nanmax(accuracy)) - by_chance) / 2, by_chance + 0.1 * (1 - by_chance))
