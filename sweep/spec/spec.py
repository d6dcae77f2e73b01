"""SweepSpec: all that defines a sweep, validated once, saved beside its results.

Imports neither torch nor ray, so that bad input is refused in no time.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from sweep.errors import SpecError
from sweep.spec.options import changeable, declared, measured
from sweep.spec.parts import Data, Network, Probing, Resources, Search, Space, Storage, Training


# The bases stand in reverse order: dataclasses takes the fields of the last one first.
@dataclass(frozen=True, kw_only=True)
class SweepSpec(Storage, Resources, Training, Search, Probing, Network, Data, Space):
    """One sweep. Every field is an option of ``sweep run``; see ``sweep run --help`` for their meaning.

    None means what the command line calls ``auto`` (or the default that it names). A default that depends on other
    options (``depth``, ``statistic``) is worked out anew by `dataclasses.replace`, unless it was given.

    Raises
    ------
    SpecError
        A value that is not allowed.
    """

    def _resolve(self) -> None:
        if isinstance(self.widths, list | tuple) and self.widths:
            self._default("depth", (len(self.widths),) * 2)

    def _refuse(self) -> None:
        """Refuse options of several parts that are allowed alone, but not together."""
        if self.widths is not None and self.depth[1] > len(self.widths):
            most = len(self.widths)
            raise SpecError(f"`depth` must be at most {most}, the number of widths, got {self.depth[1]}")
        if self.prior == "theory":
            from probes.meanfield import applies_to

            if not applies_to(self.architecture):
                raise SpecError(
                    f"`prior` must be none with architecture {self.architecture!r}, which mean field theory is not for"
                )
        if self.aim == "ridge" and self.train != "none":
            raise SpecError("`aim` must be boundary or both where networks are trained: the truth has no ridge")
        if self.until_boundary_error is not None and not self.free_axes:
            raise SpecError("`until_boundary_error` must be left out where no axis is free")
        if set(self.free_axes) <= {"depth"}:
            distinct = self.depth[1] - self.depth[0] + 1
            if self.points > distinct and self.search != "grid":
                raise SpecError(
                    f"`points` must be at most {distinct}, the distinct points there are, got {self.points}"
                )

    @property
    def reach(self) -> float:
        """How many times its depth the deepest network can be followed in search of its horizon."""
        from probes.point import reach

        return reach(self.architecture, self.depth[1], self.widths) / self.depth[1]

    @property
    def digest(self) -> str:
        """Of what is measured at a point, and how: parts of two sweeps belong together if theirs are equal."""
        # By what differs from the defaults, so that options of later versions change nothing.
        defaults = {f.name: f.default for f in fields(self)}
        told = {name: getattr(self, name) for name in measured(self) if getattr(self, name) != defaults[name]}
        told |= {"dataset": Path(self.dataset).name}
        return hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=8).hexdigest()

    @property
    def identity(self) -> dict[str, Any]:
        """What two specs of one sweep have in common, wherever they stand."""
        varies = {*changeable(self), *(field.name for field, option in declared(self) if option.place)}
        return {k: v for k, v in asdict(self).items() if k not in varies} | {"digest": self.digest}

    def as_json(self) -> str:
        """What `from_json` reads."""
        return json.dumps(asdict(self), indent=1) + "\n"

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(self.as_json())

    @classmethod
    def read(cls, path: Path) -> "SweepSpec":
        """Read what `save` wrote.

        Raises
        ------
        SpecError
            The file is missing, damaged or holds what is not allowed.
        """
        try:
            return cls.from_json(path.read_bytes(), str(path))
        except FileNotFoundError:
            raise SpecError(f"{str(path.parent)!r} is no sweep: it holds no {path.name}") from None
        except OSError as error:
            raise SpecError(f"{str(path)!r} cannot be read: {error.strerror or error}") from None

    @classmethod
    def from_json(cls, text: str | bytes, name: str) -> "SweepSpec":
        """Read what `as_json` gave; ``name`` says where it stands.

        Raises
        ------
        SpecError
            It is damaged or holds what is not allowed.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SpecError(f"{name!r} cannot be read: {' '.join(str(error).split())}") from None
        names = {f.name for f in fields(cls)}
        unknown = set(data) - names if isinstance(data, dict) else {"(not a table)"}
        if unknown:
            raise SpecError(f"{name!r} holds what is no option: {', '.join(sorted(map(repr, unknown)))[:200]}")
        return cls(**data)
