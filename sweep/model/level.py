"""The accuracy above which a network counts as trained."""

import math

import numpy as np
import pandas as pd


def trained_level(points: pd.DataFrame) -> float:
    """The accuracy above which a network counts as trained, unless it is given.

    Half way from chance to the best accuracy of the sweep, and at least a tenth of the way to 1: where nothing could be
    learnt, nothing was trained. NaN if nothing was trained.
    """
    return level_of(points["accuracy"].to_numpy(), points["chance"].to_numpy())


def level_of(accuracy: np.ndarray, chance: np.ndarray) -> float:
    """`trained_level`, from arrays."""
    if not np.isfinite(accuracy).any():
        return math.nan
    by_chance = float(np.nanmax(chance))
    return max(by_chance + (float(np.nanmax(accuracy)) - by_chance) / 2, by_chance + 0.1 * (1 - by_chance))
