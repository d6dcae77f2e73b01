"""What a sweep's search and its estimates have in common: the margin over the free axes as a level set.

A network of one width contains every shallower one: its horizon does not depend on the depth at which it was probed.
There the model is of log(horizon) over (sigma_w, sigma_b), with a level for each of a few depths, and one probe informs
them all. For other networks and statistics it is of the margin, with the depth as an axis.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from probes.point import nested, reach
from sweep.levelset.domain import Axis
from sweep.levelset.level_set import LevelSet
from sweep.model.level import level_of
from sweep.model.theory import depth_scale
from sweep.spec.experiment import Experiment
from sweep.spec.options import AXES
from sweep.spec.parts import Space

MIN_POINTS = 10  # measured points before anything is estimated
_LEVELS = 8  # depths whose boundaries are looked for
_SOFT = 0.5  # margin within which the outcome of a training is open, by prediction alone
_PREDICTED = 0.3  # variance of a prediction that stands in for a training, about outcomes of +1 and -1


class MarginModel:
    """The margin of a sweep, ``spec``, from observations at places (sigma_w, sigma_b, depth).

    Attributes
    ----------
    names:
        Of the axes of the model, in order.
    through_depth:
        Whether a probe informs all depths, and the model is of log(horizon).
    level_set:
        The model. Points ``[n, len(names)]``, values are the margin plus `shift`.
    """

    def __init__(self, spec: Experiment) -> None:
        self.spec = spec
        others = [a for a in spec.free_axes if a != "depth"]
        self.through_depth = spec.by_horizon and nested(spec.architecture) and bool(others)
        self.names = sorted(others if self.through_depth else spec.free_axes)
        self.level_set = LevelSet(
            _axes(spec, self.names),
            levels=self._levels(),
            aim=spec.aim if "sigma_w" in self.names else "boundary",
            along="sigma_w" if "sigma_w" in self.names else None,
            features=self._features(),
            seed=spec.seed,
        )

    def shift(self, depth: Any) -> Any:
        """What is added to the margin at a depth to give what is modelled."""
        if not self.through_depth:
            return 0.0 * depth
        return np.log(self.spec.definition.share(self.spec.statistic) * np.asarray(depth))

    def sees(self, depth: int) -> float:
        """What is modelled at the longest horizon that a probe of this depth can see."""
        spec = self.spec
        followed = reach(spec.architecture, depth, spec.widths) if spec.statistic == "direct_horizon" else depth
        return float(spec.definition.margin(spec.statistic, followed, depth) + self.shift(depth))

    def at(self, **axes: Any) -> np.ndarray:
        """``[n, axes of the model]`` from values of ``sigma_w``, ``sigma_b`` and ``depth``, arrays or numbers."""
        return _at(self.names, axes)

    def tell(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Rows with the axes, ``margin`` and ``margin_censored``; those without a margin say nothing."""
        if rows:
            columns = {a: np.array([r[a] for r in rows], dtype=float) for a in (*AXES, "margin")}
            margin = columns.pop("margin") + self.shift(columns["depth"])
            self.level_set.tell(self.at(**columns), list(margin), [bool(r["margin_censored"]) for r in rows])

    def _levels(self) -> list[float]:
        if not self.through_depth:
            return [0.0]
        return [float(self.shift(d)) for d in sorted({round(d) for d in np.geomspace(*self.spec.depth, _LEVELS)})]

    def _features(self) -> Any:
        """What the margin may resemble: minus the log of the depth, mean field's log of the depth scale."""
        spec, names = self.spec, self.names
        by_depth = spec.by_horizon and "depth" in names
        theory = depth_scale(spec) if spec.prior == "theory" else None
        if not by_depth and theory is None:
            return None

        def features(points: np.ndarray) -> np.ndarray:
            found = []
            column = dict(zip(names, points.T, strict=True))
            if by_depth:
                found.append(-np.log(column["depth"]))
            if theory is not None:
                sigmas = (column.get(a, getattr(spec, a)[0]) for a in ("sigma_w", "sigma_b"))
                found.append(np.log(theory(*sigmas)))
            return np.stack(np.broadcast_arrays(*found, points[:, 0])[:-1], 1)

        return features


