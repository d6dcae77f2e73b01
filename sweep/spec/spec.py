"""The specification of a sweep, which is validated once and stored beside the results.

Imports neither torch nor ray, so that bad input is refused in no time.
"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from probes.definition import ORIGINAL_DEFINITION
from sweep.errors import SpecError
from sweep.spec.experiment import Workload
from sweep.spec.options import changeable, declared, resolved
from sweep.spec.parts import Storage


@dataclass(frozen=True, kw_only=True)
class SweepSpec(Storage, Workload):
    """The specification of a sweep. Its fields are the options of ``sweep run``, which ``sweep run --help`` explains.

    None means what the command line calls ``auto`` (or the default that it names). A default that depends on other
    options (``depth``, ``statistic``) is worked out anew by `dataclasses.replace`, unless it was given.

    Raises
    ------
    SpecError
        A value that is not allowed.
    """

    @property
    def identity(self) -> dict[str, Any]:
        """All that two specs of one sweep have in common, wherever they are stored."""
        varies = {*changeable(self), *(field.name for field, option in declared(self) if option.is_location)}
        return {k: v for k, v in asdict(self).items() if k not in varies} | {"digest": self.digest}

    def as_json(self) -> str:
        """Return the spec as JSON, which `from_json` reads."""
        return json.dumps({**asdict(self), "resolved": self.resolved}, indent=1) + "\n"

    def save(self, path: Path) -> None:
        """Write the spec to a file as JSON."""
        path.write_text(self.as_json())

    @classmethod
    def read(cls, path: Path) -> "SweepSpec":
        """Read a spec from a file that `save` wrote.

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
        """Return the spec in a text of `as_json`; ``name`` is its file in messages.

        Raises
        ------
        SpecError
            It is damaged or holds what is not allowed.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SpecError(f"{name!r} cannot be read: {' '.join(str(error).split())}") from None
        if not isinstance(data, dict):
            raise SpecError(f"{name!r} holds no table")
        follows = data.pop("resolved", {})
        if unknown := set(data) - {f.name for f in fields(cls)}:
            raise SpecError(f"{name!r} holds what is no option: {', '.join(sorted(map(repr, unknown)))[:200]}")
        data.setdefault("definition", ORIGINAL_DEFINITION)
        data.setdefault("calibration", 0)
        for key, by in follows.items() if isinstance(follows, dict) else ():
            if isinstance(data.get(key), str | list) and isinstance(by, str | int | None):
                data[key] = resolved(data[key], by)
        return cls(**data)
