"""The sentence at the top of the report."""

import math

import numpy as np
import pandas as pd

from probes.definition import TRAINABLE_DEPTH
from sweep.model.calibration import predicted_trainable
from sweep.model.estimate import theory_line
from sweep.results.results import Results
from sweep.spec.experiment import Experiment


def sentence(results: Results) -> str:
    """Return a sentence that sums up the results of a sweep, and one that says by what it was calibrated."""
    calibrated = results.calibration_sentence
    return _results_sentence(results) + (f" The margin is {calibrated}." if calibrated else "")


def _results_sentence(results: Results) -> str:
    points, phase = results.points, results.phase
    measured = int(np.isfinite(points["margin"]).sum())
    if not len(points):
        return "Nothing has been measured yet."
    if not measured:
        return f"None of the {len(points)} points could be measured."
    if phase.has_estimates and "sigma_w" in phase.free:
        return _boundary_sentence(results)
    trainable = int(predicted_trainable(points).sum())
    if not phase.free:
        why = "all axes are fixed, so there is no boundary"
    else:
        why = "σ_w is fixed, so there is no critical line" if phase.has_estimates else "too few for a boundary"
    return f"{trainable} of {measured} measured networks are predicted trainable; {why}."


def optimum(spec: Experiment) -> str:
    """Return a clause that says what the critical line is where."""
    if spec.trains_over_rates:
        return "training succeeds best"
    if spec.statistic == TRAINABLE_DEPTH:
        return "trainable networks may be deepest"
    return "information travels deepest" if spec.by_horizon else "the score is largest"


def _boundary_sentence(results: Results) -> str:
    """Return a sentence that says where the critical line is and which of the deepest networks are trainable.

    Both are given at the middle sigma_b, and in the middle of further axes.
    """
    spec = results.spec
    line = results.phase.critical_line()
    middle = len(line) // 2
    row = line.iloc[middle]
    band = results.middle_boundary[results.middle_boundary["depth"] == spec.depth[1]].iloc[middle]
    (theory,) = theory_line(spec, np.array([row["sigma_b"]]))
    theory_text = f"; mean field theory says {theory:.2f}" if math.isfinite(theory) else ""
    values = {"σ_b": f"{row['sigma_b']:.2f}", **{n: f"{v:.4g}" for n, v in spec.further_at().items()}}
    *places, last = (f"{name} = {value}" for name, value in values.items())
    place = f"{', '.join(places)} and {last}" if places else last
    interval = f"90 % interval {row['lower']:.2f} to {row['upper']:.2f}"
    return (
        f"At {place} {optimum(spec)} at σ_w = {row['sigma_w']:.2f} ({interval}{theory_text}), "
        f"and {_band_clause(band, 'expected to train' if results.phase.is_of_truth else 'predicted trainable')}."
    )


def _band_clause(band: pd.Series, good: str) -> str:
    """Return a clause that says for which sigma_w networks are ``good``, given a row of the boundary."""
    networks = f"networks of {int(band['depth'])} layers"
    low, high = (f"{band[end]:.2f}" if math.isfinite(band[end]) else None for end in ("lower", "upper"))
    if low and high:
        return f"{networks} are {good} from σ_w = {low} up to {high}"
    if low:
        return f"{networks} are {good} from σ_w = {low} on"
    if high:
        return f"{networks} are {good} at σ_w up to {high}"
    if band["trainable_share"] > 0.5:
        return f"{networks} are {good} at every σ_w searched"
    return f"no network of {int(band['depth'])} layers is {good} there"
