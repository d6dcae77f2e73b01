"""Merging several sweeps of the same measurement into one."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from sweep.errors import SpecError, StoreError
from sweep.results.loading import load
from sweep.results.results import Results
from sweep.spec.axes import Axis
from sweep.spec.design import budget
from sweep.spec.experiment import Design
from sweep.spec.options import AXES, measured
from sweep.spec.ranges import POINTS
from sweep.spec.spec import SweepSpec
from sweep.storage.lock import locked
from sweep.storage.store import Store
from sweep.storage.sweep_files import VERSIONS_FILE, SweepFiles

SOURCES_FILE = "merged.json"


def merge(directories: Sequence[str | Path], output: str | Path) -> Results:
    """Copy the results of sweeps of the same measurement (`SweepSpec.digest`) into a new sweep and return its results.

    The new sweep is like any other and can be resumed. Its ranges are the smallest that contain those of all sweeps.
    Its budget is the number of places that they have measured, plus those that they still had to measure. A point that
    several sweeps hold counts once. If the searches or the grids of the sweeps differ, its search is ``boundary``. It
    has the largest number of replicas, and no limit of the boundary's error; the rest of the specification is that of
    the first sweep. The file ``merged.json`` in it says what it was made of.

    Parameters
    ----------
    directories:
        The directories or URIs of at least two sweeps.
    output:
        The directory or URI of the new sweep.

    Raises
    ------
    SpecError
        There are fewer than two sweeps, they are of different measurements, or the output holds a sweep already or
        cannot be written.
    StoreError
        A storage cannot be read or written.
    """
    if len(directories) < 2:
        raise SpecError(f"`directory` must name at least two sweeps, got {len(directories)}")
    sweeps = list(load(directories).sweeps.values())
    first = sweeps[0]
    for other in sweeps[1:]:
        _check_alike(first, other)
    try:
        files = SweepFiles(output)
        if files.read("spec.json") is not None:
            raise SpecError(f"`output` {files.location!r} holds a sweep already")
        if not files.uri:
            files.local.mkdir(parents=True, exist_ok=True)
        files.check()
    except (StoreError, OSError, ValueError) as error:
        raise SpecError(f"`output` {str(output)!r} cannot be written: {getattr(error, 'strerror', error)}") from None
    spec = _merged(sweeps, files.uri or None)
    with locked(files.uri or files.local, files.location):
        store = Store(files.location, spec.digest, spec.further_names)
        store.create()
        if store.read([]).seen:
            raise SpecError(f"`output` {files.location!r} holds the results of another sweep")
        left_out = {s.files.location: store.copy(s.store) for s in sweeps}
        sources = [
            {
                "sweep": s.files.location,
                "points": len(s.points),
                "left_out": left_out[s.files.location],
                "versions": s.files.versions(),
            }
            for s in sweeps
        ]
        files.write(SOURCES_FILE, (json.dumps(sources, indent=1) + "\n").encode())
        if (versions := first.files.read(VERSIONS_FILE)) is not None:
            files.write(VERSIONS_FILE, versions)
        files.write_spec(spec)  # last, since it makes the directory a sweep
        with suppress(StoreError):  # only makes reading faster
            store.compact()
    return load(output)


def _check_alike(one: Results, other: Results) -> None:
    if one.spec.digest == other.spec.digest:
        return
    differ = {n: (getattr(one.spec, n), getattr(other.spec, n)) for n in (*measured(one.spec), "code", "definition")}
    differ["axis"] = (one.spec.further_names, other.spec.further_names)
    differ["dataset"] = ("", "") if one.spec.has_data_of(other.spec) else (one.spec.data, other.spec.data)
    for name, (a, b) in differ.items():
        if a != b:
            raise SpecError(
                f"sweeps must have measured the same to be merged: {other.files.location!r} has {name} {b!r}, "
                f"{one.files.location!r} has {a!r}"
            )


def _merged(sweeps: Sequence[Results], uri: str | None) -> SweepSpec:
    specs = [s.spec for s in sweeps]
    ends = {a: (min(s.range_of(a)[0] for s in specs), max(s.range_of(a)[1] for s in specs)) for a in specs[0].axes}
    ranges: dict[str, Any] = {a: ends[a] for a in AXES}
    ranges["axis"] = [str(_joint([s.axes[name] for s in specs])) for name in specs[0].further_names]
    measured_by = [set(s.points[list(s.spec.axes)].itertuples(index=False, name=None)) for s in sweeps]
    places = set().union(*measured_by)
    remaining = sum(max(0, budget(s) - len(m)) for s, m in zip(specs, measured_by, strict=True))
    points = min(len(places) + remaining, int(POINTS.high))
    search = specs[0].search
    if any(s.search != search for s in specs) or (search == "grid" and any(_grid(s) != _grid(specs[0]) for s in specs)):
        search = "boundary"
    if search == "grid":
        points = specs[0].points
    else:
        all_places = replace(
            specs[0], **ranges, points=1, first_points=None, search="boundary", storage=uri
        ).place_count
        points = int(min(points, all_places))
    return replace(
        specs[0],
        **ranges,
        fingerprint=specs[0].fingerprint if all(s.fingerprint for s in specs) else None,
        points=points,
        first_points=specs[0].first_points if search == "grid" else None,
        search=search,
        replicas=max(s.replicas for s in specs),
        until_boundary_error=None,
        address=None,
        study=None,
        storage=uri,
    )


def _joint(axes: Sequence[Axis]) -> Axis:
    """Return an axis with the ranges of all: of whole numbers, or on a log scale, if all of them are."""
    low, high = min(axis.low for axis in axes), max(axis.high for axis in axes)
    whole = all(axis.whole for axis in axes)
    return Axis(axes[0].name, low, high, all(axis.log for axis in axes), whole)


def _grid(spec: Design) -> Any:
    return spec.points, spec.first_points, [*spec.axes.values()]
