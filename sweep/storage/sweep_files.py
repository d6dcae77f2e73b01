"""The files of a sweep: in a directory, or at a URI with a working folder on this machine."""

import contextlib
import hashlib
import json
import math
import os
import platform
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from sweep.errors import SpecError, StoreError
from sweep.spec.kinds import expanded
from sweep.spec.parts import Storage
from sweep.spec.secrets import holds_secret
from sweep.spec.spec import SweepSpec
from sweep.storage.files import filesystem_at, read_with_retries, write_whole
from sweep.text import one_line, printable
from sweep.version import installed_versions

SPEC_FILE = "spec.json"
VERSIONS_FILE = "versions.json"
_PACKAGES = (
    *("trainability-sweep", "ray", "optuna", "torch", "torchvision"),
    *("numpy", "pandas", "scikit-learn", "pyarrow"),
)


class SweepFiles:
    """The files of a sweep, in a directory or at a URI.

    Two of them are equal if they are the same path on the same filesystem.

    Parameters
    ----------
    directory:
        Where the sweep is: a path or a URI.

    Attributes
    ----------
    uri:
        The URI; empty for a directory on this machine.
    location:
        What messages call the sweep: the path or the URI that the user gave; for a ``file://`` URI its path.

    Raises
    ------
    SpecError
        The URI is malformed or holds a secret, its filesystem is unknown, or the path is in the home of a user who does
        not exist.
    RemoteStoreError
        The filesystem does not answer.
    """

    def __init__(self, directory: str | Path) -> None:
        if holds_secret(str(directory)):
            raise SpecError("the URI of a sweep must hold no key or password: they belong in the environment")
        directory = expanded(directory)
        self._fs, self._root = filesystem_at(directory)
        is_local = isinstance(self._fs, fs.LocalFileSystem)
        self.uri = "" if is_local else directory
        self.location = self.uri or (self._root if "://" in directory else str(Path(directory)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SweepFiles) and (self._fs, self._root) == (other._fs, other._root)

    __hash__ = None  # type: ignore[assignment]

    @cached_property
    def local(self) -> Path:
        """The working folder, for files that need a disk, such as the study and the pictures.

        For a directory it is the directory itself. For a URI it is a folder in the user's cache, which is made when it
        is first asked for, and which no other user can read.

        Raises
        ------
        SpecError
            The folder cannot be made.
        """
        if not self.uri:
            return Path(self.location)
        cache_home = os.environ.get("XDG_CACHE_HOME", "")
        try:
            cache = Path(cache_home) if os.path.isabs(cache_home) else Path.home() / ".cache"
            base = cache / "trainability-sweep"
            folder = base / hashlib.blake2b(self.uri.rstrip("/").encode(), digest_size=8).hexdigest()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in (base, folder):
                path.chmod(0o700)  # fails for a folder of another user
        except (OSError, RuntimeError) as error:
            raise SpecError(f"the working folder of {self.uri!r} cannot be made: {one_line(error)}") from None
        return folder

    def read(self, name: str, max_bytes: float = math.inf) -> bytes | None:
        """Return the content of a file of the sweep; None if there is no such file.

        Parameters
        ----------
        name:
            The file's name in the directory.
        max_bytes:
            A larger file is refused.

        Raises
        ------
        StoreError
            The file cannot be read, is larger, or is not a regular file.
        """
        path = f"{self._root}/{name}"

        def read_file() -> bytes | None:
            info = self._fs.get_file_info(path)
            if info.type == fs.FileType.NotFound:
                return None
            if not info.is_file:  # reading a pipe would wait for ever
                raise StoreError(f"{path!r} cannot be read: it is not a file")
            if info.size > max_bytes:
                raise StoreError(f"{path!r} cannot be read: it has more than {max_bytes:g} bytes")
            with self._fs.open_input_file(path) as file:
                return bytes(file.readall())

        try:
            return read_with_retries(read_file, self._fs, path)
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Write a file of the sweep, whole or not at all.

        Raises
        ------
        StoreError
            The file cannot be written.
        """
        write_whole(self._fs, f"{self._root}/{name}", data)

    def remove(self, *names: str) -> None:
        """Remove files of the sweep, as far as they exist and can be removed."""
        for name in names:
            with contextlib.suppress(OSError, pa.ArrowException):
                self._fs.delete_file(f"{self._root}/{name}")

    def spec_copies(self, spec: Storage) -> "list[SweepFiles]":
        """Return the files that hold a copy of the spec: these, and those of the storage if it is elsewhere."""
        return [self] if self.uri or not spec.storage else [self, SweepFiles(spec.storage)]

    def publish(self, path: Path) -> None:
        """Copy a file from the working folder to the URI; do nothing for a directory, or for a file elsewhere.

        Raises
        ------
        StoreError
            The copy cannot be written.
        """
        if self.uri and path.parent == self.local:
            self.write(path.name, path.read_bytes())

    def read_spec(self) -> SweepSpec:
        """Return the sweep's spec.

        Raises
        ------
        SpecError
            There is no spec, or a damaged one.
        StoreError
            The file cannot be read.
        """
        data = self.read(SPEC_FILE)
        if data is None:
            raise SpecError(f"{self.location!r} is no sweep: it holds no {SPEC_FILE}")
        spec = SweepSpec.from_json(data, f"{self.location.partition('?')[0].rstrip('/')}/{SPEC_FILE}")
        return replace(spec, storage=self.uri) if self.uri else spec  # even if the file names another storage

    def write_spec(self, spec: SweepSpec) -> None:
        """Write the sweep's spec.

        The copy in the storage itself does not name the storage, so that it stays right if the storage is moved.

        Raises
        ------
        StoreError
            The file cannot be written.
        """
        is_storage = spec.storage is not None and SweepFiles(spec.storage) == self
        self.write(SPEC_FILE, (replace(spec, storage=None) if is_storage else spec).as_json().encode())

    def versions(self) -> dict[str, Any] | None:
        """Return the versions of Python and of the packages that the sweep began with; None if they are not known.

        Raises
        ------
        StoreError
            The file cannot be read.
        """
        try:
            versions = json.loads(self.read(VERSIONS_FILE) or b"null")
        except ValueError:
            return None
        return versions if isinstance(versions, dict) else None

    def write_versions(self) -> None:
        """Write the versions of Python and of the packages that are installed here.

        Raises
        ------
        StoreError
            The file cannot be written.
        """
        versions = {"python": platform.python_version(), **installed_versions(*_PACKAGES)}
        self.write(VERSIONS_FILE, (json.dumps(versions, indent=1) + "\n").encode())

    def check(self) -> None:
        """Refuse a directory with entries through which files elsewhere could be written.

        Raises
        ------
        SpecError
            An entry is a link that leads out of the directory, or is neither a file nor a folder.
        """
        if self.uri:
            return
        folder = self.local.resolve()
        try:
            for entry in folder.iterdir():
                real = entry.resolve()
                if not real.is_relative_to(folder) or (real.exists() and not (real.is_file() or real.is_dir())):
                    entry_text = f"{printable(entry.name)!r} in {self.location!r}"
                    raise SpecError(f"{entry_text} must be a file or folder of its own")
        except (OSError, RuntimeError) as error:  # a loop of links
            raise SpecError(f"{self.location!r} cannot be read: {one_line(error)}") from None

    def check_storage(self, spec: SweepSpec) -> None:
        """Refuse a storage whose own spec is not that of this sweep.

        Raises
        ------
        SpecError
            The storage holds no spec, or the spec of another sweep, or its path is relative.
        StoreError
            The storage does not exist, or cannot be read.
        """
        if self.uri or spec.storage is None:
            return
        storage = SweepFiles(spec.storage)
        if not storage.uri and not Path(spec.storage).is_absolute():
            raise SpecError(f"`storage` must be a URI or an absolute path, got {spec.storage!r}")
        if not storage.uri and not Path(spec.storage).exists():
            raise StoreError(f"{spec.storage!r} cannot be read: no such folder")
        data = storage.read(SPEC_FILE)
        stored = SweepSpec.from_json(data, f"{storage.location}/{SPEC_FILE}") if data is not None else None
        if stored is None or stored.identity != spec.identity:
            contents = f"no {SPEC_FILE}" if stored is None else f"the {SPEC_FILE} of another sweep"
            raise SpecError(f"`storage` {spec.storage!r} must hold the {SPEC_FILE} of this sweep, but holds {contents}")
        storage.check()
