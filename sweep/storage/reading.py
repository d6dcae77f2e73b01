"""Reading the parts of a store: many at once, each checked, with the reason for each file that is rejected."""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import NamedTuple

import pyarrow as pa

from sweep.errors import StoreError
from sweep.storage.files import store_error
from sweep.storage.folder import DiskFolder, Folder
from sweep.storage.parts import LEFTOVER_NAME, PartFormat, check_bytes, concatenated, implausible
from sweep.text import one_line, printable

MAX_ATTEMPTS = 3  # where the folder was away for a moment, or parts were merged meanwhile
_THREADS = 16  # most of the time is spent waiting for the storage
_THREADS_OF_A_DISK = 2
_MAX_PARTS_PER_TASK = 64  # handing a part over to a thread takes as long as reading one


class Reading(NamedTuple):
    """The rows that were read from a store, and the files that were rejected.

    Attributes
    ----------
    rows:
        The rows.
    parts:
        Names of the parts that the rows are from.
    rejected:
        Files that are not parts of the sweep or cannot be read: the reason by the name.
    """

    rows: pa.Table
    parts: list[str]
    rejected: dict[str, str]

    @property
    def seen(self) -> set[str]:
        """The names of all files that were looked at."""
        return {*self.parts, *self.rejected}

    @property
    def damaged(self) -> dict[str, str]:
        """The rejected files as messages show them: the reason by the printable path."""
        return {f"parts/{printable(name)}": self.rejected[name] for name in sorted(self.rejected)}


class Selection(NamedTuple):
    """What is read of each part: everything by default.

    Attributes
    ----------
    columns:
        Columns to read and to check; all if None.
    kept:
        Those of them to keep; all if None.
    transform:
        A function that is applied to the table of each part.
    """

    columns: Collection[str] | None = None
    kept: Collection[str] | None = None
    transform: Callable[[pa.Table], pa.Table] | None = None


def read_parts(
    folder: Folder, format: PartFormat, selection: Selection, skip: Collection[str] = (), max_parts: int | None = None
) -> Reading:
    """Read the parts of a folder.

    Parameters
    ----------
    folder:
        The folder of the parts.
    format:
        The format of the sweep's parts.
    selection:
        What is read of each part.
    skip:
        Names of files that are not read.
    max_parts:
        The largest number of files to read each time the folder is listed; all if None.

    Raises
    ------
    StoreError
        The folder itself cannot be read.
    """
    outcomes = _read_files(folder, format, selection, skip, max_parts)
    parts = {name: table for name, table in outcomes.items() if isinstance(table, pa.Table)}
    rejected = {name: reason for name, reason in outcomes.items() if isinstance(reason, str)}
    rows = concatenated(parts.values())
    if implausible(rows):  # all parts together: checking each of them takes long
        rejected |= {name: reason for name, table in parts.items() if (reason := implausible(table))}
        rows = concatenated(table for name, table in parts.items() if name not in rejected)
    return Reading(rows, [name for name in parts if name not in rejected], rejected)


def _read_files(
    folder: Folder, format: PartFormat, selection: Selection, skip: Collection[str], max_parts: int | None
) -> dict[str, pa.Table | str]:
    """Return the result of `read_part` for each file; list the folder again if files are gone since it was listed."""
    threads = _THREADS_OF_A_DISK if isinstance(folder, DiskFolder) else _THREADS
    outcomes = dict[str, pa.Table | str]()

    def read(files: Sequence[tuple[str, str]]) -> list[pa.Table | str | None]:
        return [read_part(folder, format, selection, *file) for file in files]

    for _ in range(MAX_ATTEMPTS):
        new = (file for file in folder.kinds().items() if file[0] not in outcomes and file[0] not in skip)
        files = sorted(file for file in new if not LEFTOVER_NAME.fullmatch(file[0]))[:max_parts]
        size = min(_MAX_PARTS_PER_TASK, -(-len(files) // threads) or 1)
        with ThreadPoolExecutor(threads) as pool:
            read_now = [*chain(*pool.map(read, [files[i : i + size] for i in range(0, len(files), size)]))]
        outcomes |= {name: table for (name, _), table in zip(files, read_now, strict=True) if table is not None}
        if all(table is not None for table in read_now):
            return outcomes
    raise changing_folder_error(folder)


def changing_folder_error(folder: Folder) -> StoreError:
    """Return the error for a folder whose files are gone, again and again, when they are read after being listed."""
    return store_error(folder.filesystem, f"{folder.path!r} cannot be read: its files come and go")


def read_part(
    folder: Folder, format: PartFormat, selection: Selection, name: str, kind: str = "file"
) -> pa.Table | str | None:
    """Return a part's table, or the reason why it is rejected; None if the file is gone.

    Parameters
    ----------
    folder, format, selection:
        As for `read_parts`.
    name, kind:
        An item of `Folder.kinds`.

    Raises
    ------
    StoreError
        The folder itself cannot be read.
    """
    if kind != "file":
        return kind
    if not (name.endswith(".parquet") and name.isprintable()):
        return "its name is not that of a part"
    try:
        table = format.decode(name, folder.read(name, check_bytes), selection.columns, selection.kept)
        if selection.transform is None:
            return table
        # Checked before rows are dropped: whether a part is rejected does not depend on what is wanted of it.
        return implausible(table) or selection.transform(table)
    except FileNotFoundError:
        return None
    except StoreError:
        raise
    except Exception as error:  # Arrow's parsers raise a dozen kinds on damaged bytes
        return one_line(error)
