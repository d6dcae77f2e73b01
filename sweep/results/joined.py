"""The tables of several sweeps together."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sweep.results.results import Results
from sweep.spec.columns import SWEEP, described

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(repr=False)
class Joined:
    """Several sweeps together: the tables of `Results`, each row with the name of its sweep in the column ``sweep``.

    ``sweeps`` are their `Results` by the names that they were loaded by.
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
