"""The results of one sweep as DataFrames."""

import html
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from sweep.errors import SpecError
from sweep.model.calibration import Calibration, calibration_of, expected, sentence
from sweep.model.level import trained_level
from sweep.results.profiles import read_profiles
from sweep.results.unfolded import points_of, unfolded_lists
from sweep.spec.columns import COLUMNS, CURVES, LIST_PREFIX, described
from sweep.spec.spec import SweepSpec
from sweep.storage.store import Store
from sweep.storage.sweep_files import SweepFiles
from sweep.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow.dataset as ds
    import xarray

    from sweep.model.estimate import PhaseModel

_NOTEBOOK_ROWS = 8


@dataclass(repr=False)
class Results:
    """The results of one sweep, each of them read when it is first used.

    Get it from `load`. The tables ``points``, ``profiles``, ``truth`` and ``boundary`` are DataFrames, whose
    ``attrs["columns"]`` says what each column means.

    Attributes
    ----------
    files:
        The files of the sweep.
    spec:
        The specification of the sweep.
    store:
        The stored rows.
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
        networks = ", ".join([printable(Path(spec.dataset).name), *spec.network_words])
        return f"<Results of {printable(self.files.location)}: {', '.join(counts)}; {networks}>"

    def _repr_html_(self) -> str:
        sentences = [repr(self)[1:-1]]
        if len(line := self.phase.critical_line()):
            middle = line.iloc[len(line) // 2]
            sigma_w = f"{middle.sigma_w:.3g} ({middle.lower:.3g} to {middle.upper:.3g})"
            sentences.append(f"The critical line is at sigma_w {sigma_w} where sigma_b is {middle.sigma_b:.2g}.")
        if calibrated := self.calibration_sentence:
            sentences.append(f"The margin is {calibrated}.")
        text = "".join(f"<p>{html.escape(line)}</p>" for line in sentences)
        return f"{text}{self.points.head(_NOTEBOOK_ROWS)._repr_html_()}"  # type: ignore[operator]

    @property
    def path(self) -> Path:
        """The folder of the study and the pictures; for a sweep at a URI, it is in the user's cache."""
        return self.files.local

    @cached_property
    def _stored(self) -> tuple[pd.DataFrame, dict[str, str]]:
        reading = self.store.read(list(COLUMNS["points"]))
        return points_of(reading.rows, self.spec.further_names), reading.damaged

    @property
    def damaged(self) -> dict[str, str]:
        """Files among the results that are not part of the sweep or cannot be read, with the reasons."""
        return self._stored[1]

    @cached_property
    def points(self) -> pd.DataFrame:
        """The points, one row each."""
        points = self._stored[0]
        points["p_trainable"] = self.calibration.probability(expected(points["margin"], _is_censored(points)))
        if self.spec.train != "none":
            level = self.spec.level or trained_level(points)
            points["trainable"] = (points["accuracy"] > level).astype("boolean").where(points["accuracy"].notna())
        return points

    @cached_property
    def calibration(self) -> Calibration:
        """The calibration of the margin: by the sweep's own trainings or, if there are fewer than four, the default.

        What can be trained depends on learning rate, optimiser and epochs, so that it is never that of another sweep.
        """
        points = self._stored[0]
        columns = points["margin"], _is_censored(points), points["accuracy"], points["chance"]
        return calibration_of(self.spec, *columns)

    @property
    def calibration_sentence(self) -> str:
        """A sentence that says by what the margin was calibrated, and how; empty if it was not by trainings."""
        return sentence(self.spec, self.calibration)

    @property
    def level(self) -> float:
        """The accuracy above which a network counts as trained; NaN if it is not known."""
        return self.spec.level or trained_level(self.points)

    @cached_property
    def profiles(self) -> pd.DataFrame:
        """The profiles, one row per point and layer. To read only some of them, use `profiles_at`."""
        return self.profiles_at()

    def profiles_at(
        self,
        depth: "int | Sequence[int] | None" = None,
        layer: "int | Sequence[int] | None" = None,
        points: pd.DataFrame | None = None,
        columns: "Sequence[str] | None" = None,
    ) -> pd.DataFrame:
        """Return some rows and columns of `profiles` without reading the others into memory.

        Parameters
        ----------
        depth:
            The depth or depths of the networks; None: all.
        layer:
            The layer or layers, from 1; None: all.
        points:
            Rows of the table `points`; None: all points.
        columns:
            Names of the profiles, such as ``direct_retained``; None: all.

        Raises
        ------
        SpecError
            A column is not a profile, or a layer is not a whole number from 1.
        """
        return read_profiles(self.store, self.spec.further_names, depth, layer, points, columns)

    @cached_property
    def truth(self) -> pd.DataFrame:
        """The training curves, one row per trained point, learning rate and epoch."""
        names = list(CURVES)
        wide = self.store.read([LIST_PREFIX["truth"] + n for n in names]).rows
        frame = unfolded_lists(wide, "truth", names, self.spec.further_names).dropna(
            subset=["epoch"], ignore_index=True
        )
        return described(frame.astype({"epoch": "int64"}), "truth")

    @property
    def dataset(self) -> "ds.Dataset":
        """The results as a pyarrow dataset, for filtering and streaming what does not fit into memory.

        It has one row per point, with the columns of ``points`` (except ``trainable`` and ``p_trainable``, which depend
        on all points), each profile as a list ``profile_NAME`` and each training curve as a list ``epoch_NAME``. A
        point that was measured twice may occur twice. While a sweep is running, its files are replaced by larger ones
        from time to time: then get the dataset again.
        """
        return self.store.dataset()

    def to_xarray(self, table: str = "points") -> "xarray.Dataset":
        """Return a table as an xarray Dataset with named axes, units and descriptions.

        Its dimensions are described in `sweep.results.arrays.points_to_xarray`.

        Parameters
        ----------
        table:
            ``points``, which includes their profiles, or ``boundary``.

        Raises
        ------
        SpecError
            It is another table, or xarray is not installed.
        """
        from sweep.results.arrays import boundary_to_xarray, points_to_xarray

        if table == "points":
            return points_to_xarray(self.spec, self.points, self.profiles)
        if table == "boundary":
            return boundary_to_xarray(self.spec, self.boundary)
        raise SpecError(f"`table` must be points or boundary, got {table!r}")

    @cached_property
    def history(self) -> pd.DataFrame:
        """The expected error of the boundary (``expected_error``) by the number of points measured (``points``)."""
        from sweep.model.estimate import history

        return history(self.spec, self.points)

    @cached_property
    def phase(self) -> "PhaseModel":
        """The model of the margin."""
        from sweep.model.estimate import PhaseModel

        return PhaseModel(self.spec, self.points)

    @cached_property
    def boundary(self) -> pd.DataFrame:
        """The boundary and the critical line at a few depths, one row per depth and sigma_b (and further axes).

        The boundary is where half of the networks train, by the sweep's `calibration`; if that is one by trainings,
        ``attrs["calibration"]`` says so.
        """
        return self._described_boundary(self.phase.boundary())

    @cached_property
    def middle_boundary(self) -> pd.DataFrame:
        """The table `boundary` in the middle of the further axes, if the sweep has any."""
        return self.boundary_at(at={}) if self.spec.further_axes else self.boundary

    def _described_boundary(self, frame: pd.DataFrame) -> pd.DataFrame:
        frame = described(frame, "boundary")
        if calibrated := self.calibration_sentence:
            frame.attrs["calibration"] = calibrated
        return frame

    def boundary_at(
        self, depths: "Sequence[int] | None" = None, at: "Mapping[str, float] | None" = None
    ) -> pd.DataFrame:
        """Return the table `boundary` at other depths, or at other values of further axes.

        Parameters
        ----------
        depths:
            The depths; None: those of `boundary`.
        at:
            Values of further axes by name, those left out being in the middle of their ranges; None: the places of
            `boundary`.

        Raises
        ------
        SpecError
            A value is outside of the range of the sweep.
        """
        low, high = self.spec.depth
        if depths is None and not (self.spec.further_axes and at is not None):
            return self.boundary
        if outside := [d for d in depths or () if not low <= d <= high]:
            raise SpecError(f"`depths` must be from {low} to {high}, those of the sweep, got {outside[0]}")
        return self._described_boundary(self.phase.boundary(depths, checked_at(self.spec, at)))

    def table(self, name: str) -> pd.DataFrame:
        """Return a table by its name: points, profiles, truth or boundary."""
        frame: pd.DataFrame = getattr(self, name)
        return frame


def checked_at(spec: SweepSpec, at: "Mapping[str, float] | None") -> dict[str, float] | None:
    """Return values of further axes, as numbers of their kinds; refuse other names, and values outside of the ranges.

    Raises
    ------
    SpecError
        There is no such axis, or a value is outside of its range.
    """
    if at is None:
        return None
    for name, value in at.items():
        if name not in spec.further_names:
            known = ", ".join(spec.further_names) or "none"
            raise SpecError(f"`at` must name a further axis of the sweep ({known}), got {name!r}")
        low, high = spec.range_of(name)
        if not low <= value <= high:
            raise SpecError(f"`at` {name} must be from {low:g} to {high:g}, as in the sweep, got {value:g}")
        if spec.axes[name].typed(value) != value:
            raise SpecError(f"`at` {name} must be a whole number, as in the sweep, got {value:g}")
    return {name: spec.axes[name].typed(value) for name, value in at.items()}


def _is_censored(points: pd.DataFrame) -> pd.Series:
    return points["margin_censored"].fillna(False).astype(bool)
