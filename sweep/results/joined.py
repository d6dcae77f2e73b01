"""The tables of several sweeps together, and how results are loaded."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pandas as pd

from sweep.errors import SpecError
from sweep.results.results import Results
from sweep.spec.columns import SWEEP, described
from sweep.storage.home import Home
from sweep.storage.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Joined", "load"]


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
