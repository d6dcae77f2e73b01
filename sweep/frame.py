"""Measurement -> row -> DataFrames. Every column name and its meaning stands here."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .home import SPEC_FILE, Home
from .spec import TABLES, SpecError, SweepSpec
from .store import SCHEMA_VERSION, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pyarrow.dataset as ds
    import xarray

    from probes import Measurement, Point

    from .estimate import PhaseModel

__all__ = [
    "COLUMNS",
    "DTYPES",
    "KINDS",
    "POINT",
    "SPEC_FILE",
    "TABLES",
    "UNITS",
    "Joined",
    "Results",
    "described",
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
SWEEP = "sweep"  # column of several sweeps that were loaded together
SWEEP_MEANING = "directory or URI of the sweep"
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
# Of the columns of all tables; a number that was not measured is NaN, what else was not measured is pandas' NA.
DTYPES: dict[str, str] = {
    **{name: "float64" for columns in COLUMNS.values() for name in columns},
    **dict.fromkeys(_BOOLEAN, "boolean"),
    **dict.fromkeys(_WHOLE, "Int64"),
    **dict.fromkeys(("depth", "seed", "layer", "epoch"), "int64"),
    **dict.fromkeys((*_TEXT, SWEEP), "str"),
}
UNITS: dict[str, str] = {  # of the columns that have one
    **dict.fromkeys(
        ("depth", "layer", "direct_horizon", "cascade_horizon", "cascade_cutoff", "xi_c"),
        "layers",
    ),
    **dict.fromkeys(("cascade_relative_entropy", "differential_entropy", "loss"), "nat"),
    **dict.fromkeys(("direct_seconds", "cascade_seconds", "train_seconds", "finished"), "s"),
    **dict.fromkeys(("direct_flops", "cascade_flops", "train_flops"), "flop"),
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
        """One row a point and layer: all of them. `profiles_at` reads some."""
        return self.profiles_at()

    def profiles_at(
        self,
        depth: "int | Sequence[int] | None" = None,
        layer: "int | Sequence[int] | None" = None,
        points: pd.DataFrame | None = None,
        columns: "Sequence[str] | None" = None,
    ) -> pd.DataFrame:
        """The rows of `profiles` of networks of these depths, at these layers, of these points (rows of `points`).

        ``columns`` are the profiles wanted. Only they are read, and rows that are not wanted take no memory.

        Raises
        ------
        SpecError
            A column that is no profile, a layer below 1.
        """
        names = list(_PROFILES) if columns is None else [n for n in columns if n not in (*POINT, "layer")]
        if unknown := [n for n in names if n not in _PROFILES]:
            raise SpecError(f"`columns` must be of {', '.join(_PROFILES)}, got {unknown[0]!r}")
        layers = None if layer is None else np.unique(np.atleast_1d(np.asarray(layer)))
        if layers is not None and (not len(layers) or layers[0] < 1 or (layers != layers.astype(int)).any()):
            raise SpecError(f"`layer` must be whole numbers from 1, got {layer!r}")
        depths = None if depth is None else np.atleast_1d(np.asarray(depth))
        seeds = None if points is None else points["seed"].unique()
        span = None if layers is None else (int(layers[0]), int(layers[-1]))

        def wanted(part: pa.Table) -> pa.Table:
            rows = np.ones(part.num_rows, dtype=bool)
            if depths is not None:
                rows &= np.isin(part["depth"].to_numpy(), depths)
            if seeds is not None:
                rows &= np.isin(part["seed"].to_numpy(), seeds)
            part = part if rows.all() else part.filter(pa.array(rows))
            if span is not None:
                for name in [n for n in part.column_names if n in lists and not pa.types.is_null(part[n].type)]:
                    sliced = pc.list_slice(part[name], span[0] - 1, span[1], return_fixed_size_list=False)
                    part = part.set_column(part.column_names.index(name), name, sliced)
            return part

        lists = [_LIST_PREFIX["profiles"] + n for n in names]
        wide = self.store.read(lists, None if depths is seeds is span is None else wanted)
        if points is not None and wide.num_rows:  # seeds alone may be those of other points, too
            keys = pd.MultiIndex.from_frame(wide.select(list(POINT)).to_pandas())
            wide = wide.filter(pa.array(keys.isin(pd.MultiIndex.from_frame(points[list(POINT)]))))
        frame = _unfolded(wide, "profiles", names, first=span[0] if span else 1)
        if layers is not None and len(layers) < layers[-1] - layers[0] + 1:
            frame = described(frame[frame["layer"].isin(layers)].reset_index(drop=True), "profiles")
        return frame

    @cached_property
    def truth(self) -> pd.DataFrame:
        """One row a trained point, learning rate and epoch."""
        names = list(_CURVES)
        wide = self.store.read([_LIST_PREFIX["truth"] + n for n in names])
        frame = _unfolded(wide, "truth", names).dropna(subset=["epoch"], ignore_index=True)
        return described(frame.astype({"epoch": "int64"}), "truth")

    @property
    def dataset(self) -> "ds.Dataset":
        """The parts as a pyarrow dataset, to filter and stream what does not fit into memory.

        One row a point: the columns of ``points`` (but ``trainable``, which depends on all of them), each profile as a
        list ``profile_NAME``, each curve as ``epoch_NAME``. A point that was measured twice may stand in it twice. Of a
        sweep that is under way it has to be made again now and then: its files are replaced by larger ones.
        """
        return self.store.dataset()

    def to_xarray(self, table: str = "points") -> "xarray.Dataset":
        """``points`` with their profiles, or ``boundary``, as an xarray Dataset; see `sweep.arrays`."""
        from .arrays import to_xarray

        return to_xarray(self, table)

    @cached_property
    def history(self) -> pd.DataFrame:
        """How the boundary came to be known: ``points`` stored, and the ``expected_error`` after them (`estimate`)."""
        from .estimate import history

        return history(self.spec, self.points)

    @cached_property
    def phase(self) -> "PhaseModel":
        """The model of the margin."""
        from .estimate import PhaseModel

        return PhaseModel(self.spec, self.points)

    @cached_property
    def boundary(self) -> pd.DataFrame:
        """Boundary and critical line at a few depths, over sigma_b."""
        return described(self.phase.boundary(), "boundary")

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
        return described(self.phase.boundary(depths), "boundary")

    def table(self, name: str) -> pd.DataFrame:
        """One of `TABLES`."""
        frame: pd.DataFrame = getattr(self, name)
        return frame


@dataclass
class Joined:
    """Several sweeps together: the tables of `Results`, each row with the name of its sweep in the column ``sweep``.

    ``sweeps`` are their `Results` by the names that they were loaded by.
    """

    sweeps: dict[str, Results]

    @cached_property
    def points(self) -> pd.DataFrame:
        """One row a point."""
        return self.table("points")

    @cached_property
    def profiles(self) -> pd.DataFrame:
        """One row a point and layer."""
        return self.table("profiles")

    @cached_property
    def truth(self) -> pd.DataFrame:
        """One row a trained point, learning rate and epoch."""
        return self.table("truth")

    @cached_property
    def boundary(self) -> pd.DataFrame:
        """Boundary and critical line, those that each sweep found alone."""
        return self.table("boundary")

    def profiles_at(self, *args: Any, **keys: Any) -> pd.DataFrame:
        """As of `Results.profiles_at`; ``points`` are rows of `points`, or of one sweep."""
        return self._joined("profiles", lambda results: results.profiles_at(*args, **keys))

    def boundary_at(self, depths: "Sequence[int]") -> pd.DataFrame:
        """As of `Results.boundary_at`."""
        return self._joined("boundary", lambda results: results.boundary_at(depths))

    def table(self, name: str) -> pd.DataFrame:
        """One of `TABLES`."""
        return self._joined(name, lambda results: results.table(name))

    def _joined(self, table: str, get: "Callable[[Results], pd.DataFrame]") -> pd.DataFrame:
        frames = {name: get(results) for name, results in self.sweeps.items()}
        # One without rows would say what type a column has as loudly as one with rows.
        frame = pd.concat([f for f in frames.values() if len(f)] or [*frames.values()][:1], ignore_index=True)
        frame.insert(0, SWEEP, np.repeat(np.array(list(frames), dtype=object), [len(f) for f in frames.values()]))
        frame = frame.astype({SWEEP: "str"})
        return described(frame, table)


def _unfolded(wide: pa.Table, table: str, names: list[str], first: int = 1) -> pd.DataFrame:
    """Unfold the list columns of every row; layers are counted from ``first``.

    A list that is shorter than others of its row, or absent, is filled with NaN.
    """
    columns = [_list(wide, _LIST_PREFIX[table] + n) for n in names]
    keys = {k: wide[k].to_numpy() if wide.num_rows else np.empty(0) for k in POINT}
    order = np.lexsort([*keys.values()][::-1])
    own = [pc.list_value_length(c).to_numpy(zero_copy_only=False)[order].astype(int) for c in columns]
    lengths = np.max(own, axis=0) if names else np.zeros(len(order), dtype=int)
    rows = np.repeat(np.arange(len(order)), lengths)
    at = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    found: dict[str, np.ndarray] = {k: v[order][rows].astype(DTYPES[k]) for k, v in keys.items()}
    if table == "profiles":
        found["layer"] = at + first
    for name, column, long in zip(names, columns, own, strict=True):
        flat = pc.list_flatten(column.take(pa.array(order))).to_numpy(zero_copy_only=False)
        if not np.array_equal(long, lengths):
            inside = at < long[rows]
            there, flat = flat, np.full(len(rows), np.nan)
            flat[inside] = there  # in the same order
        found[name] = flat
    return described(pd.DataFrame(found, copy=False), table)


def _list(wide: pa.Table, name: str) -> pa.ListArray:
    """A list column in one piece, with empty lists where there are none."""
    type_ = pa.large_list(pa.float64())
    if name not in wide.column_names:
        return pa.array([[]] * wide.num_rows, type_)
    found = wide[name].cast(type_).combine_chunks()
    return pc.fill_null(found, pa.scalar([], type_)) if found.null_count else found


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
            text = frame[name] if frame[name].dtype == "str" else frame[name].astype(object)
            frame[name] = text.fillna("").astype(str)
        elif name in ("depth", "seed"):
            frame[name] = frame[name].astype("int64")
        else:
            frame[name] = frame[name].astype(float)
    return described(frame.sort_values(list(POINT), ignore_index=True), "points")


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


def described(frame: pd.DataFrame, table: str) -> pd.DataFrame:
    """The frame, with attributes that say which table it is, what its columns mean, and of which version they are."""
    frame.attrs["table"] = table
    frame.attrs["columns"] = {SWEEP: SWEEP_MEANING, **COLUMNS[table]} if SWEEP in frame else COLUMNS[table]
    frame.attrs["schema_version"] = SCHEMA_VERSION
    return frame


@overload
def load(directory: str | Path) -> Results: ...  # type: ignore[overload-overlap]  # a text is a sequence of texts


@overload
def load(directory: "Sequence[str | Path]") -> Joined: ...


def load(directory: "str | Path | Sequence[str | Path]") -> Results | Joined:
    """The results of the sweep in a directory or at a URI, finished or not; of several, joined.

    Raises
    ------
    SpecError
        There is no sweep there, or one is given twice.
    StoreError
        Its storage cannot be used.
    """
    if isinstance(directory, str | Path):
        home = Home(directory)
        spec = home.read_spec()
        return Results(home, spec, Store(spec.storage or home.place, spec.digest))
    found: dict[str, Results] = {}
    for one in directory:
        results = load(one)
        if any(results.home == other.home for other in found.values()):
            raise SpecError(f"`directory` must name different sweeps, got {str(one)!r} twice")
        found[results.home.place] = results
    if not found:
        raise SpecError("`directory` must name at least one sweep, got none")
    return Joined(found)


def finite(value: float) -> float | None:
    """A number for JSON, which knows neither NaN nor infinity."""
    return float(value) if math.isfinite(value) else None
