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
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from probes.point import MIN_HORIZON, NEEDED, THRESHOLDS

from .boundary import Axis, LevelSet
from .frame import POINT, Results, finite
from .spec import SpecError, SweepSpec

__all__ = [
    "STATISTICS",
    "Comparison",
    "Statistic",
    "Surface",
    "auc",
    "compare",
    "score",
    "text",
    "threshold_of",
    "truth_surface",
]

MIN_POINTS = 12  # trained, and both outcomes among them, before anything is said
GRID = 64
_DRAWS = 400  # of the bootstrap; of surfaces fewer
_SURFACE_DRAWS = 60
_SURFACE_GRID = 24
_FOLDS = 5
_BINS = 5
_PAPER_IMAGES = 200 * 60_000  # that the paper's protocol shows a network at most
_LIMIT = 10.0  # scores beyond are as good as infinite


@dataclass(frozen=True)
class Statistic:
    """One number that predicts trainability.

    Attributes
    ----------
    meaning:
        Of its score.
    score:
        From rows of the ``points`` table and the spec.
    natural:
        Whether zero is a threshold that was there before any truth was.
    """

    meaning: str
    score: Callable[[pd.DataFrame, SweepSpec], pd.Series]
    natural: bool = True


def _margin(name: str) -> Callable[[pd.DataFrame, SweepSpec], pd.Series]:
    return lambda points, spec: _ratio(points[name], points) - math.log(NEEDED[name])


def _ratio(numerator: pd.Series, points: pd.DataFrame) -> pd.Series:
    ratio: pd.Series = numerator.astype(float).clip(lower=MIN_HORIZON) / points["depth"]
    return ratio.map(math.log, na_action="ignore")


def _above_threshold(name: str) -> Callable[[pd.DataFrame, SweepSpec], pd.Series]:
    return lambda points, spec: points[name] - threshold_of(spec, name)


def threshold_of(spec: SweepSpec, name: str) -> float:
    """Retained information below which it counts as lost, by one of the statistics of a probe."""
    return THRESHOLDS[name] if spec.threshold is None else spec.threshold


STATISTICS: dict[str, Statistic] = {
    "direct_horizon": Statistic("log(horizon / (share depth))", _margin("direct_horizon")),
    "direct_retained": Statistic("retained information - threshold", _above_threshold("direct_retained")),
    "cascade_horizon": Statistic("log(horizon / depth)", _margin("cascade_horizon")),
    "cascade_retained": Statistic("retained information - threshold", _above_threshold("cascade_retained")),
    "cascade_cutoff": Statistic(
        "published: log((cutoff + 1) / depth)", lambda p, s: _ratio(p["cascade_cutoff"] + 1, p)
    ),
    "differential_entropy": Statistic("published: at the last layer", lambda p, s: p["differential_entropy"], False),
    "xi_c": Statistic("mean field: log(6 xi_c / depth)", lambda p, s: _ratio(6 * p["xi_c"], p)),
    "chi_1": Statistic("mean field: 1 - depth |chi_1 - 1|", lambda p, s: 1 - p["depth"] * (p["chi_1"] - 1).abs()),
}


def score(name: str, points: pd.DataFrame, spec: SweepSpec) -> np.ndarray:
    """Of one of `STATISTICS`, for rows of the ``points`` table; NaN where it was not measured."""
    values = STATISTICS[name].score(points, spec)
    return np.asarray(values.astype(float).clip(-1e3, _LIMIT))


def auc(score: np.ndarray, truth: np.ndarray) -> float:
    """Probability that a trained network has the higher score of two (ties count half); NaN if a class is empty."""
    positive = int(truth.sum())
    negative = len(truth) - positive
    if not positive or not negative:
        return math.nan
    ranks = rankdata(score)
    return float((ranks[truth].sum() - positive * (positive + 1) / 2) / (positive * negative))


