"""Reading some of the profiles of a sweep without the others."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from sweep.errors import SpecError
from sweep.results.unfolded import unfolded_lists
from sweep.spec.columns import LIST_PREFIX, POINT, PROFILES, described
from sweep.storage.store import Store


def read_profiles(
    store: Store,
    further: Sequence[str],
    depth: int | Sequence[int] | None,
    layer: int | Sequence[int] | None,
    points: pd.DataFrame | None,
    columns: Sequence[str] | None,
) -> pd.DataFrame:
    """Return some rows and columns of the table ``profiles``, see `Results.profiles_at`. None stands for all.

    ``further`` are the names of the sweep's further axes.
    """
    keys = [*POINT, *further]
    names = list(PROFILES) if columns is None else [n for n in columns if n not in (*keys, "layer")]
    if unknown := [n for n in names if n not in PROFILES]:
        raise SpecError(f"`columns` must be among {', '.join(PROFILES)}, got {unknown[0]!r}")
    lists = [LIST_PREFIX["profiles"] + n for n in names]
    layers = None if layer is None else _sorted_layers(layer)
    span = None if layers is None else (int(layers[0]), int(layers[-1]))
    wanted = {"depth": depth, "seed": None if points is None else points["seed"].unique()}

    def reduced(part: pa.Table) -> pa.Table:
        """Drop the rows and layers of a part that are not wanted, as soon as it is read."""
        rows = np.ones(part.num_rows, dtype=bool)
        for name, values in wanted.items():
            if values is not None:
                rows &= np.isin(part[name].to_numpy(), np.atleast_1d(np.asarray(values)))
        part = part if rows.all() else part.filter(pa.array(rows))
        return part if span is None else _sliced(part, lists, *span)

    all_wanted = span is None and all(values is None for values in wanted.values())
    wide = store.read(lists, None if all_wanted else reduced).rows
    if points is not None and wide.num_rows:  # other points may have the same seeds
        stored = pd.MultiIndex.from_frame(wide.select(keys).to_pandas())
        wide = wide.filter(pa.array(stored.isin(pd.MultiIndex.from_frame(points[keys]))))
    frame = unfolded_lists(wide, "profiles", names, further, first=span[0] if span else 1)
    if layers is not None and len(layers) < layers[-1] - layers[0] + 1:
        frame = described(frame[frame["layer"].isin(layers)].reset_index(drop=True), "profiles")
    return frame


def _sorted_layers(layer: int | Sequence[int]) -> np.ndarray:
    """Return the layers wanted, in ascending order; refuse all but whole numbers from 1."""
    layers = np.unique(np.atleast_1d(np.asarray(layer)))
    if not len(layers) or layers[0] < 1 or (layers != layers.astype(int)).any():
        raise SpecError(f"`layer` must be whole numbers from 1, got {layer!r}")
    return layers


def _sliced(part: pa.Table, lists: Sequence[str], first: int, last: int) -> pa.Table:
    """Return a part whose lists hold only the layers from ``first`` to ``last``."""
    for name in [n for n in part.column_names if n in lists and not pa.types.is_null(part[n].type)]:
        values = pc.list_slice(part[name], first - 1, last, return_fixed_size_list=False)
        part = part.set_column(part.column_names.index(name), name, values)
    return part
