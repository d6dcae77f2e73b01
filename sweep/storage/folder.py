"""A folder of files on a disk or in a bucket."""

import os
import re
import uuid
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from sweep.storage.files import read_with_retries, store_error, write_whole
from sweep.text import one_line


class Folder:
    """A folder on any filesystem that Arrow knows, such as a bucket.

    On an object storage, a folder that does not exist cannot be told from an empty one, and nothing can be renamed.
    """

    def __init__(self, filesystem: fs.FileSystem, path: str) -> None:
        self.filesystem, self.path = filesystem, path

    def create(self) -> None:
        """Make the folder, if it does not exist.

        Raises
        ------
        StoreError
            The folder cannot be made.
        """
        try:
            self.filesystem.create_dir(self.path, recursive=True)
        except (OSError, pa.ArrowException) as error:
            raise store_error(self.filesystem, f"{self.path!r} cannot be written: {one_line(error)}") from error

    def check(self) -> None:
        """Refuse a folder that does not exist, or cannot be read or written.

        Raises
        ------
        StoreError
            The message says which of these it is.
        """
        self.kinds()
        try:
            test_file = f"{self.path}/.writable-{uuid.uuid4().hex}"
            with self.filesystem.open_output_stream(test_file) as out:
                out.write(b"")
            self.filesystem.delete_file(test_file)
        except (OSError, pa.ArrowException) as error:
            raise store_error(self.filesystem, f"{self.path!r} cannot be written: {one_line(error)}") from error

    def kinds(self) -> dict[str, str]:
        """Return the kind of each entry by its name: ``file``, or words that say what it is instead.

        Raises
        ------
        StoreError
            There is no such folder, or it cannot be read.
        """
        try:
            return read_with_retries(self._entries, self.filesystem, self.path)
        except FileNotFoundError:
            raise store_error(self.filesystem, f"{self.path!r} cannot be read: no such folder") from None

    def names(self) -> list[str]:
        """Return the names of the entries; an empty list if there is no such folder."""
        try:
            return [*read_with_retries(self._entries, self.filesystem, self.path)]
        except FileNotFoundError:
            return []

    def _entries(self) -> dict[str, str]:
        infos = self.filesystem.get_file_info(fs.FileSelector(self.path, allow_not_found=True))
        return {i.base_name: _kind(i.is_file, i.type == fs.FileType.Directory) for i in infos if i.base_name}

    def read(self, name: str, check_size: Callable[[int], None]) -> pa.Buffer:
        """Return the content of a file.

        Parameters
        ----------
        name:
            The file's name in the folder.
        check_size:
            A function that is called with the file's size in bytes before it is read, and raises to refuse it.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        StoreError
            The file cannot be read.
        """
        path = f"{self.path}/{name}"

        def read_file() -> pa.Buffer:
            # The whole file at once: a parser that reads piece by piece raises the same errors for a storage that
            # fails and for a damaged file.
            with self.filesystem.open_input_file(path) as file:
                check_size(file.size())
                return file.read_buffer()

        return read_with_retries(read_file, self.filesystem, path)

    def write(self, name: str, data: bytes | pa.Buffer) -> None:
        """Write a file, whole or not at all.

        Raises
        ------
        StoreError
            The file cannot be written.
        """
        write_whole(self.filesystem, f"{self.path}/{name}", data)

    def remove(self, name: str) -> None:
        """Remove a file."""
        self.filesystem.delete_file(f"{self.path}/{name}")

    def move(self, name: str, target: "Folder") -> None:
        """Move a file or a folder to another folder, which is made if necessary.

        A symbolic link is moved itself. If the other folder has an entry of that name, the one that is moved gets
        another name.
        """
        source, free_name = f"{self.path}/{name}", f"{uuid.uuid4().hex[:8]}-" * (name in target.names()) + name
        self.filesystem.create_dir(target.path, recursive=True)
        self._rename(source, f"{target.path}/{free_name}")

    def _rename(self, source: str, target: str) -> None:
        if self.filesystem.get_file_info(source).is_file:
            self.filesystem.move(source, target)
            return
        for info in self.filesystem.get_file_info(fs.FileSelector(source, recursive=True)):
            if info.is_file:
                self.filesystem.move(info.path, target + info.path[len(source) :])
        self.filesystem.delete_dir(source)


class DiskFolder(Folder):
    """A folder on a disk.

    It is listed by the operating system: Arrow fails at names that are not valid text, and leaves out broken links.
    """

    def _entries(self) -> dict[str, str]:
        with os.scandir(self.path) as entries:
            return {e.name: _kind(_false_on_error(e.is_file), _false_on_error(e.is_dir)) for e in entries}

    def sizes(self, pattern: re.Pattern[str]) -> dict[str, int]:
        """Return the size in bytes of each file whose name matches; symbolic links do not count."""
        with os.scandir(self.path) as entries:
            files = [e for e in entries if pattern.fullmatch(e.name) and e.is_file(follow_symlinks=False)]
            return {entry.name: entry.stat().st_size for entry in files}

    def remove(self, name: str) -> None:
        """Remove a file, if it exists."""
        Path(self.path, name).unlink(missing_ok=True)

    def _rename(self, source: str, target: str) -> None:
        os.rename(source, target)


def folder_at(filesystem: fs.FileSystem, path: str) -> Folder:
    """Return the folder at a path of a filesystem."""
    return (DiskFolder if isinstance(filesystem, fs.LocalFileSystem) else Folder)(filesystem, path)


def _kind(is_file: bool, is_folder: bool) -> str:
    return "file" if is_file else "it is a folder" if is_folder else "it is not a regular file"


def _false_on_error(test: Callable[[], bool]) -> bool:
    """Return the result of a test of a directory entry, or False where it fails, as for a link to itself."""
    try:
        return test()
    except OSError:
        return False
