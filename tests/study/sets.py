"""The sets of the study: their declarations in `sets.toml`, and the files with what was measured of them."""

import pickle
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from probes.point import Point
from sweep.analysis.surface import Surface, distance_to_boundary, truth_surface
from sweep.spec.design import places, seeds
from sweep.spec.spec import SweepSpec

T = TypeVar("T")
_FOLDER = Path(__file__).parent
PURPOSES = {"selection": "selection", "evaluation": ".", "cascade": "cascade"}  # with the folder of their files


@dataclass(frozen=True)
class Study:
    """A set of networks that were probed and trained.

    Attributes
    ----------
    name:
        The name of its file.
    title:
        Its title in tables.
    purpose:
        ``selection``: constants and defaults are chosen by it; ``evaluation``: what was chosen is judged by it;
        ``cascade``: the readings of cascades are judged by it, of networks that another set for evaluation has, too.
    options:
        Those options of `sweep run` in which it differs from other sets.
    """

    name: str
    title: str
    purpose: str
    options: dict[str, Any]

    @property
    def spec(self) -> SweepSpec:
        """The specification of the sweep that measures the set."""
        return SweepSpec(search="sobol", train="all", **self.options)

    @property
    def file(self) -> Path:
        """The file with what was measured."""
        return _FOLDER / PURPOSES[self.purpose] / f"{self.name}.csv"

    @property
    def curves_file(self) -> Path:
        """The file with the training curves, of sets for selection."""
        return self.file.with_suffix(".parquet")

    @property
    def points(self) -> list[Point]:
        """The points of the set."""
        spec = self.spec
        of_places = islice(enumerate(places(spec)), spec.points)
        return [Point(*place, seed) for number, place in of_places for seed in seeds(spec, number)]

    def read(self) -> pd.DataFrame:
        """Return what was measured, sorted by place; places have all their bits."""
        return pd.read_csv(self.file, converters=dict.fromkeys(("sigma_w", "sigma_b"), float))


def trained(table: pd.DataFrame, of: pd.DataFrame | None = None) -> pd.Series:
    """Return which networks came half way from the worst accuracy of their set, which is chance, to the best.

    ``of`` are the networks of the set, by default those of the table.
    """
    accuracy: pd.Series = table["accuracy"]
    ends = accuracy if of is None else of["accuracy"]
    return accuracy > (ends.min() + ends.max()) / 2


def boundary_of(study: Study, table: pd.DataFrame, outcomes: pd.Series) -> Surface:
    """Return a surface, whose zeros are the boundary, through outcomes of a set's networks."""
    return truth_surface(study.spec, table.assign(trainable=outcomes, margin=0.0))


def hard_half(study: Study, table: pd.DataFrame) -> np.ndarray:
    """Return the indices of the half of a set's networks that is nearest to the boundary by training."""
    distance = distance_to_boundary(boundary_of(study, table, trained(table)), table, study.spec)
    return np.argsort(distance, kind="stable")[: len(table) // 2]


def kept(file: Path, measure: Callable[[], T]) -> T:
    """Return what was measured and kept in a file, which is made if it is not there."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(pickle.dumps(measure()))
    return pickle.loads(file.read_bytes())


STUDIES = {
    name: Study(name, declared.pop("title"), declared.pop("purpose"), declared)
    for name, declared in tomllib.loads((_FOLDER / "sets.toml").read_text()).items()
}
FILES = [name for name, study in STUDIES.items() if study.file.exists()]


def studies_for(purpose: str) -> list[Study]:
    """Return the sets of a purpose that have a file."""
    return [STUDIES[name] for name in FILES if STUDIES[name].purpose == purpose]


def point_of(row: Any) -> Point:
    """Return the point of a row of a file."""
    return Point(row.sigma_w, row.sigma_b, row.depth, row.seed)
