"""Few large parts are made of many small ones, which take a hundred times as long to read."""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence

import pyarrow as pa

from sweep.errors import StoreError
from sweep.storage.folder import DiskFolder, Folder
from sweep.storage.parts import PART_NAME, PartFormat, concatenated, each_point_once, implausible
from sweep.storage.reading import Wanted, read_part
from sweep.text import one_line

_MANY, _SMALL, _LARGE = 64, 2**21, 2**22  # parts that are put together, their bytes, those of what becomes of them
_UNPACKED = 2**26  # bytes of a small part in memory


def put_together(folder: Folder, format: PartFormat, begin: Callable[[], None] = lambda: None) -> None:
    """Make few large parts of many small ones.

    ``begin`` is called where there are so many. A small part is removed when what it holds was read back from a
    large one. On a disk only: an object storage can neither write beside and rename, nor tell a write that failed
    from one that came through.

    Raises
    ------
    StoreError
        The disk cannot be used; nothing is lost.
    """
    if not isinstance(folder, DiskFolder):
        return
    try:
        small = {name: size for name, size in folder.sizes(PART_NAME).items() if size < _SMALL}
        if len(small) < _MANY:
            return
        begin()
        old, new = set[str](), set[str]()
        for group in _groups(small):
            good = _good_ones(folder, format, group)
            if len(good) > 1 and (made := _write_checked(folder, format, good)):
                old.update(good)
                new.add(made)
        # Not before all are there: who reads meanwhile looks once more for what is gone.
        for name in sorted(old - new):
            folder.remove(name)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{folder.path!r} cannot be put in order: {one_line(error)}") from error


def _groups(sizes: dict[str, int]) -> Collection[list[str]]:
    """Return the names of files in groups, each of about the bytes of a large part."""
    groups, before = defaultdict[int, list[str]](list), 0
    for name in sorted(sizes):
        groups[before // _LARGE].append(name)
        before += sizes[name]
    return groups.values()


def _good_ones(folder: Folder, format: PartFormat, names: Sequence[str]) -> dict[str, pa.Table]:
    """Return those parts that hold what a pack does, and nothing that this version does not know."""
    from sweep.spec.columns import KINDS

    good = {}
    for name in names:
        table = read_part(folder, format, Wanted(), name)
        if isinstance(table, pa.Table) and not implausible(table) and table.nbytes < _UNPACKED:
            if set(table.column_names) <= KINDS.keys():
                good[name] = table
    return good


def _write_checked(folder: Folder, format: PartFormat, parts: dict[str, pa.Table]) -> str | None:
    """Write a part that is made of others; return its name, if it reads as it should."""
    table = each_point_once(concatenated(parts.values()))
    name = format.write(folder, table)
    back = read_part(folder, format, Wanted(), name)
    if isinstance(back, pa.Table) and back.num_rows == table.num_rows:  # and its checksum is right
        return name
    if name not in parts:
        folder.remove(name)
    return None
