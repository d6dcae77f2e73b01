"""Combinations of the parts of a spec, for functions that need several of them.

The bases stand in reverse order: dataclasses takes the fields of the last one first.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from probes.definition import ORIGINAL_DEFINITION
from sweep.errors import SpecError
from sweep.spec.network import Network
from sweep.spec.options import measured
from sweep.spec.parts import Data, Probing, Resources, Search, Space, Training


@dataclass(frozen=True, kw_only=True)
class Design(Search, Space):
    """The options of which points are measured: their ranges, their choice, their number."""

    def _refuse(self) -> None:
        if self.until_boundary_error is not None and not self.free_axes:
            raise SpecError("`until_boundary_error` must be left out where no axis is free")
        if set(self.free_axes) <= {"depth"}:
            max_points = self.depth[1] - self.depth[0] + 1
            if self.points > max_points and self.search != "grid":
                raise SpecError(
                    f"`points` must be at most {max_points}, the distinct points there are, got {self.points}"
                )


@dataclass(frozen=True, kw_only=True)
class Measuring(Training, Probing, Network, Data):
    """The options of what is measured at a point, and how."""

    @property
    def digest(self) -> str:
        """A hash of what is measured: part files of two sweeps belong together if it is equal."""
        # By what differs from the defaults, so that options of later versions change nothing.
        defaults = {f.name: f.default for f in fields(self)}
        defining = {name: getattr(self, name) for name in measured(self) if getattr(self, name) != defaults[name]}
        defining.pop("dataset", None)
        defining |= {"data": self.fingerprint} if self.fingerprint else {"dataset": Path(self.dataset).name}
        if self.network is not None:
            defining["network"] = self.code or Path(self.network).name
        if self.definition != ORIGINAL_DEFINITION:
            known = {f.name: f.default for f in fields(self.definition)}
            defining["definition"] = {k: v for k, v in asdict(self.definition).items() if v != known[k]}
        return hashlib.blake2b(json.dumps(defining, sort_keys=True).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Experiment(Measuring, Design):
    """All options of a sweep but those of resources and storage."""

    def _resolve(self) -> None:
        if isinstance(self.widths, list | tuple) and self.widths:
            self._default("depth", (len(self.widths),) * 2, by=len(self.widths))

    def _refuse(self) -> None:
        if self.widths is not None and self.depth[1] > len(self.widths):
            max_depth = len(self.widths)
            raise SpecError(f"`depth` must be at most {max_depth}, the number of widths, got {self.depth[1]}")
        if self.prior == "theory" and not self.has_theory:
            networks = "a network of yours" if self.network is not None else f"architecture {self.architecture!r}"
            raise SpecError(f"`prior` must be none with {networks}, which mean field theory is not for")
        if self.aim == "ridge" and self.train != "none":
            raise SpecError("`aim` must be boundary or both where networks are trained: the truth has no ridge")

    @property
    def reach(self) -> float:
        """The multiple of its depth to which the deepest network can be followed in search of its horizon."""
        return self.last_layer(self.depth[1]) / self.depth[1]


@dataclass(frozen=True, kw_only=True)
class Workload(Resources, Experiment):
    """All options of a sweep but those of storage."""