def _auc_draws(score: np.ndarray, truth: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The AUC had every point been there so many times, ``[draws]`` for counts ``[draws, points]``."""
    value = np.unique(score, return_inverse=True)[1]  # equal scores are one value
    found = np.full(len(counts), math.nan)
    for i, count in enumerate(counts):
        positive, negative = np.bincount(value, count * truth), np.bincount(value, count * ~truth)
        if total := positive.sum() * negative.sum():
            found[i] = positive @ (negative.cumsum() - negative / 2) / total
    return found


class Surface:
    """A smooth function of (sigma_w, sigma_b, depth) through values at points, all on log scales but sigma_b.

    Parameters
    ----------
    spec:
        Whose free axes it is over.
    points, values:
        Rows with the columns of the axes, and as many numbers.
    """

    def __init__(self, spec: SweepSpec, points: pd.DataFrame, values: np.ndarray) -> None:
        self._free = spec.free_axes
        ends = {a: getattr(spec, a) for a in self._free}
        axes = [Axis(a, low, high, log=a != "sigma_b") for a, (low, high) in ends.items()]
        self._model = LevelSet(axes, seed=spec.seed)
        self._model.tell(points[self._free].to_numpy(float), list(values))

    def _at(self, places: dict[str, np.ndarray]) -> np.ndarray:
        return np.stack([places[a].ravel() for a in self._free], 1)

    def __call__(self, places: dict[str, np.ndarray]) -> np.ndarray:
        """At places of one shape each, in that shape."""
        flat = self._at(places)
        parts = [self._model.mean(flat[i : i + 5000]) for i in range(0, len(flat), 5000)]
        return np.concatenate(parts).reshape(next(iter(places.values())).shape)

    def resampled(self, places: dict[str, np.ndarray], weights: np.ndarray) -> np.ndarray:
        """The same ``[draws, ...]`` had every point counted with a weight of ``[draws, points]``."""
        found = self._model.reweighted(self._at(places), weights)
        return found.reshape(len(weights), *next(iter(places.values())).shape)


def truth_surface(spec: SweepSpec, points: pd.DataFrame) -> Surface:
    """Through +1 where a network was trained above the level and -1 where it was not.

    In a sweep that trained the boundary only, the points that it left out count as what was predicted of them.
    """
    known = points["trainable"].notna()
    sign = np.where(points["trainable"].fillna(points["margin"] >= 0).astype(bool), 1.0, -1.0)
    use = (known | ((spec.train == "boundary") & points["margin"].notna())).to_numpy()
    return Surface(spec, points[use], sign[use])


def _planes(spec: SweepSpec, size: int) -> dict[str, np.ndarray]:
    """``[depths, sigma_b, sigma_w]`` places: a plane for each of a few depths."""
    low, high = spec.depth
    depths = np.unique(np.geomspace(low, high, 4).round())
    ends = [(getattr(spec, a), size if a in spec.free_axes else 1) for a in ("sigma_b", "sigma_w")]
    sides = [np.linspace(low, high, count) for (low, high), count in ends]
    d, b, w = np.meshgrid(depths, *sides, indexing="ij")
    return {"sigma_w": w, "sigma_b": b, "depth": d}


def iou(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Intersection over union of two regions ``[..., depths, sigma_b, sigma_w]``, per depth; NaN if both are empty."""
    a, b = one >= 0, other >= 0
    union = (a | b).sum((-2, -1))
    return np.where(union > 0, (a & b).sum((-2, -1)) / np.maximum(union, 1), math.nan)


def _mean(values: np.ndarray, axis: Any = None) -> Any:
    """Of the finite ones; NaN if there are none."""
    good = np.isfinite(values)
    return np.where(good.any(axis), np.where(good, values, 0).sum(axis) / np.maximum(good.sum(axis), 1), math.nan)


def _crossings(surface: np.ndarray, sigma_w: np.ndarray) -> np.ndarray:
    """First rise and last fall through zero along the last axis, ``[..., 2]``; NaN where there is none."""
    up, down = (surface[..., :-1] < 0) & (surface[..., 1:] >= 0), (surface[..., :-1] >= 0) & (surface[..., 1:] < 0)
    ends = []
    for crosses, index in ((up, up.argmax(-1)), (down, down.shape[-1] - 1 - down[..., ::-1].argmax(-1))):
        left, right = (np.take_along_axis(surface, index[..., None] + i, -1)[..., 0] for i in (0, 1))
        share = left / np.where(left == right, 1, left - right)
        ends.append(np.where(crosses.any(-1), sigma_w[index] + share * (sigma_w[index + 1] - sigma_w[index]), math.nan))
    return np.stack(ends, -1)


def _distance_to_boundary(truth: Surface, points: pd.DataFrame, spec: SweepSpec) -> np.ndarray:
    """``|log(sigma_w / nearest sigma_w of the true boundary)|`` at a point's sigma_b and depth; infinite if none."""
    sigma_w = np.geomspace(*spec.sigma_w, 161)
    shape = (len(points), len(sigma_w))
    places = {a: np.broadcast_to(points[a].to_numpy(float)[:, None], shape) for a in ("sigma_b", "depth")}
    ends = _crossings(truth({**places, "sigma_w": np.broadcast_to(sigma_w, shape)}), sigma_w)
    distance = np.abs(np.log(points["sigma_w"].to_numpy(float)[:, None] / ends))
    return np.nan_to_num(distance, nan=math.inf).min(1)


def _calibrated(score: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Probability of being trainable: a logistic curve in the score, fitted to the other folds of the points."""
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


def _best_threshold(score: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """The threshold that is right most often, and how often; half way between two scores."""
    order = np.argsort(score)
    s, t = score[order], truth[order]
    right = np.concatenate([[t.sum()], t.sum() - np.cumsum(t) + np.cumsum(~t)]) / len(t)
    cuts = np.concatenate([[s[0] - 1], (s[:-1] + s[1:]) / 2, [s[-1] + 1]])
    right[1:-1][s[:-1] == s[1:]] = 0  # equal scores stay together
    best = int(right.argmax())
    return float(cuts[best]), float(right[best])


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
    distance = _distance_to_boundary(true, trained, other.spec)
    hard = np.argsort(distance, kind="stable")[: len(t) // 2]

    rng = np.random.default_rng(0)
    counts = _counts(rng, len(t), _DRAWS)
    counts_hard = _counts(rng, len(hard), _DRAWS)
    planes, coarse = _planes(other.spec, GRID), _planes(other.spec, _SURFACE_GRID)
    true_plane = true(planes)
    sigma_w = planes["sigma_w"][0, 0]
    base = scored["xi_c"].to_numpy() if "xi_c" in names else None
    base_draws = None if base is None else _auc_draws(base, t, counts)
    known = Surface(other.spec, trained, np.where(t, 1.0, -1.0))
    true_draws = known.resampled(coarse, counts[:_SURFACE_DRAWS])
    rows, reliability = {}, {}
    for name in names:
        s = scored[name].to_numpy()
        found: dict[str, float] = {"auc": auc(s, t)}
        draws = _auc_draws(s, t, counts)
        found |= _interval("auc", draws)
        found["auc_hard"] = auc(s[hard], t[hard])
        found |= _interval("auc_hard", _auc_draws(s[hard], t[hard], counts_hard))
        if base is not None:
            found["auc_minus_xi_c"] = found["auc"] - auc(base, t)
            found |= _interval("auc_minus_xi_c", draws - base_draws)
        right = (s >= 0) == t
        natural = STATISTICS[name].natural
        found["accuracy"] = float(right.mean()) if natural else math.nan
        found |= _interval("accuracy", counts @ right / len(t) if natural else [])
        found["threshold_best"], found["accuracy_best"] = _best_threshold(s, t)
        surface = Surface(other.spec, trained, s if natural else s - found["threshold_best"])
        plane = surface(planes)
        found["iou"] = float(_mean(iou(plane, true_plane)))
        found |= _interval("iou", _mean(iou(surface.resampled(coarse, counts[:_SURFACE_DRAWS]), true_draws), 1))
        if len(sigma_w) > 1:
            apart = np.abs(_crossings(plane, sigma_w) - _crossings(true_plane, sigma_w))
        found["distance"] = float(_mean(apart)) if len(sigma_w) > 1 else math.nan
        probability = _calibrated(s, t)
        wrong = (probability - t) ** 2
        found["brier"] = float(wrong.mean())
        found |= _interval("brier", counts @ wrong / len(t))
        rows[name] = found
        reliability[name] = _reliability(probability, t)
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
        info["truth_iou"] = finite(float(_mean(iou(ours, true_plane))))
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


def _counts(rng: np.random.Generator, points: int, draws: int) -> np.ndarray:
    """How often each point is in each draw of a bootstrap, ``[draws, points]``."""
    return rng.multinomial(points, np.full(points, 1 / points), draws).astype(float)


def _interval(name: str, draws: Any) -> dict[str, float]:
    good = np.asarray(draws, dtype=float)
    good = good[np.isfinite(good)]
    low, high = np.quantile(good, (0.05, 0.95)) if len(good) else (math.nan, math.nan)
    return {f"{name}_5": float(low), f"{name}_95": float(high)}


def _reliability(probability: np.ndarray, truth: np.ndarray) -> list[dict[str, float | None]]:
    edges = np.linspace(0, 1, _BINS + 1)
    bins = np.clip(np.digitize(probability, edges) - 1, 0, _BINS - 1)
    return [
        {
            "predicted": finite(float(_mean(probability[bins == i]))),
            "observed": finite(float(_mean(truth[bins == i].astype(float)))),
            "points": int((bins == i).sum()),
        }
        for i in range(_BINS)
    ]


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
