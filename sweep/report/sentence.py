"""The sentence at the head of the report."""

import math

import numpy as np
import pandas as pd

from sweep.model.estimate import theory_line
from sweep.results.results import Results


def sentence(results: Results) -> str:
    """Say what was found."""
    points, phase = results.points, results.phase
    measured = int(np.isfinite(points["margin"]).sum())
    if not len(points):
        return "Nothing has been measured yet."
    if not measured:
        return f"None of the {len(points)} points could be measured."
    if phase.enough and "sigma_w" in phase.free:
        return _of_the_boundary(results)
    good = int((points["margin"] >= 0).sum())
    if not phase.free:
        why = "one point with its replicas has no boundary"
    else:
        why = "σ_w is fixed: no critical line" if phase.enough else "too few for a boundary"
    return f"{good} of {measured} measured networks are predicted trainable; {why}."


def _of_the_boundary(results: Results) -> str:
    """Say where the critical line is at the middle sigma_b, and which of the deepest networks are trainable there."""
    spec = results.spec
    line = results.phase.critical_line()
    middle = len(line) // 2
    row = line.iloc[middle]
    band = results.boundary[results.boundary["depth"] == spec.depth[1]].iloc[middle]
    (theory,) = theory_line(spec, np.array([row["sigma_b"]]))
    what = "information travels deepest" if spec.by_horizon else "the score is largest"
    says = f"; mean field theory says {theory:.2f}" if math.isfinite(theory) else ""
    return (
        f"At σ_b = {row['sigma_b']:.2f} {what} at σ_w = {row['sigma_w']:.2f} (90 % interval {row['lower']:.2f} to "
        f"{row['upper']:.2f}{says}), and {_of_the_band(band)}."
    )


def _of_the_band(band: pd.Series) -> str:
    """Say between which sigma_w networks of a depth are predicted trainable, given a row of the boundary."""
    networks = f"networks of {int(band['depth'])} layers"
    low, high = (f"{band[end]:.2f}" if math.isfinite(band[end]) else None for end in ("lower", "upper"))
    if low and high:
        return f"{networks} are predicted trainable from σ_w = {low} up to {high}"
    if low:
        return f"{networks} are predicted trainable from σ_w = {low} on"
    if high:
        return f"{networks} are predicted trainable at σ_w up to {high}"
    if band["trainable_share"] > 0.5:
        return f"{networks} are predicted trainable at every σ_w searched"
    return f"no network of {int(band['depth'])} layers is predicted trainable there"
