"""One folder of files, on a disk or in a bucket."""

import os
import re
import uuid
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from sweep.errors import StoreError
from sweep.storage.files import patiently, write_whole
from sweep.text import one_line


class Folder:
    """A folder on any filesystem that Arrow knows, such as a bucket.

    In an object storage a folder that does not exist and an empty one are the same, and nothing can be renamed.
    """

    def __init__(self, where: fs.FileSystem, path: str) -> None:
        self.filesystem, self.path = where, path

    def create(self) -> None:
        """Make the folder.

        Raises
        ------
        StoreError
            It cannot be made.
        """
        try:
            self.filesystem.create_dir(self.path, recursive=True)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{self.path!r} cannot be written: {one_line(error)}") from error

    def check(self) -> None:
        """Refuse a folder that does not exist, or cannot be written to.

        Raises
        ------
        StoreError
            It says which.
        """
        self.kinds()
        try:
            probe = f"{self.path}/.writable-{uuid.uuid4().hex}"
            with self.filesystem.open_output_stream(probe) as out:
                out.write(b"")
            self.filesystem.delete_file(probe)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{self.path!r} cannot be written: {one_line(error)}") from error

    def kinds(self) -> dict[str, str]:
        """Return the names in the folder, and of each whether it is a ``file`` or what it is instead.

        Raises
        ------
        StoreError
            There is no such folder, or it cannot be read.
        """
        try:
            return patiently(self._entries, self.path)
        except FileNotFoundError:
            raise StoreError(f"{self.path!r} cannot be read: no such folder") from None

    def names(self) -> list[str]:
        """Return the names in the folder; none where there is no such folder."""
        try:
            return [*patiently(self._entries, self.path)]
        except FileNotFoundError:
            return []

    def _entries(self) -> dict[str, str]:
        listed = self.filesystem.get_file_info(fs.FileSelector(self.path, allow_not_found=True))
        return {i.base_name: _kind(i.is_file, i.type == fs.FileType.Directory) for i in listed if i.base_name}

    def read(self, name: str, check_size: Callable[[int], None]) -> pa.Buffer:
        """Return the content of a file, whose size in bytes ``check_size`` may refuse.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        StoreError
            It cannot be read.
        """
        path = f"{self.path}/{name}"

        def get() -> pa.Buffer:
            # All at once: a storage that fails and a file that is damaged give the same errors when they meet.
            with self.filesystem.open_input_file(path) as file:
                check_size(file.size())
                return file.read_buffer()

        return patiently(get, path)

    def write(self, name: str, data: bytes | pa.Buffer) -> None:
        """Write a file, whole or not at all.

        Raises
        ------
        StoreError
            It cannot be written.
        """
        write_whole(self.filesystem, f"{self.path}/{name}", data)

    def remove(self, name: str) -> None:
        """Remove a file."""
        self.filesystem.delete_file(f"{self.path}/{name}")

    def move(self, name: str, target: "Folder") -> None:
        """Move a file or a folder to another folder, which is made; links are moved, not followed.

        What stands there by that name is kept: the newcomer gets another one.
        """
        source, free = f"{self.path}/{name}", f"{uuid.uuid4().hex[:8]}-" * (name in target.names()) + name
        self.filesystem.create_dir(target.path, recursive=True)
        self._rename(source, f"{target.path}/{free}")

    def _rename(self, source: str, target: str) -> None:
        if self.filesystem.get_file_info(source).is_file:
            self.filesystem.move(source, target)
            return
        for info in self.filesystem.get_file_info(fs.FileSelector(source, recursive=True)):
            if info.is_file:
                self.filesystem.move(info.path, target + info.path[len(source) :])
        self.filesystem.delete_dir(source)


class DiskFolder(Folder):
    """A folder on a disk: Arrow fails at names that are no text, and keeps silent about links to nothing."""

    def _entries(self) -> dict[str, str]:
        with os.scandir(self.path) as entries:
            return {e.name: _kind(_quietly(e.is_file), _quietly(e.is_dir)) for e in entries}

    def sizes(self, names: re.Pattern[str]) -> dict[str, int]:
        """Return the bytes of each file whose name matches; links are no files."""
        with os.scandir(self.path) as entries:
            files = [e for e in entries if names.fullmatch(e.name) and e.is_file(follow_symlinks=False)]
            return {entry.name: entry.stat().st_size for entry in files}

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        Path(self.path, name).unlink(missing_ok=True)

    def _rename(self, source: str, target: str) -> None:
        os.rename(source, target)


def folder_at(where: fs.FileSystem, path: str) -> Folder:
    """Return the folder at a path of a filesystem."""
    return (DiskFolder if isinstance(where, fs.LocalFileSystem) else Folder)(where, path)


def _kind(is_file: bool, is_folder: bool) -> str:
    return "file" if is_file else "a folder" if is_folder else "no file"


def _quietly(ask: Callable[[], bool]) -> bool:
    """Return what `os.path.isfile` says of a link to itself, too."""
    try:
        return ask()
    except OSError:
        return False
