"""Merging many small parts into few large ones, which are read a hundred times faster."""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence

import pyarrow as pa

from sweep.storage.files import store_error
from sweep.storage.folder import DiskFolder, Folder
from sweep.storage.parts import PART_NAME, PartFormat, concatenated, each_point_once, implausible
from sweep.storage.reading import Selection, read_part
from sweep.text import one_line

# The fewest small parts that are merged, the bytes that a small part stays below, and the bytes of a large one, about.
_MIN_SMALL_PARTS, _SMALL_PART_BYTES, _LARGE_PART_BYTES = 64, 2**21, 2**22
_MAX_UNPACKED_BYTES = 2**26  # of a small part in memory


def compact(folder: Folder, format: PartFormat, begin: Callable[[], None] = lambda: None) -> None:
    """Merge the small parts of a folder into few large ones, if there are many of them.

    A small part is removed once what it holds was read back from a large one. This is done on a disk only: on an object
    storage no file can be written under another name and renamed, and a write that failed cannot be told from one that
    succeeded.

    Parameters
    ----------
    folder:
        The folder of the parts.
    format:
        The format of the sweep's parts.
    begin:
        A function that is called before merging begins; not called if there is nothing to merge.

    Raises
    ------
    StoreError
        The disk cannot be used; nothing is lost.
    """
    if not isinstance(folder, DiskFolder):
        return
    try:
        small = {name: size for name, size in folder.sizes(PART_NAME).items() if size < _SMALL_PART_BYTES}
        if len(small) < _MIN_SMALL_PARTS:
            return
        begin()
        old, new = set[str](), set[str]()
        for group in _groups(small):
            good = _good_parts(folder, format, group)
            if len(good) > 1 and (merged := _write_checked(folder, format, good)):
                old.update(good)
                new.add(merged)
        # Only when all large parts are written: somebody who is reading lists the folder again if a part is gone.
        for name in sorted(old - new):
            folder.remove(name)
    except (OSError, pa.ArrowException) as error:
        text = f"the small files in {folder.path!r} cannot be merged: {one_line(error)}"
        raise store_error(folder.filesystem, text) from error


def _groups(sizes: dict[str, int]) -> Collection[list[str]]:
    """Return the names of files in groups, each with about the bytes of a large part."""
    groups, bytes_before = defaultdict[int, list[str]](list), 0
    for name in sorted(sizes):
        groups[bytes_before // _LARGE_PART_BYTES].append(name)
        bytes_before += sizes[name]
    return groups.values()


def _good_parts(folder: Folder, format: PartFormat, names: Sequence[str]) -> dict[str, pa.Table]:
    """Return the tables of those parts that are undamaged and have only columns that this version knows, by name."""
    good = {}
    for name in names:
        table = read_part(folder, format, Selection(), name)
        if isinstance(table, pa.Table) and not implausible(table) and table.nbytes < _MAX_UNPACKED_BYTES:
            if set(table.column_names) <= format.known:
                good[name] = table
    return good


def _write_checked(folder: Folder, format: PartFormat, parts: dict[str, pa.Table]) -> str | None:
    """Write a part with the rows of others and read it back; return its name, or None if that fails."""
    table = each_point_once(concatenated(parts.values()), format.keys)
    name = format.write(folder, table)
    read_back = read_part(folder, format, Selection(), name)
    if isinstance(read_back, pa.Table) and read_back.num_rows == table.num_rows:  # and its checksum is right
        return name
    if name not in parts:
        folder.remove(name)
    return None
