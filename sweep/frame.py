"""Measurement -> row -> DataFrames. Every column name and its meaning stands here."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .home import SPEC_FILE, Home
from .spec import TABLES, SpecError, SweepSpec
from .store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from probes import Measurement, Point

    from .estimate import PhaseModel

__all__ = [
    "COLUMNS",
    "KINDS",
    "POINT",
    "SPEC_FILE",
    "TABLES",
    "Results",
    "finite",
    "level_of",
    "load",
    "load_points",
    "point_of",
    "row",
    "trained_level",
]

POINT = {
    "sigma_w": "standard deviation of the weights, times sqrt(fan_in)",
    "sigma_b": "standard deviation of the biases",
    "depth": "hidden layers",
    "seed": "of the network's draw",
}
_PROFILES = {
    "direct_retained": "R^2 of the closed-form reconstruction of held-out images: 1 perfect, 0 the mean image; NaN for "
    "layers that were not decoded",
    "cascade_relative_entropy": "of image from cascade reconstruction, mean over 100 images, nats",
    "cascade_retained": "1 - that / the same for the mean training image",
    "differential_entropy": "of the cascade's reconstructions over images, mean over pixels, nats",
}
_CURVES = {
    "lr": "learning rate",
    "epoch": "from 1",
    "accuracy": "test accuracy after the epoch",
    "loss": "mean training loss of the epoch, nats",
}
COLUMNS: dict[str, dict[str, str]] = {
    "points": {
        **POINT,
        "status": "ok; diverged (activations left the finite range); failed (see error)",
        "error": "why a point failed, else empty",
        "margin": "log(horizon / half the depth (cascade: the depth)), or score - threshold: 0 or more = trainable",
        "margin_censored": "whether the margin is only a lower bound",
        **{name: f"{text}; after the last layer" for name, text in _PROFILES.items()},
        "direct_horizon": "layer where direct_retained falls below its threshold (followed to 3 x depth)",
        "direct_horizon_censored": "whether it does not within that",
        "direct_images": "training images that the direct probe used",
        "cascade_horizon": "layer where cascade_retained falls below its threshold",
        "cascade_horizon_censored": "whether it does not within the depth",
        "cascade_cutoff": "published cutoff of the median relative entropy: last layer that differs from the last",
        "chi_1": "mean field slope of the correlation map at 1 (not for resnet)",
        "xi_c": "mean field depth scale of correlations, layers (not for resnet)",
        "probe_steps": "Adam steps of the cascade",
        "direct_seconds": "time of the direct probe, seconds",
        "cascade_seconds": "time of the cascade; that of a pack shared out by depth, seconds",
        "direct_flops": "floating point operations of the direct probe, estimated",
        "cascade_flops": "the same of the cascade",
        "pack": "points measured together",
        "pack_halved": "how often the pack had to be halved for want of device memory",
        "device": "torch device",
        "hostname": "of the node",
        "finished": "when the driver stored it, seconds since 1970 UTC",
        "accuracy": "best test accuracy over the epochs of training, and over the learning rates",
        "trainable": "whether that is above the sweep's level",
        "lr": "learning rate that gave it",
        "chance": "accuracy of always answering the commonest class",
        "train_epochs": "epochs trained, of all learning rates together",
        "train_images": "training images an epoch",
        "train_flops": "floating point operations of training, estimated",
        "train_seconds": "time of training; that of a pack shared out by depth and epochs, seconds",
    },
    "profiles": {**POINT, "layer": "1..depth", **_PROFILES},
    "truth": {**POINT, **_CURVES},
    "boundary": {
        "depth": "hidden layers",
        "sigma_b": POINT["sigma_b"],
        "lower": "sigma_w where the trainable band begins; NaN: no such crossing within the range",
        "lower_5": "5 % quantile of lower",
        "lower_95": "95 % quantile of lower",
        "upper": "sigma_w where the trainable band ends; NaN: no such crossing within the range",
        "upper_5": "5 % quantile of upper",
        "upper_95": "95 % quantile of upper",
        "trainable_share": "share of the range of sigma_w that is trainable, 0 to 1",
        "critical": "sigma_w where the horizon (or score) is largest: the critical line",
        "critical_5": "5 % quantile of critical",
        "critical_95": "95 % quantile of critical",
        "theory": "sigma_w where mean field's chi_1 = 1; NaN for resnet",
    },
}
_BOOLEAN = ("margin_censored", "direct_horizon_censored", "cascade_horizon_censored", "trainable")
_WHOLE = ("direct_images", "cascade_cutoff", "probe_steps", "pack", "pack_halved", "train_epochs", "train_images")
_TEXT = ("status", "error", "device", "hostname")
_LIST_PREFIX = {"profiles": "profile_", "truth": "epoch_"}
KINDS: dict[str, str] = {  # of the columns of a part file
    **{
        name: "truth" if name in _BOOLEAN else "whole" if name in _WHOLE else "text" if name in _TEXT else "number"
        for name in COLUMNS["points"]
    },
    **dict.fromkeys(("depth", "seed"), "whole"),
    **{_LIST_PREFIX["profiles"] + name: "numbers" for name in _PROFILES},
    **{_LIST_PREFIX["truth"] + name: "numbers" for name in _CURVES},
}


def row(measurement: "Measurement", **extra: Any) -> dict[str, Any]:
    """One row of a part file: point, status, values; profiles and curves as lists."""
    m = measurement
    lists = {
        f"{_LIST_PREFIX[table]}{name}": [float(v) for v in values]
        for table, arrays in (("profiles", m.profiles), ("truth", m.curves))
        for name, values in arrays.items()
    }
    point = {name: getattr(m.point, name) for name in POINT}
    return {**point, "status": m.status, "error": m.error, **m.values, **lists, **extra}


def point_of(row: "Mapping[str, Any]") -> "Point":
    """The point of a row."""
    from probes import Point

    return Point(*(row[name] for name in POINT))


@dataclass
class Results:
    """The results of one sweep, read when asked for.

    ``points``, ``profiles``, ``truth`` and ``boundary`` are DataFrames; ``df.attrs["columns"]`` says what each column
    means. ``spec`` is the sweep's `SweepSpec`, ``phase`` the model behind the boundary.
    """

    home: Home
    spec: SweepSpec
    store: Store

    @property
    def path(self) -> Path:
        """The folder for its study and its pictures."""
        return self.home.local

    @cached_property
    def points(self) -> pd.DataFrame:
        """One row a point."""
        points = load_points(self.store)
        if self.spec.train != "none":
            level = self.spec.level or trained_level(points)
            points["trainable"] = (points["accuracy"] > level).astype("boolean").where(points["accuracy"].notna())
        return points

    @property
    def level(self) -> float:
        """Accuracy above which a network counts as trained; NaN if none is known."""
        return self.spec.level or trained_level(self.points)

    @cached_property
    def profiles(self) -> pd.DataFrame:
        """One row a point and layer."""
        return self._long("profiles", list(_PROFILES), index="layer")

    @cached_property
    def truth(self) -> pd.DataFrame:
        """One row a trained point, learning rate and epoch."""
        return self._long("truth", list(_CURVES)).astype({"epoch": int})

    @cached_property
    def phase(self) -> "PhaseModel":
        """The model of the margin."""
        from .estimate import PhaseModel

        return PhaseModel(self.spec, self.points)

    @cached_property
    def boundary(self) -> pd.DataFrame:
        """Boundary and critical line at a few depths, over sigma_b."""
        return _described(self.phase.boundary(), "boundary")

    def boundary_at(self, depths: "Sequence[int]") -> pd.DataFrame:
        """The same at other depths, within those of the sweep.

        Raises
        ------
        SpecError
            A depth outside.
        """
        low, high = self.spec.depth
        if outside := [d for d in depths if not low <= d <= high]:
            raise SpecError(f"`depths` must be from {low} to {high}, those of the sweep, got {outside[0]}")
        return _described(self.phase.boundary(depths), "boundary")

    def table(self, name: str) -> pd.DataFrame:
        """One of `TABLES`."""
        frame: pd.DataFrame = getattr(self, name)
        return frame

    def _long(self, table: str, names: list[str], index: str | None = None) -> pd.DataFrame:
        """Unfold the list columns of every row; ``index`` counts their entries from 1."""
        lists = [_LIST_PREFIX[table] + n for n in names]
        wide = self.store.read(lists).to_pandas().reindex(columns=[*POINT, *lists])
        wide = wide.sort_values(list(POINT), ignore_index=True)
        lengths = np.array([max(_length(v) for v in r) for r in wide[lists].itertuples(index=False)], dtype=int)
        where = np.repeat(np.arange(len(wide)), lengths)
        frame = wide[list(POINT)].iloc[where].reset_index(drop=True)
        if index:
            starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
            frame[index] = np.arange(len(frame)) - starts + 1
        for name, column in zip(names, lists, strict=True):
            pieces = [v if _length(v) else np.full(n, np.nan) for v, n in zip(wide[column], lengths, strict=True)]
            frame[name] = np.concatenate([np.empty(0), *pieces]).astype(float)
        return _described(frame.astype({"sigma_w": float, "sigma_b": float, "depth": int, "seed": int}), table)


def load_points(store: Store) -> pd.DataFrame:
    """The ``points`` table of what a store holds now."""
    columns = COLUMNS["points"]
    frame = store.read(list(columns)).to_pandas().reindex(columns=list(columns))
    for name in columns:
        if name in _BOOLEAN:
            frame[name] = frame[name].astype("boolean")
        elif name in _WHOLE:
            frame[name] = frame[name].astype("Int64")
        elif name in _TEXT:
            frame[name] = frame[name].astype(object).fillna("").astype(str)
        elif name in ("depth", "seed"):
            frame[name] = frame[name].astype("int64")
        else:
            frame[name] = frame[name].astype(float)
    return _described(frame.sort_values(list(POINT), ignore_index=True), "points")


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


def _length(value: Any) -> int:
    return len(value) if isinstance(value, np.ndarray | list) else 0


def _described(frame: pd.DataFrame, table: str) -> pd.DataFrame:
    frame.attrs["table"] = table
    frame.attrs["columns"] = COLUMNS[table]
    return frame


def load(directory: str | Path) -> Results:
    """The results of the sweep in a directory or at a URI, finished or not.

    Raises
    ------
    SpecError
        There is no sweep there.
    StoreError
        Its storage cannot be used.
    """
    home = Home(directory)
    spec = home.read_spec()
    return Results(home, spec, Store(spec.storage or home.place, spec.digest))


def finite(value: float) -> float | None:
    """A number for JSON, which knows neither NaN nor infinity."""
    return float(value) if math.isfinite(value) else None
