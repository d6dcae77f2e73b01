"""Combinations of the parts of a spec, for functions that need several of them.

The bases stand in reverse order: dataclasses takes the fields of the last one first.
"""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from probes.definition import ORIGINAL_DEFINITION
from probes.further import OWN_SETTINGS, RATE
from sweep.errors import SpecError
from sweep.spec.network import Network
from sweep.spec.options import measured
from sweep.spec.parts import Data, Probing, Resources, Search, Training
from sweep.spec.space import Space


@dataclass(frozen=True, kw_only=True)
class Design(Search, Space):
    """The options of which points are measured: their ranges, their choice, their number."""

    def _refuse(self) -> None:
        if self.until_boundary_error is not None and not self.free_axes:
            raise SpecError("`until_boundary_error` must be left out where no axis is free")
        max_points = self.place_count
        if self.points > max_points and self.search != "grid":
            raise SpecError(
                f"`points` must be at most {max_points:.0f}, the distinct points there are, got {self.points}"
            )

    @property
    def place_count(self) -> float:
        """The number of different places that there are, which is infinite unless all free axes are whole numbers."""
        return math.prod(axis.count for axis in self.axes.values())


@dataclass(frozen=True, kw_only=True)
class Measuring(Training, Probing, Network, Data):
    """The options of what is measured at a point, and how."""

    @property
    def digest(self) -> str:
        """A hash of what is measured: part files of two sweeps belong together if it is equal."""
        return hashlib.blake2b(json.dumps(self._defining(), sort_keys=True).encode(), digest_size=8).hexdigest()

    def _defining(self) -> dict[str, Any]:
        """Return what defines a measurement."""
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
        return defining


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
        self._refuse_axes()

    def _refuse_axes(self) -> None:
        """Refuse further axes that mean nothing for these networks."""
        given = self.further_names
        if RATE in given:
            if self.train == "none":
                raise SpecError(f"`axis` {RATE} must be left out where no network is trained: see `train`")
            if self.lr != Training.lr:
                raise SpecError(f"`lr` must be left out where it is an axis, got {', '.join(map(str, self.lr))}")
        if self.network is not None:
            return
        for name in given:
            if name not in OWN_SETTINGS:
                raise SpecError(f"`axis` must be {', '.join(OWN_SETTINGS)}, or an argument of `network`, got {name!r}")
        if "width" in given and (self.width or self.widths):
            raise SpecError("`axis` width must be left out where `width` or `widths` is given")
        if "residual_scale" in given and self.architecture != "resnet":
            raise SpecError(f"`axis` residual_scale must be left out with architecture {self.architecture!r}")

    def _defining(self) -> dict[str, Any]:
        # Where points have values of further axes, they are others than where these have their defaults.
        return super()._defining() | ({"axes": self.further_names} if self.axis else {})

    @property
    def reach(self) -> float:
        """The multiple of its depth to which the deepest network can be followed in search of its horizon."""
        return self.last_layer(self.depth[1]) / self.depth[1]


@dataclass(frozen=True, kw_only=True)
class Workload(Resources, Experiment):
    """All options of a sweep but those of storage."""
