"""Results as xarray Datasets, with named axes, units and descriptions."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sweep.errors import SpecError
from sweep.spec.columns import COLUMNS, DTYPES, POINT, SCHEMA_VERSION, UNITS, meaning_of
from sweep.spec.design import grid_axes
from sweep.spec.experiment import Design
from sweep.spec.rows import keys_of
from sweep.version import __version__

if TYPE_CHECKING:
    import xarray

_REPLICA = "replica"


def points_to_xarray(spec: Design, points: pd.DataFrame, profiles: pd.DataFrame) -> "xarray.Dataset":
    """Return the tables ``points`` and ``profiles`` of a sweep as one Dataset.

    The points of a grid have the dimensions ``sigma_w``, ``sigma_b``, ``depth``, further axes and ``replica``, with NaN
    for missing points. Those of any other search, or points beside the grid, have the dimension ``point``, with the
    axes and the seed as coordinates. Profiles (named ``NAME_profile``) have the dimension ``layer``, too. Numbers and
    truth values are float64, with NaN for what is not known; coordinates keep their own types. Each variable has the
    attribute ``description`` and, if it has a unit, ``units``. The attributes of the Dataset hold the specification as
    JSON.

    Raises
    ------
    SpecError
        xarray is not installed.
    """
    return _dataset(spec, *_variables(spec, points, profiles), {**COLUMNS["points"], **COLUMNS["profiles"]})


def boundary_to_xarray(spec: Design, boundary: pd.DataFrame) -> "xarray.Dataset":
    """Return the table ``boundary`` of a sweep as a Dataset over ``depth`` and ``sigma_b``.

    Further axes are dimensions, too. Its attributes are as described in `points_to_xarray`. If trainings calibrated the
    sweep, ``calibration`` says so.

    Raises
    ------
    SpecError
        xarray is not installed.
    """
    dims = ["depth", "sigma_b", *spec.further_names]
    coordinates = {a: np.unique(boundary[a]).astype(int if spec.axes[a].whole else float) for a in dims}
    full = boundary.set_index(dims).reindex(pd.MultiIndex.from_product([*coordinates.values()], names=dims))
    shape = [len(values) for values in coordinates.values()]
    data = {str(n): (dims, full[n].to_numpy().reshape(shape)) for n in full}
    dataset = _dataset(spec, data, coordinates, COLUMNS["boundary"])
    if calibrated := boundary.attrs.get("calibration"):
        dataset.attrs["calibration"] = calibrated
    return dataset


def _dataset(
    spec: Design, data: dict[str, Any], coordinates: dict[str, Any], meanings: dict[str, str]
) -> "xarray.Dataset":
    try:
        import xarray
    except ImportError:
        raise SpecError("`to_xarray` needs xarray: pip install 'trainability-sweep[xarray]'") from None
    attributes = {
        "spec": json.dumps(asdict(spec)),
        "schema_version": SCHEMA_VERSION,
        "trainability_sweep": __version__,
    }
    dataset = xarray.Dataset(data, coordinates, attributes)
    for name in dataset.variables:
        plain = str(name).removesuffix("_profile")
        meaning = "number of the network at its place, from 0" if plain == _REPLICA else meaning_of(plain)
        dataset[name].attrs["description"] = meanings.get(plain, meaning)
        if unit := UNITS.get(plain):
            dataset[name].attrs["units"] = unit
    return dataset


def _variables(spec: Design, points: pd.DataFrame, profiles: pd.DataFrame) -> tuple[dict[str, Any], dict[str, Any]]:
    names = [n for n in points if n not in (*spec.axes, "seed")]
    columns = {str(n): _without_na(points[n]) for n in names}
    position, dims, shape, coordinates = _flat_index(spec, points)
    if "point" not in dims:
        columns["seed"] = points["seed"].to_numpy(float)
    data: dict[str, Any] = {}
    for name, values in columns.items():
        full = np.full(int(np.prod(shape)), "" if values.dtype == object else np.nan, dtype=values.dtype)
        full[position] = values
        data[name] = dims, full.reshape(shape)
    layers = int(profiles["layer"].max()) if len(profiles) else 0
    columns_of_point = keys_of(spec)
    keys = pd.MultiIndex.from_frame(points[columns_of_point])
    # The counts are sorted by point, as the rows of the profiles are.
    counts = profiles.groupby(columns_of_point, sort=True)["layer"].size()
    row = np.repeat(keys.get_indexer(counts.index), counts.to_numpy())
    for name in [n for n in COLUMNS["profiles"] if n in COLUMNS["points"] and n not in POINT]:
        full = np.full((int(np.prod(shape)), layers), np.nan)
        full[position[row], profiles["layer"].to_numpy() - 1] = profiles[name].to_numpy()
        data[f"{name}_profile"] = (*dims, "layer"), full.reshape(*shape, layers)
    return data, {**coordinates, "layer": np.arange(1, layers + 1)}


def _without_na(column: pd.Series) -> np.ndarray:
    """Return a column as a NumPy array, with NaN for NA."""
    if DTYPES[str(column.name)] == "str":
        return column.astype(object).to_numpy()
    return column.to_numpy(float, na_value=np.nan)


def _flat_index(
    spec: Design, points: pd.DataFrame
) -> tuple[np.ndarray, tuple[str, ...], tuple[int, ...], dict[str, Any]]:
    """Return the position of each point in a flat array, the array's dimensions, its shape and its coordinates."""
    if spec.search == "grid":
        axes = {a: np.array(values) for a, values in grid_axes(spec).items()}
        indices = [np.minimum(np.searchsorted(v, points[a]), len(v) - 1) for a, v in axes.items()]
        if all((v[i] == points[a].to_numpy()).all() for i, (a, v) in zip(indices, axes.items(), strict=True)):
            replica = points.groupby(list(axes)).cumcount().to_numpy()
            count = max(spec.replicas, int(replica.max(initial=0)) + 1)
            shape = (*(len(v) for v in axes.values()), count)
            position = np.ravel_multi_index([*indices, replica], shape)
            return position, (*axes, _REPLICA), shape, {**axes, _REPLICA: np.arange(count)}
    coordinates = {a: ("point", points[a].to_numpy()) for a in keys_of(spec)}
    return np.arange(len(points)), ("point",), (len(points),), coordinates
