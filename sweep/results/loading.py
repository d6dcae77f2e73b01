"""From a directory or URI to results."""

from collections.abc import Sequence
from pathlib import Path
from typing import overload

from sweep.errors import SpecError
from sweep.results.joined import Joined
from sweep.results.results import Results
from sweep.storage.store import Store
from sweep.storage.sweep_files import SweepFiles


@overload
def load(directory: str | Path) -> Results: ...  # type: ignore[overload-overlap]  # a text is a sequence of texts


@overload
def load(directory: Sequence[str | Path]) -> Joined: ...


def load(directory: str | Path | Sequence[str | Path]) -> Results | Joined:
    """Return the results of the sweep in a directory or at a URI, finished or not; of several, joined.

    Raises
    ------
    SpecError
        There is no sweep there, or one is given twice.
    StoreError
        Its storage cannot be used.
    """
    if isinstance(directory, str | Path):
        files = SweepFiles(directory)
        spec = files.read_spec()
        return Results(files, spec, Store(spec.storage or files.location, spec.digest))
    sweeps: dict[str, Results] = {}
    for one in directory:
        results = load(one)
        if any(results.files == other.files for other in sweeps.values()):
            raise SpecError(f"`directory` must name different sweeps, got {str(one)!r} twice")
        sweeps[results.files.location] = results
    if not sweeps:
        raise SpecError("`directory` must name at least one sweep, got none")
    return Joined(sweeps)
