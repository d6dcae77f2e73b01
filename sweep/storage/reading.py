"""Reading the parts of a store: many at once, each checked, and told what was wrong with which file."""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import NamedTuple

import pyarrow as pa

from sweep.errors import StoreError
from sweep.storage.folder import DiskFolder, Folder
from sweep.storage.parts import LEFTOVERS, PartFormat, check_bytes, concatenated, implausible
from sweep.text import one_line, printable

TRIES = 3  # where the folder was away for a moment, or parts were put together
_THREADS = 16  # most of the time is waiting
_THREADS_OF_A_DISK = 2
_PARTS_A_TASK = 64  # at most: handing a part over to a thread takes as long as reading one


class Reading(NamedTuple):
    """What was read of a store."""

    rows: pa.Table
    parts: list[str]  # that the rows are from
    wrong: dict[str, str]  # what is no part of the sweep or cannot be read, by the names as they are, and why

    @property
    def seen(self) -> set[str]:
        """Names of all files that were looked at."""
        return {*self.parts, *self.wrong}

    @property
    def damaged(self) -> dict[str, str]:
        """What is no part of the sweep or cannot be read, by names that can be printed, and why."""
        return {f"parts/{printable(name)}": self.wrong[name] for name in sorted(self.wrong)}


class Wanted(NamedTuple):
    """What is wanted of each part: all, unless it says otherwise."""

    columns: Collection[str] | None = None  # that are read and checked
    kept: Collection[str] | None = None  # of these, those that are kept
    each: Callable[[pa.Table], pa.Table] | None = None  # what becomes of a part's table


def read_parts(
    folder: Folder, format: PartFormat, wanted: Wanted, skip: Collection[str] = (), most: int | None = None
) -> Reading:
    """Read the parts in a folder that are not to be skipped, so many at most.

    Raises
    ------
    StoreError
        The folder itself cannot be read.
    """
    found = _tables(folder, format, wanted, skip, most)
    parts = {name: table for name, table in found.items() if isinstance(table, pa.Table)}
    wrong = {name: reason for name, reason in found.items() if isinstance(reason, str)}
    rows = concatenated(parts.values())
    if implausible(rows):  # looked at together: one by one takes long
        wrong |= {name: reason for name, table in parts.items() if (reason := implausible(table))}
        rows = concatenated(table for name, table in parts.items() if name not in wrong)
    return Reading(rows, [name for name in parts if name not in wrong], wrong)


def _tables(
    folder: Folder, format: PartFormat, wanted: Wanted, skip: Collection[str], most: int | None
) -> dict[str, pa.Table | str]:
    """Return what `read_part` says of each file; parts that are put together meanwhile are looked for once more."""
    threads = _THREADS_OF_A_DISK if isinstance(folder, DiskFolder) else _THREADS
    tables = dict[str, pa.Table | str]()

    def read(files: Sequence[tuple[str, str]]) -> list[pa.Table | str | None]:
        return [read_part(folder, format, wanted, *file) for file in files]

    for _ in range(TRIES):
        new = (file for file in folder.kinds().items() if file[0] not in tables and file[0] not in skip)
        files = sorted(file for file in new if not LEFTOVERS.fullmatch(file[0]))[:most]
        size = min(_PARTS_A_TASK, -(-len(files) // threads) or 1)
        with ThreadPoolExecutor(threads) as pool:
            found = [*chain(*pool.map(read, [files[i : i + size] for i in range(0, len(files), size)]))]
        tables |= {name: table for (name, _), table in zip(files, found, strict=True) if table is not None}
        if all(table is not None for table in found):
            return tables
    raise come_and_go(folder)


def come_and_go(folder: Folder) -> StoreError:
    """Return the error of a folder whose files cannot be read since they are listed and then gone, again and again."""
    return StoreError(f"{folder.path!r} cannot be read: its files come and go")


def read_part(
    folder: Folder, format: PartFormat, wanted: Wanted, name: str, kind: str = "file"
) -> pa.Table | str | None:
    """Return a part's table, or what is wrong with it; None if it is gone since it was listed.

    Raises
    ------
    StoreError
        The folder itself cannot be read.
    """
    if kind != "file":
        return kind
    if not (name.endswith(".parquet") and name.isprintable()):
        return "no part of a sweep"
    try:
        table = format.decode(name, folder.read(name, check_bytes), wanted.columns, wanted.kept)
        if wanted.each is None:
            return table
        return implausible(table) or wanted.each(table)  # as a whole: a part is right or wrong whatever is asked for
    except FileNotFoundError:
        return None
    except StoreError:
        raise
    except Exception as error:  # Arrow's parsers raise a dozen kinds on damaged bytes
        return one_line(error)
