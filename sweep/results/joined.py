"""The results of several sweeps as joint tables."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sweep.results.results import Results
from sweep.spec.columns import SWEEP, described

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(repr=False)
class Joined:
    """The results of several sweeps: the tables of `Results`, with a column ``sweep`` that names the sweep of each row.

    Attributes
    ----------
    sweeps:
        The `Results` of each sweep, by the sweep's location as it was given to `load`.
    """

    sweeps: dict[str, Results]

    def __repr__(self) -> str:
        return (
            "\n".join(["<Results of several sweeps:", *(f"  {name}: {r!r}" for name, r in self.sweeps.items())]) + ">"
        )

    def _repr_html_(self) -> str:
        return "".join(results._repr_html_() for results in self.sweeps.values())

    @cached_property
    def points(self) -> pd.DataFrame:
        """The points, one row each: see `Results.points`."""
        return self.table("points")

    @cached_property
    def profiles(self) -> pd.DataFrame:
        """The profiles, one row per point and layer: see `Results.profiles`."""
        return self.table("profiles")

    @cached_property
    def truth(self) -> pd.DataFrame:
        """The training curves, one row per trained point, learning rate and epoch: see `Results.truth`."""
        return self.table("truth")

    @cached_property
    def boundary(self) -> pd.DataFrame:
        """The boundary and the critical line of each sweep by itself: see `Results.boundary`."""
        return self.table("boundary")

    def profiles_at(self, *args: Any, **keys: Any) -> pd.DataFrame:
        """Return some of the rows of `profiles` without reading the others.

        It takes the arguments of `Results.profiles_at`; ``points`` are rows of `points`, of all sweeps or of one.
        """
        return self._joined("profiles", lambda results: results.profiles_at(*args, **keys))

    def boundary_at(
        self, depths: "Sequence[int] | None" = None, at: "Mapping[str, float] | None" = None
    ) -> pd.DataFrame:
        """Return `boundary` at other places, within the ranges of all sweeps: see `Results.boundary_at`."""
        return self._joined("boundary", lambda results: results.boundary_at(depths, at))

    def table(self, name: str) -> pd.DataFrame:
        """Return a table by its name: points, profiles, truth or boundary."""
        return self._joined(name, lambda results: results.table(name))

    def _joined(self, table: str, get: "Callable[[Results], pd.DataFrame]") -> pd.DataFrame:
        frames = {name: get(results) for name, results in self.sweeps.items()}
        # Frames without rows are left out: the types of their empty columns would change those of the result.
        frame = pd.concat([f for f in frames.values() if len(f)] or [*frames.values()][:1], ignore_index=True)
        frame.insert(0, SWEEP, np.repeat(np.array(list(frames), dtype=object), [len(f) for f in frames.values()]))
        frame = frame.astype({SWEEP: "str"})
        return described(frame, table)
