"""Models of the margin and of the truth over the free axes of a sweep, for its search and its estimates.

========  =============================================================================  ============
symbol    meaning                                                                        shape
========  =============================================================================  ============
margin    ``log(horizon / (share depth))``, or a score minus its threshold               ``[n]``
share     part of the depth that the horizon of a trainable network reaches              scalar
shift     ``log(share depth)`` where one probe informs all depths, else 0                ``[n]``
level     value of the modelled function, ``margin + shift``, where the margin is 0      ``[levels]``
boundary  margin at which half of the networks train: 0, unless trainings moved it       scalar
outcome   truth in [-1, 1]: -1 at chance, 0 at the level of accuracy, +1 at the best     ``[n]``
========  =============================================================================  ============

A network of one width contains every shallower one: its horizon does not depend on the depth at which it was probed.
For such networks ``margin + shift`` is log(horizon), a function of the other axes alone. It is modelled with one
level for each of a few depths, and one probe informs them all. For other networks and statistics the margin itself is
modelled, with the depth as an axis. The learning rate, which no probe sees, is an axis of the truth alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from probes.definition import TRAINABLE_DEPTH
from probes.further import RATE
from probes.point import REACH
from sweep.levelset.domain import Axis
from sweep.levelset.level_set import LevelSet
from sweep.model.calibration import calibration_of, default_of, expected
from sweep.model.level import level_of
from sweep.model.theory import depth_scale
from sweep.spec.experiment import Experiment
from sweep.spec.space import Space

MIN_POINTS = 10  # measured points before anything is estimated
_LEVEL_COUNT = 8  # depths whose boundaries are searched for
_UNDECIDED_MARGIN = 0.5  # predicted margin up to which the outcome of a training is open
_PREDICTION_VARIANCE = 0.3  # of an outcome of +1 or -1 that is only predicted


class MarginModel:
    """Model of the margin of a sweep, given measured points.

    Parameters
    ----------
    spec:
        The sweep's specification.

    Attributes
    ----------
    names:
        Names of the axes of the model, in order.
    through_depth:
        Whether one probe informs all depths, so that log(horizon) is modelled.
    level_set:
        The model, over points ``[n, len(names)]``; its values are the margin plus `shift`.
    calibration:
        The calibration by which `above_boundary` goes; the default one until it is replaced.
    """

    def __init__(self, spec: Experiment) -> None:
        self.spec = spec
        self.calibration = default_of(spec)
        probed = [a for a in spec.free_axes if a != RATE] or spec.free_axes
        without_depth = [a for a in probed if a != "depth"]
        self.through_depth = spec.by_horizon and spec.is_nested and bool(without_depth)
        self.names = sorted(without_depth if self.through_depth else probed)
        self.level_set = LevelSet(
            searched_axes(spec, self.names),
            levels=self._levels(),
            aim=spec.aim if "sigma_w" in self.names else "boundary",
            along="sigma_w" if "sigma_w" in self.names else None,
            features=self._features(),
            seed=spec.seed,
        )

    def shift(self, depth: Any) -> Any:
        """Return what is added to the margin at a depth, a number or an array, to give the modelled value."""
        if not self.through_depth:
            return 0.0 * depth
        return np.log(self.spec.definition.share(self.spec.statistic) * np.asarray(depth))

    def above_boundary(self, values: Any, depth: Any) -> Any:
        """Return how far modelled values at a depth are above the boundary, as margins: positive where trainable."""
        return values - self.shift(depth) - self.calibration.shift

    def max_visible(self, depth: int) -> float:
        """Return the modelled value at the longest horizon that a probe of a depth can see."""
        spec = self.spec
        direct, gradient = float(spec.last_layer(depth)), float(REACH * depth)
        followed = {
            TRAINABLE_DEPTH: spec.definition.trainable_depth(direct, gradient),
            "direct_horizon": direct,
            "gradient_horizon": gradient,
        }.get(spec.statistic, depth)
        return float(spec.definition.margin(spec.statistic, followed, depth) + self.shift(depth))

    def at(self, /, **axes: Any) -> np.ndarray:
        """Return points ``[n, len(names)]`` from values of all axes, arrays or numbers."""
        return _at(self.names, axes)

    def tell(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows with the axes, ``margin`` and ``margin_censored``; nothing is learnt from rows without a margin."""
        if rows:
            columns = {a: np.array([r[a] for r in rows], dtype=float) for a in (*self.spec.axes, "margin")}
            margin = columns.pop("margin") + self.shift(columns["depth"])
            self.level_set.tell(self.at(**columns), list(margin), [bool(r["margin_censored"]) for r in rows])

    def _levels(self) -> list[float]:
        if not self.through_depth:
            return [0.0]
        return [float(self.shift(d)) for d in sorted({round(d) for d in np.geomspace(*self.spec.depth, _LEVEL_COUNT)})]

    def _features(self) -> Any:
        """Return the functions that the margin may resemble, or None.

        They are minus log(depth), where depth is an axis of the model, and log(xi_c) of mean field theory, where the
        spec asks for it.
        """
        spec, names = self.spec, self.names
        by_depth = spec.by_horizon and "depth" in names
        theory = depth_scale(spec) if spec.prior == "theory" else None
        if not by_depth and theory is None:
            return None

        def features(points: np.ndarray) -> np.ndarray:
            known = []
            column = dict(zip(names, points.T, strict=True))
            if by_depth:
                known.append(-np.log(column["depth"]))
            if theory is not None:
                sigmas = (column.get(a, spec.axes[a].low) for a in ("sigma_w", "sigma_b"))
                known.append(np.log(theory(*sigmas)))
            return np.stack(np.broadcast_arrays(*known, points[:, 0])[:-1], 1)

        return features


