r"""Prediction against truth: how far each statistic of the probes can be trusted.

==========  ====================================================================================  ===================
symbol      meaning                                                                               shape
==========  ====================================================================================  ===================
score       of a statistic, see `STATISTICS`: the larger, the more trainable; 0 at its threshold  ``[points]``
t           truth: whether training came above the level                                          ``[points]``
surface     a Gaussian process through +1 (trained) and -1, or through a score: its zero is the
            boundary, the region is where it is positive                                          ``[places]``
counts      how often each point is in each draw of the bootstrap                                 ``[draws, points]``
==========  ====================================================================================  ===================

Points far from the boundary are easy. So the AUC is also given for the hard half: the points nearest to the true
boundary by \|log(sigma_w / sigma_w_boundary)\|. Intervals are 5 % to 95 % of a bootstrap over the points.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sweep.analysis.cost import mean_cost
from sweep.analysis.judge import Judge
from sweep.analysis.statistics import STATISTICS, score
from sweep.analysis.surface import MIN_POINTS, Surface, truth_surface
from sweep.errors import SpecError
from sweep.results.results import Results
from sweep.spec.columns import POINT
from sweep.spec.experiment import Experiment
from sweep.text import finite


@dataclass
class Comparison:
    """What `compare` found.

    Attributes
    ----------
    table:
        One row a statistic, see `compare`.
    reliability:
        By statistic, for bins of the calibrated probability: predicted, observed, points.
    default:
        Name of the statistic that the sweep was driven by.
    cost:
        Seconds and floating point operations of the probes and of the training.
    points:
        The rows compared, with their scores.
    info:
        Number of points and of those trained, the level, and where there are two truths the IoU of their regions.
    truth, prediction, accuracy:
        Surfaces of the truth, of the default statistic's score and of the accuracy, over the axes of ``spec``.
    """

    table: pd.DataFrame
    reliability: dict[str, list[dict[str, float | None]]]
    default: str
    cost: dict[str, Any]
    points: pd.DataFrame
    info: dict[str, Any]
    truth: Surface
    prediction: Surface
    accuracy: Surface
    spec: Experiment

    def as_json(self) -> str:
        """``{"default": NAME, "statistics": {NAME: {"auc": ..., ...}}, "cost": {...}, ...}``; null where undefined."""
        statistics = {
            str(name): {k: finite(v) if isinstance(v, float) else v for k, v in row.items()}
            for name, row in self.table.to_dict("index").items()
        }
        for name, bins in self.reliability.items():
            statistics[name]["reliability"] = bins
        cost = {what: {k: finite(v) for k, v in values.items()} for what, values in self.cost.items()}
        return json.dumps(
            {"default": self.default, "statistics": statistics, "cost": cost, **self.info}, allow_nan=False
        )


def compare(results: Results, truth: Results | None = None) -> Comparison:
    """Compare what the probes of a sweep predict with what training gave, there or in another sweep.

    Points of both sweeps are matched by (sigma_w, sigma_b, depth, seed); where a trained point was not probed, each
    score is interpolated from the points that were. The columns of the table: ``auc``, ``auc_hard``, ``auc_minus_xi_c``
    (each with the ends ``_5`` and ``_95`` of its interval), ``accuracy`` at the default threshold and ``accuracy_best``
    at the best one (``threshold_best``, a score), ``iou`` of the region predicted at the default threshold with the
    true one (grids of 64 x 64 at a few depths), ``distance``: mean of ``|sigma_w predicted - sigma_w true|`` along the
    boundary, ``brier``.

    Raises
    ------
    SpecError
        Too few trained points, or all of one outcome; two sweeps of different networks or images.
    """
    other = truth or results
    trained = _trained(other)
    _check_alike(results.spec, other.spec)
    scores = _scored(results, trained, same=truth is None)
    default = str(results.spec.statistic)
    if default not in scores:
        raise SpecError(f"{results.files.location!r} must hold measured points, got none with a {default}")
    judge = Judge(other, trained, scores["xi_c"].to_numpy() if "xi_c" in scores else None)
    rows, reliability, surfaces = {}, {}, {}
    for name in map(str, scores):
        s, natural = scores[name].to_numpy(), STATISTICS[name].natural
        row = judge.ranking(s) | judge.decision(s, natural)
        surfaces[name] = judge.through(s if natural else s - row["threshold_best"])
        row |= judge.region(surfaces[name])
        brier, reliability[name] = judge.calibration(s)
        rows[name] = row | brier
    t, hard = judge.outcome, judge.hard
    info: dict[str, Any] = {
        "points": len(t),
        "trainable": int(t.sum()),
        "hard_half": {"points": len(hard), "trainable": int(t[hard].sum())},
        "level": other.level,
        "interpolated": int(scores.attrs["interpolated"]),
    }
    if truth is not None and results.points["trainable"].nunique() > 1:
        info["truth_iou"] = finite(judge.overlap(truth_surface(results.spec, results.points)))
        info["trained"] = [int(r.points["trainable"].notna().sum()) for r in (results, other)]
    return Comparison(
        pd.DataFrame.from_dict(rows, orient="index"),
        reliability,
        default,
        mean_cost(results, other),
        pd.concat([trained, scores.add_prefix("score_")], axis=1),
        info,
        judge.surface,
        surfaces[default],
        judge.through(trained["accuracy"].to_numpy(float)),
        other.spec,
    )


def _trained(truth: Results) -> pd.DataFrame:
    """Return the trained rows of the truth, of which there must be some, of both outcomes."""
    trained, where = truth.points[truth.points["trainable"].notna()], repr(truth.files.location)
    if len(trained) < MIN_POINTS:
        raise SpecError(f"{where} must hold at least {MIN_POINTS} trained points, got {len(trained)}: see --train")
    if trained["trainable"].nunique() < 2:
        outcome = "above" if trained["trainable"].iloc[0] else "below"
        raise SpecError(
            f"{where} must hold networks of both outcomes, got all {outcome} the level of {truth.level:.3g}"
        )
    return trained


def _check_alike(one: Experiment, other: Experiment) -> None:
    """Refuse to compare what was measured on one kind of network with what was trained on another."""
    if not one.has_data_of(other):
        raise SpecError(f"`truth` must be a sweep of the same data, got {other.data!r} for {one.data!r}")
    for name in ("resize", "architecture", "width", "widths", "activation"):
        a, b = getattr(one, name), getattr(other, name)
        if a != b:
            raise SpecError(f"`truth` must be a sweep with the same {name}, got {b!r} for {a!r}")
    if one.free_axes != other.free_axes:
        raise SpecError(
            f"`truth` must be a sweep over the same axes, got {', '.join(other.free_axes) or 'none'} "
            f"for {', '.join(one.free_axes) or 'none'}"
        )
    if not one.free_axes:
        raise SpecError("a comparison needs a sweep with a free axis, got one point with its replicas")


def _scored(results: Results, trained: pd.DataFrame, *, same: bool) -> pd.DataFrame:
    """Return the scores of the trained points, a column a statistic; interpolated where a point was not measured."""
    spec = results.spec
    probed = results.points[np.isfinite(results.points["margin"])]
    names = [n for n in STATISTICS if np.isfinite(score(n, probed, spec)).any()]
    own = pd.DataFrame({n: score(n, probed, spec) for n in names}, index=pd.MultiIndex.from_frame(probed[list(POINT)]))
    scores = own.reindex(pd.MultiIndex.from_frame(trained[list(POINT)]))
    scores.index = trained.index
    missing = scores.isna().any(axis=1)
    if missing.any() and not same:
        for n in names:
            # Scores that are clipped would bend the surface around them.
            surface = Surface(spec, probed, np.clip(score(n, probed, spec), -4, 4))
            places = {a: trained.loc[missing, a].to_numpy(float) for a in spec.free_axes}
            scores.loc[missing, n] = surface(places)
    scores.attrs["interpolated"] = int(missing.sum())
    return scores
