"""Loading the results of sweeps from directories or URIs."""

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
    """Return the results of a sweep, finished or not, or the joint results of several sweeps.

    Parameters
    ----------
    directory:
        The directory of a sweep or its URI; or a sequence of them.

    Returns
    -------
    Results or Joined
        `Joined` for a sequence, even of one.

    Raises
    ------
    SpecError
        A directory holds no sweep, a sweep is given twice, or the sequence is empty.
    StoreError
        The storage of a sweep cannot be used.
    """
    if isinstance(directory, str | Path):
        files = SweepFiles(directory)
        spec = files.read_spec()
        return Results(files, spec, Store(spec.storage or files.location, spec.digest, spec.further_names))
    sweeps: dict[str, Results] = {}
    for item in directory:
        results = load(item)
        if any(results.files == other.files for other in sweeps.values()):
            raise SpecError(f"`directory` must name different sweeps, got {str(item)!r} twice")
        sweeps[results.files.location] = results
    if not sweeps:
        raise SpecError("`directory` must name at least one sweep, got none")
    return Joined(sweeps)
