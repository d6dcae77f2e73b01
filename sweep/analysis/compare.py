r"""Comparison of prediction and truth: how far each statistic of the probes can be trusted.

==========  ====================================================================================  ===================
symbol      meaning                                                                               shape
==========  ====================================================================================  ===================
score       value of a statistic, see `STATISTICS`: the larger, the more trainable; 0 at its      ``[points]``
            threshold
t           truth: whether the accuracy after training is above the level                         ``[points]``
surface     a Gaussian process through +1 (trained) and -1, or through a score: its zero is the   ``[places]``
            boundary, the region is where it is positive
counts      how often each point occurs in each draw of the bootstrap                             ``[draws, points]``
==========  ====================================================================================  ===================

Points far from the boundary are easy to predict. The AUC is therefore also given for the hard half of the points: the
ones nearest to the true boundary by \|log(sigma_w / sigma_w_boundary)\|. Intervals are the 5 % and 95 % quantiles of a
bootstrap over the points.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from sweep.analysis.cost import mean_cost
from sweep.analysis.judge import Judge
from sweep.analysis.skill import reliability_bins
from sweep.analysis.statistics import STATISTICS, score
from sweep.analysis.surface import MIN_POINTS, Surface, truth_surface
from sweep.errors import SpecError
from sweep.model.calibration import Calibration, default_of, expected
from sweep.results.results import Results
from sweep.spec.experiment import Experiment
from sweep.spec.rows import keys_of
from sweep.text import finite


@dataclass
class Comparison:
    """The result of `compare`.

    Attributes
    ----------
    table:
        One row per statistic; the columns are described in `compare`.
    reliability:
        For each statistic, a list of bins of the calibrated probability of being trainable: the mean ``predicted``
        probability, the ``observed`` share of trained networks and the number of ``points``. The probability is fitted
        to these trainings, with cross-validation.
    default_reliability:
        The same for the default statistic and the default calibration, which knows nothing of these trainings.
    calibration:
        The calibration of the sweep with the probes.
    default:
        Name of the statistic that the margin of the sweep is made of.
    cost:
        Mean seconds and floating point operations per point of the probes and of the training, see `mean_cost`.
    points:
        The rows of the trained points, with a column ``score_NAME`` for each statistic.
    info:
        The numbers of points and of trained ones among them, the level of accuracy, the number of interpolated points
        and, if both sweeps were trained, the intersection over union of their true regions.
    truth, prediction, accuracy:
        Surfaces of the truth, of the default statistic's calibrated score and of the accuracy, over the free axes of
        ``spec``.
    spec:
        The specification of the sweep that was trained.
    """

    table: pd.DataFrame
    reliability: dict[str, list[dict[str, float | None]]]
    default_reliability: list[dict[str, float | None]]
    calibration: Calibration
    default: str
    cost: dict[str, Any]
    points: pd.DataFrame
    info: dict[str, Any]
    truth: Surface
    prediction: Surface
    accuracy: Surface
    spec: Experiment

    def as_json(self) -> str:
        """Return the comparison as JSON, with null for numbers that are not defined.

        It has the form ``{"default": NAME, "statistics": {NAME: {"auc": ..., ...}}, "cost": {...}, ...}``.
        """
        statistics = {
            str(name): {k: finite(v) if isinstance(v, float) else v for k, v in row.items()}
            for name, row in self.table.to_dict("index").items()
        }
        for name, bins in self.reliability.items():
            statistics[name]["reliability"] = bins
        statistics[self.default]["default_reliability"] = self.default_reliability
        cost = {what: {k: finite(v) for k, v in values.items()} for what, values in self.cost.items()}
        parts = {"statistics": statistics, "cost": cost, "calibration": asdict(self.calibration)}
        return json.dumps({"default": self.default, **parts, **self.info}, allow_nan=False)


def compare(results: Results, truth: Results | None = None) -> Comparison:
    """Compare what the probes of a sweep predict with the outcome of training, in the same sweep or in another.

    Points of two sweeps are matched by (sigma_w, sigma_b, depth, seed) and further axes. If a trained point was not
    probed, its scores are interpolated from the points that were.

    Parameters
    ----------
    results:
        The sweep with the probes.
    truth:
        The sweep with the training; None: the same sweep.

    Returns
    -------
    Comparison
        Its table has one row per statistic and these columns, most of them with the ends ``_5`` and ``_95`` of their
        intervals:

        - ``auc``, ``auc_hard``: the AUC over all points, and over the hard half;
        - ``auc_minus_xi_c``: the AUC less that of mean field's 6 xi_c / depth, if that is known;
        - ``accuracy``: the share of correct predictions at the default threshold;
        - ``accuracy_calibrated``: the same at the threshold that was calibrated by these trainings, with
          cross-validation;
        - ``accuracy_best``, ``threshold_best``: the same at the best threshold, and that threshold, as a score;
        - ``iou``: the intersection over union of the predicted region and the true one, on grids of 64 x 64 at a few
          depths;
        - ``distance``: the mean of ``|sigma_w predicted - sigma_w true|`` along the boundary;
        - ``brier``: the Brier score of the calibrated probability.

    Raises
    ------
    SpecError
        There are too few trained points, or all have the same outcome; the sweeps are of different networks, data or
        axes.
    """
    other = truth or results
    trained = _trained(other)
    _check_alike(results.spec, other.spec)
    scores = _trained_scores(results, trained, same=truth is None)
    default = str(results.spec.statistic)
    if default not in scores:
        raise SpecError(f"{results.files.location!r} must hold measured points, got none with a {default}")
    judge = Judge(other, trained, scores["xi_c"].to_numpy() if "xi_c" in scores else None)
    rows, reliability, surfaces = {}, {}, {}
    for name in map(str, scores):
        s, natural = scores[name].to_numpy(), STATISTICS[name].natural
        row = judge.ranking(s) | judge.decision(s, natural)
        surfaces[name] = judge.surface_through(s if natural else s - row["threshold_best"])
        row |= judge.region(surfaces[name])
        quality, reliability[name] = judge.calibration(s)
        rows[name] = row | quality
    t, hard = judge.outcome, judge.hard
    score_of_default, calibration = scores[default].to_numpy(), results.calibration
    censored = trained["margin_censored"].fillna(False).astype(bool)
    if calibration.networks:
        surfaces[default] = judge.surface_through(score_of_default - calibration.shift)
    by_default = default_of(results.spec)
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
        reliability_bins(by_default.probability(expected(score_of_default, censored)), t),
        calibration,
        default,
        mean_cost(results, other),
        pd.concat([trained, scores.add_prefix("score_")], axis=1),
        info,
        judge.surface,
        surfaces[default],
        judge.surface_through(trained["accuracy"].to_numpy(float)),
        other.spec,
    )


def _trained(truth: Results) -> pd.DataFrame:
    """Return the rows of trained points; refuse results with too few of them, or with a single outcome."""
    trained, location = truth.points[truth.points["trainable"].notna()], repr(truth.files.location)
    if len(trained) < MIN_POINTS:
        raise SpecError(f"{location} must hold at least {MIN_POINTS} trained points, got {len(trained)}: use --train")
    if trained["trainable"].nunique() < 2:
        outcome = "above" if trained["trainable"].iloc[0] else "below"
        raise SpecError(
            f"{location} must hold networks of both outcomes, got all {outcome} the level of {truth.level:.3g}"
        )
    return trained


def _check_alike(one: Experiment, other: Experiment) -> None:
    """Refuse to compare sweeps of different data, networks or axes, or without a free axis."""
    if not one.has_data_of(other):
        raise SpecError(f"`truth` must be a sweep of the same data, got {other.data!r} for {one.data!r}")
    for name in ("resize", "architecture", "width", "widths", "activation", "code", "layers", "initialise"):
        a, b = getattr(one, name), getattr(other, name)
        if a != b:
            raise SpecError(f"`truth` must be a sweep with the same {name}, got {b!r} for {a!r}")
    if one.free_axes != other.free_axes:
        raise SpecError(
            f"`truth` must be a sweep over the same axes, got {', '.join(other.free_axes) or 'none'} "
            f"for {', '.join(one.free_axes) or 'none'}"
        )
    if one.further_names != other.further_names:
        mine, theirs = (", ".join(spec.further_names) or "none" for spec in (one, other))
        raise SpecError(f"`truth` must be a sweep with the same further axes, {mine}, got {theirs}")
    if not one.free_axes:
        raise SpecError("a comparison needs a sweep with at least one free axis, got one point with its replicas")


def _trained_scores(results: Results, trained: pd.DataFrame, *, same: bool) -> pd.DataFrame:
    """Return the scores of the trained points, with a column for each statistic.

    Those of points that were not probed are interpolated, unless probes and truth are of the ``same`` sweep.
    """
    spec, keys = results.spec, keys_of(results.spec)
    probed = results.points[np.isfinite(results.points["margin"])]
    names = [n for n in STATISTICS if np.isfinite(score(n, probed, spec)).any()]
    own = pd.DataFrame({n: score(n, probed, spec) for n in names}, index=pd.MultiIndex.from_frame(probed[keys]))
    scores = own.reindex(pd.MultiIndex.from_frame(trained[keys]))
    scores.index = trained.index
    missing = scores.isna().any(axis=1)
    if missing.any() and not same:
        for n in names:
            # Extreme scores would distort the surface around them.
            surface = Surface(spec, probed, np.clip(score(n, probed, spec), -4, 4))
            places = {a: trained.loc[missing, a].to_numpy(float) for a in spec.free_axes}
            scores.loc[missing, n] = surface(places)
    scores.attrs["interpolated"] = int(missing.sum())
    return scores