class TruthModel:
    """Model of the outcome of training over all free axes of a sweep.

    The outcome is -1 at chance, 0 at the level of accuracy and +1 at the best accuracy. The model starts from what the
    probe predicts and departs from it where trainings differ. A point that was not trained counts with its predicted
    outcome, but with little weight.

    Parameters
    ----------
    margin:
        Model of the margin, which gives the predictions.

    Attributes
    ----------
    names:
        Names of the axes of the model, in order.
    level_set:
        The model, over points ``[n, len(names)]``.
    through_depth:
        Whether one training informs all depths: it does not.
    """

    through_depth = False

    def __init__(self, margin: MarginModel) -> None:
        self._margin, spec = margin, margin.spec
        self.names = sorted(spec.free_axes)
        self.level_set = LevelSet(searched_axes(spec, self.names), features=self._predicted, seed=spec.seed)

    def at(self, /, **axes: Any) -> np.ndarray:
        """Return points ``[n, len(names)]`` from values of the axes, arrays or numbers."""
        return _at(self.names, axes)

    def shift(self, depth: Any) -> Any:
        """Return 0 for each depth: the boundary is where the modelled outcome is 0."""
        return 0.0 * depth

    def above_boundary(self, values: Any, depth: Any) -> Any:
        """Return how far modelled outcomes are above the boundary: as they are."""
        return values

    def retell(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Replace all observations by those of rows.

        All are replaced because the level may depend on the best accuracy.

        Parameters
        ----------
        rows:
            All rows so far, each with the axes and ``margin``, and ``accuracy`` and ``chance`` if its network was
            trained.
        """
        self.level_set.forget()
        if not rows:
            return
        accuracy, chance, margin = (
            np.array([r.get(name, np.nan) for r in rows], dtype=float) for name in ("accuracy", "chance", "margin")
        )
        trained = np.isfinite(accuracy)
        margin = expected(margin, [bool(r.get("margin_censored")) for r in rows])
        outcome = np.where(margin >= self._margin.calibration.shift, 1.0, -1.0)
        if trained.any():
            level = self._margin.spec.level or level_of(accuracy, chance)
            scale = np.where(accuracy < level, level - chance, np.nanmax(accuracy) - level)
            outcome = np.where(trained, np.clip((accuracy - level) / np.maximum(scale, 1e-6), -1, 1), outcome)
        points = self.at(**{a: np.array([r[a] for r in rows], dtype=float) for a in self._margin.spec.axes})
        self.level_set.tell(points, list(outcome), variances=list(np.where(trained, 0.0, _PREDICTION_VARIANCE)))

    def _predicted(self, points: np.ndarray) -> np.ndarray:
        """Return the outcomes ``[n, 1]`` that the model of the margin predicts, between -1 and 1."""
        spec, model = self._margin.spec, self._margin
        axes = spec.place_at(**dict(zip(self.names, points.T, strict=True)))
        if not len(model.level_set):
            return np.zeros((len(points), 1))
        mean = model.above_boundary(model.level_set.mean(model.at(**axes)), axes["depth"])
        return np.tanh(mean / _UNDECIDED_MARGIN)[:, None]


class SearchModel:
    """Model whose boundary a sweep searches for: of the truth if it trains networks, else of the margin.

    Parameters
    ----------
    spec:
        The sweep's specification.

    Attributes
    ----------
    margin:
        The model of the margin.
    truth:
        The model of the truth; None in a sweep that does not train.
    names, level_set:
        Axes and level set of the model whose boundary is searched for.
    """

    def __init__(self, spec: Experiment) -> None:
        self.margin = MarginModel(spec)
        self.truth = TruthModel(self.margin) if spec.train != "none" else None
        searched = self.truth or self.margin
        self.names, self.level_set = searched.names, searched.level_set
        self._rows: list[Mapping[str, Any]] = []

    def tell(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows with the axes, ``margin``, ``margin_censored`` and, if trained, ``accuracy`` and ``chance``."""
        self.margin.tell(rows)
        if self.truth:
            self._rows += rows
            margin, accuracy, chance = (
                [r.get(name, np.nan) for r in self._rows] for name in ("margin", "accuracy", "chance")
            )
            censored = [bool(r["margin_censored"]) for r in self._rows]
            self.margin.calibration = calibration_of(self.margin.spec, margin, censored, accuracy, chance)
            self.truth.retell(self._rows)


def searched_axes(spec: Space, names: Sequence[str]) -> list[Axis]:
    """Return some axes of a sweep as axes of a level set, on the scales that are searched."""
    # The horizon depends on the ratio of sigma_w to its critical value, hence the log scale; sigma_b may be 0.
    axes = [spec.axes[name] for name in names]
    return [Axis(a.name, a.low, a.high, log=a.log or a.name in ("sigma_w", "depth"), integer=a.whole) for a in axes]


def _at(names: Sequence[str], axes: dict[str, Any]) -> np.ndarray:
    return np.stack(np.broadcast_arrays(*[np.asarray(axes[a], dtype=float) for a in names]), -1)
