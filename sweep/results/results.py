"""The results of one sweep as DataFrames."""

import html
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from sweep.errors import SpecError
from sweep.model.level import trained_level
from sweep.results.profiles import read_profiles
from sweep.results.unfolded import points_of, unfolded_lists
from sweep.spec.columns import COLUMNS, CURVES, LIST_PREFIX, described
from sweep.spec.spec import SweepSpec
from sweep.storage.store import Store
from sweep.storage.sweep_files import SweepFiles
from sweep.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow.dataset as ds
    import xarray

    from sweep.model.estimate import PhaseModel

_SHOWN = 8  # rows of a table in a notebook


@dataclass(repr=False)
class Results:
    """The results of one sweep, read when asked for.

    ``points``, ``profiles``, ``truth`` and ``boundary`` are DataFrames; ``df.attrs["columns"]`` says what each column
    means. ``spec`` is the sweep's `SweepSpec`, ``phase`` the model behind the boundary.
    """

    files: SweepFiles
    spec: SweepSpec
    store: Store

    def __repr__(self) -> str:
        counts = [f"{len(self.points)} points"]
        for status in ("failed", "diverged"):
            if number := int((self.points["status"] == status).sum()):
                counts.append(f"{number} {status}")
        if trained := int(self.points["accuracy"].notna().sum()):
            counts.append(f"{trained} trained")
        spec = self.spec
        networks = f"{printable(Path(spec.dataset).name)}, {spec.architecture}, {spec.activation}"
        return f"<Results of {printable(self.files.location)}: {', '.join(counts)}; {networks}>"

    def _repr_html_(self) -> str:
        told = [repr(self)[1:-1]]
        if len(line := self.phase.critical_line()):
            at = line.iloc[len(line) // 2]
            sigma_w = f"{at.sigma_w:.3g} ({at.lower:.3g} to {at.upper:.3g})"
            told.append(f"The critical line is at sigma_w {sigma_w} where sigma_b is {at.sigma_b:.2g}.")
        text = "".join(f"<p>{html.escape(line)}</p>" for line in told)
        return f"{text}{self.points.head(_SHOWN)._repr_html_()}"  # type: ignore[operator]

    @property
    def path(self) -> Path:
        """The folder for its study and its pictures."""
        return self.files.local

    @cached_property
    def _stored(self) -> tuple[pd.DataFrame, dict[str, str]]:
        reading = self.store.read(list(COLUMNS["points"]))
        return points_of(reading.rows), reading.damaged

    @property
    def damaged(self) -> dict[str, str]:
        """Files among the results that are no part of the sweep, or cannot be read, and why."""
        return self._stored[1]

    @cached_property
    def points(self) -> pd.DataFrame:
        """One row a point."""
        points = self._stored[0]
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
        """Return the rows of `profiles` of these depths, at these layers, of these points (rows of `points`).

        ``columns`` are the profiles wanted. Only they are read, and rows that are not wanted take no memory.

        Raises
        ------
        SpecError
            A column that is no profile, a layer below 1.
        """
        return read_profiles(self.store, depth, layer, points, columns)

    @cached_property
    def truth(self) -> pd.DataFrame:
        """One row a trained point, learning rate and epoch."""
        names = list(CURVES)
        wide = self.store.read([LIST_PREFIX["truth"] + n for n in names]).rows
        frame = unfolded_lists(wide, "truth", names).dropna(subset=["epoch"], ignore_index=True)
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
        """Return ``points`` with their profiles, or ``boundary``, as an xarray Dataset; see `sweep.results.arrays`.

        Raises
        ------
        SpecError
            Another table, or xarray is not installed.
        """
        from sweep.results.arrays import boundary_to_xarray, points_to_xarray

        if table == "points":
            return points_to_xarray(self.spec, self.points, self.profiles)
        if table == "boundary":
            return boundary_to_xarray(self.spec, self.boundary)
        raise SpecError(f"`table` must be points or boundary, got {table!r}")

    @cached_property
    def history(self) -> pd.DataFrame:
        """How the boundary came to be known: ``points`` stored, and the ``expected_error`` after them (`estimate`)."""
        from sweep.model.estimate import history

        return history(self.spec, self.points)

    @cached_property
    def phase(self) -> "PhaseModel":
        """The model of the margin."""
        from sweep.model.estimate import PhaseModel

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
