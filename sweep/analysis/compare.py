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
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sweep.analysis.statistics import (
    STATISTICS,
    auc,
    best_threshold,
    bootstrap_auc,
    bootstrap_counts,
    calibrated_probability,
    finite_mean,
    iou,
    quantile_interval,
    reliability_bins,
    score,
)
from sweep.analysis.surface import (
    GRID,
    MIN_POINTS,
    Surface,
    depth_planes,
    distance_to_boundary,
    truth_surface,
)
from sweep.errors import SpecError
from sweep.model.crossings import outer_crossings
from sweep.results.results import Results
from sweep.spec.columns import POINT
from sweep.spec.spec import SweepSpec
from sweep.text import finite

__all__ = ["Comparison", "compare", "text"]

_DRAWS = 400  # of the bootstrap; of surfaces fewer
_SURFACE_DRAWS = 60
_SURFACE_GRID = 24
_PAPER_IMAGES = 200 * 60_000  # that the paper's protocol shows a network at most


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
    spec: SweepSpec

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
    spec = results.spec
    other = truth or results
    trained = other.points[other.points["trainable"].notna()]
    where = f"{other.home.place!r}"
    if len(trained) < MIN_POINTS:
        raise SpecError(f"{where} must hold at least {MIN_POINTS} trained points, got {len(trained)}: see --train")
    if trained["trainable"].nunique() < 2:
        outcome = "above" if trained["trainable"].iloc[0] else "below"
        raise SpecError(
            f"{where} must hold networks of both outcomes, got all {outcome} the level of {other.level:.3g}"
        )
    _check_alike(spec, other.spec)
    scored = _scored(results, trained, same=truth is None)
    names = [n for n in STATISTICS if n in scored]
    if spec.statistic not in names:
        raise SpecError(f"{results.home.place!r} must hold measured points, got none with a {spec.statistic}")
    t = trained["trainable"].to_numpy(bool)
    true = truth_surface(other.spec, other.points)
    distance = distance_to_boundary(true, trained, other.spec)
    hard = np.argsort(distance, kind="stable")[: len(t) // 2]

    rng = np.random.default_rng(0)
    counts = bootstrap_counts(rng, len(t), _DRAWS)
    counts_hard = bootstrap_counts(rng, len(hard), _DRAWS)
    planes, coarse = depth_planes(other.spec, GRID), depth_planes(other.spec, _SURFACE_GRID)
    true_plane = true(planes)
    sigma_w = planes["sigma_w"][0, 0]
    base = scored["xi_c"].to_numpy() if "xi_c" in names else None
    base_draws = None if base is None else bootstrap_auc(base, t, counts)
    known = Surface(other.spec, trained, np.where(t, 1.0, -1.0))
    true_draws = known.resampled(coarse, counts[:_SURFACE_DRAWS])
    rows, reliability = {}, {}
    for name in names:
        s = scored[name].to_numpy()
        found: dict[str, float] = {"auc": auc(s, t)}
        draws = bootstrap_auc(s, t, counts)
        found |= quantile_interval("auc", draws)
        found["auc_hard"] = auc(s[hard], t[hard])
        found |= quantile_interval("auc_hard", bootstrap_auc(s[hard], t[hard], counts_hard))
        if base is not None:
            found["auc_minus_xi_c"] = found["auc"] - auc(base, t)
            found |= quantile_interval("auc_minus_xi_c", draws - base_draws)
        right = (s >= 0) == t
        natural = STATISTICS[name].natural
        found["accuracy"] = float(right.mean()) if natural else math.nan
        found |= quantile_interval("accuracy", counts @ right / len(t) if natural else [])
        found["threshold_best"], found["accuracy_best"] = best_threshold(s, t)
        surface = Surface(other.spec, trained, s if natural else s - found["threshold_best"])
        plane = surface(planes)
        found["iou"] = float(finite_mean(iou(plane, true_plane)))
        found |= quantile_interval(
            "iou", finite_mean(iou(surface.resampled(coarse, counts[:_SURFACE_DRAWS]), true_draws), 1)
        )
        if len(sigma_w) > 1:
            apart = np.abs(outer_crossings(sigma_w, plane) - outer_crossings(sigma_w, true_plane))
        found["distance"] = float(finite_mean(apart)) if len(sigma_w) > 1 else math.nan
        probability = calibrated_probability(s, t)
        wrong = (probability - t) ** 2
        found["brier"] = float(wrong.mean())
        found |= quantile_interval("brier", counts @ wrong / len(t))
        rows[name] = found
        reliability[name] = reliability_bins(probability, t)
        if name == spec.statistic:
            prediction = surface
    info: dict[str, Any] = {
        "points": len(t),
        "trainable": int(t.sum()),
        "hard_half": {"points": len(hard), "trainable": int(t[hard].sum())},
        "level": other.level,
        "interpolated": int(scored.attrs["interpolated"]),
    }
    if truth is not None and results.points["trainable"].nunique() > 1:
        ours = truth_surface(spec, results.points)(planes)
        info["truth_iou"] = finite(float(finite_mean(iou(ours, true_plane))))
        info["trained"] = [int(r.points["trainable"].notna().sum()) for r in (results, other)]
    return Comparison(
        pd.DataFrame.from_dict(rows, orient="index"),
        reliability,
        str(spec.statistic),
        _cost(results, other),
        pd.concat([trained, scored.add_prefix("score_")], axis=1),
        info,
        true,
        prediction,
        Surface(other.spec, trained, trained["accuracy"].to_numpy(float)),
        other.spec,
    )


def _check_alike(one: SweepSpec, other: SweepSpec) -> None:
    """Refuse to compare what was measured on one kind of network with what was trained on another."""
    for name in ("dataset", "resize", "architecture", "width", "widths", "activation"):
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
    """Scores of the trained points, a column a statistic that was measured; by interpolation where a point was not."""
    spec = results.spec
    probed = results.points[np.isfinite(results.points["margin"])]
    names = [n for n in STATISTICS if np.isfinite(score(n, probed, spec)).any()]
    own = pd.DataFrame({n: score(n, probed, spec) for n in names}, index=pd.MultiIndex.from_frame(probed[list(POINT)]))
    found = own.reindex(pd.MultiIndex.from_frame(trained[list(POINT)]))
    found.index = trained.index
    missing = found.isna().any(axis=1)
    if missing.any() and not same:
        for n in names:
            # Scores that are clipped would bend the surface around them.
            surface = Surface(spec, probed, np.clip(score(n, probed, spec), -4, 4))
            places = {a: trained.loc[missing, a].to_numpy(float) for a in spec.free_axes}
            found.loc[missing, n] = surface(places)
    found.attrs["interpolated"] = int(missing.sum())
    return found


def _cost(results: Results, truth: Results) -> dict[str, Any]:
    """Means a point, in seconds and floating point operations: of each probe, and of the training that it replaces.

    ``paper``: the published protocol (60,000 images 200 times), extrapolated from the training that was measured.
    """
    trained = truth.points[truth.points["train_seconds"].notna()]
    # The same points where there are any, for the depths differ.
    probed = results.points.merge(trained[list(POINT)], on=list(POINT)) if results is not truth else trained
    probed = probed if len(probed) else results.points
    training = {"seconds": trained["train_seconds"].mean(), "flops": trained["train_flops"].mean()}
    seen = (trained["train_epochs"] * trained["train_images"]).astype(float)
    per_image = {k: (trained[f"train_{k}"] / seen).mean() for k in training}
    found: dict[str, Any] = {
        "training": {**training, "images_seen": seen.mean()},
        "paper": {k: v * _PAPER_IMAGES for k, v in per_image.items()},
    }
    for probe in ("direct", "cascade"):
        cost = {k: probed[f"{probe}_{k}"].astype(float).mean() for k in training}
        if math.isfinite(cost["seconds"]):
            found[probe] = cost | {
                f"{against}_over_probe_{k}": found[against][k] / cost[k]
                for against in ("training", "paper")
                for k in cost
            }
    return found


def text(found: Comparison) -> str:
    """The comparison for people."""
    info, table = found.info, found.table
    hard = info["hard_half"]
    lines = [
        f"{info['points']} trained points, {info['trainable']} of them above the level of {info['level']:.3g}; "
        f"hard half: {hard['trainable']} of {hard['points']}",
    ]
    if info["interpolated"]:
        lines.append(f"{info['interpolated']} of them were not probed: their scores are interpolated")
    lines += [
        "",
        f"{'':<22}{'AUC':>22}{'hard half':>22}{'accuracy':>10}{'best':>6}{'IoU':>19}{'distance':>10}{'Brier':>8}",
    ]
    for name, row in table.to_dict("index").items():
        star = "*" if name == found.default else ""
        cells = [
            f"{_with_interval(row, 'auc'):>22}",
            f"{_with_interval(row, 'auc_hard'):>22}",
            f"{_number(row['accuracy'], 2):>10}",
            f"{_number(row['accuracy_best'], 2):>6}",
            f"{_with_interval(row, 'iou', 2):>19}",
            f"{_number(row['distance'], 3):>10}",
            f"{_number(row['brier'], 3):>8}",
        ]
        lines.append(f"{str(name) + star:<22}" + "".join(cells))
    lines += ["", "* drives the sweep; in brackets 5 % to 95 %; accuracy at the default threshold and at the best one"]
    if "auc_minus_xi_c" in table and found.default in table.index:
        difference = _with_interval(dict(table.loc[found.default]), "auc_minus_xi_c")
        lines.append(f"AUC of {found.default} less that of xi_c: {difference}")
    if "truth_iou" in info:
        ours, theirs = info["trained"]
        lines.append(
            f"IoU of the two truths: {_number(info['truth_iou'] or math.nan, 3)} ({ours} and {theirs} trainings)"
        )
    lines.append("")
    training, paper = found.cost["training"], found.cost["paper"]
    lines.append(f"training: {training['seconds']:.3g} s a point; the paper's protocol: {paper['seconds']:.3g} s")
    for probe in ("direct", "cascade"):
        if probe in found.cost:
            c = found.cost[probe]
            lines.append(
                f"{probe}: {c['seconds']:.3g} s a point; training takes {c['training_over_probe_seconds']:.3g} times "
                f"as long ({c['training_over_probe_flops']:.3g} times the operations), the paper's protocol "
                f"{c['paper_over_probe_seconds']:.3g} times"
            )
    return "\n".join(lines)


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _with_interval(row: dict[Any, Any], name: str, digits: int = 3) -> str:
    if math.isnan(row[name]):
        return "-"
    return f"{row[name]:.{digits}f} [{_number(row[f'{name}_5'], digits)}, {_number(row[f'{name}_95'], digits)}]"