class TruthModel:
    """The outcome of training, over all free axes of a sweep: -1 as good as chance, 0 at the level, +1 the best.

    It may resemble what the probe predicts, and differs from it where trainings say so. A point that was not trained
    counts as predicted, with little weight.

    Attributes
    ----------
    names:
        Of the axes of the model, in order.
    level_set:
        The model. Points ``[n, len(names)]``.
    """

    def __init__(self, margin: MarginModel) -> None:
        self._margin, spec = margin, margin.spec
        self.names = sorted(spec.free_axes)
        self.level_set = LevelSet(_axes(spec, self.names), features=self._predicted, seed=spec.seed)

    def at(self, **axes: Any) -> np.ndarray:
        """``[n, axes of the model]`` from values of the axes, arrays or numbers."""
        return _at(self.names, axes)

    def retell(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """All rows so far, each with the axes and ``margin``, and ``accuracy`` and ``chance`` if it was trained.

        What earlier calls told is forgotten: the level depends on the best accuracy.
        """
        self.level_set.forget()
        if not rows:
            return
        accuracy, chance, margin = (
            np.array([r.get(name, np.nan) for r in rows], dtype=float) for name in ("accuracy", "chance", "margin")
        )
        trained = np.isfinite(accuracy)
        outcome = np.where(margin >= 0, 1.0, -1.0)
        if trained.any():
            level = self._margin.spec.level or level_of(accuracy, chance)
            scale = np.where(accuracy < level, level - chance, np.nanmax(accuracy) - level)
            outcome = np.where(trained, np.clip((accuracy - level) / np.maximum(scale, 1e-6), -1, 1), outcome)
        points = self.at(**{a: np.array([r[a] for r in rows], dtype=float) for a in AXES})
        self.level_set.tell(points, list(outcome), variances=list(np.where(trained, 0.0, _PREDICTED)))

    def _predicted(self, points: np.ndarray) -> np.ndarray:
        """``[n, 1]``: between -1 and 1, from the margin predicted at points of the model."""
        spec, model = self._margin.spec, self._margin
        fixed = {a: getattr(spec, a)[0] for a in AXES}
        axes = {**fixed, **dict(zip(self.names, points.T, strict=True))}
        if not len(model.level_set):
            return np.zeros((len(points), 1))
        mean = model.level_set.mean(model.at(**axes)) - model.shift(axes["depth"])
        return np.tanh(mean / _SOFT)[:, None]


class SearchModel:
    """What a sweep looks for the boundary of: the truth where it trains, else the prediction.

    Attributes
    ----------
    margin, truth:
        The models; ``truth`` is None in a sweep that does not train.
    names, level_set:
        Those of the one that is searched.
    """

    def __init__(self, spec: Experiment) -> None:
        self.margin = MarginModel(spec)
        self.truth = TruthModel(self.margin) if spec.train != "none" else None
        searched = self.truth or self.margin
        self.names, self.level_set = searched.names, searched.level_set
        self._rows: list[Mapping[str, Any]] = []

    def tell(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Rows with the axes, ``margin``, ``margin_censored``, and ``accuracy`` and ``chance`` where trained."""
        self.margin.tell(rows)
        if self.truth:
            self._rows += rows
            self.truth.retell(self._rows)


def _axes(spec: Space, names: Sequence[str]) -> list[Axis]:
    # The horizon varies with the ratio of sigma_w to its critical value; sigma_b may be 0.
    ends = {a: getattr(spec, a) for a in names}
    return [Axis(a, low, high, log=a != "sigma_b", integer=a == "depth") for a, (low, high) in ends.items()]


def _at(names: Sequence[str], axes: dict[str, Any]) -> np.ndarray:
    return np.stack(np.broadcast_arrays(*[np.asarray(axes[a], dtype=float) for a in names]), -1)
