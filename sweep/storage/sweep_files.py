"""Where a sweep lives: a directory, or a URI with a working folder on this machine for its study and its pictures."""

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
from sweep.spec.parts import Storage
from sweep.spec.secrets import holds_secret
from sweep.spec.spec import SweepSpec
from sweep.storage.files import filesystem, patiently, write_whole
from sweep.text import one_line, printable
from sweep.version import installed_versions

SPEC_FILE = "spec.json"
VERSIONS_FILE = "versions.json"
_PACKAGES = (
    *("trainability-sweep", "ray", "optuna", "torch", "torchvision"),
    *("numpy", "pandas", "scikit-learn", "pyarrow"),
)


class SweepFiles:
    """A directory (``uri`` is empty, ``local`` the directory) or a URI (``local`` is a folder of the user's cache).

    Raises
    ------
    SpecError
        A URI that holds a secret.
    StoreError
        A URI that is malformed, or whose filesystem is unknown.
    """

    def __init__(self, directory: str | Path) -> None:
        if holds_secret(str(directory)):
            raise SpecError("the URI of a sweep must hold no key or password: they belong in the environment")
        self._fs, self._root = filesystem(directory)
        is_local = isinstance(self._fs, fs.LocalFileSystem)
        self.uri = "" if is_local else str(directory)
        self.location = self.uri or (
            self._root if "://" in str(directory) else str(Path(directory))
        )  # as the user calls it

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SweepFiles) and (self._fs, self._root) == (other._fs, other._root)

    __hash__ = None  # type: ignore[assignment]

    @cached_property
    def local(self) -> Path:
        """The folder for what needs a disk; that of a URI is made, for this user alone.

        Raises
        ------
        SpecError
            It cannot be made.
        """
        if not self.uri:
            return Path(self.location)
        given = os.environ.get("XDG_CACHE_HOME", "")
        try:
            cache = Path(given) if os.path.isabs(given) else Path.home() / ".cache"
            base = cache / "trainability-sweep"
            folder = base / hashlib.blake2b(self.uri.rstrip("/").encode(), digest_size=8).hexdigest()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for made in (base, folder):
                made.chmod(0o700)  # fails if it is somebody else's
        except (OSError, RuntimeError) as error:
            raise SpecError(f"the working folder of {self.uri!r} cannot be made: {one_line(error)}") from None
        return folder

    def read(self, name: str, most: float = math.inf) -> bytes | None:
        """A file of the sweep, of so many bytes at most; None if there is none.

        Raises
        ------
        StoreError
            It cannot be read.
        """
        path = f"{self._root}/{name}"

        def get() -> bytes | None:
            found = self._fs.get_file_info(path)
            if found.type == fs.FileType.NotFound:
                return None
            if not found.is_file:  # a pipe would be waited for
                raise StoreError(f"{path!r} cannot be read: it is no file")
            if found.size > most:
                raise StoreError(f"{path!r} cannot be read: it has more than {most:g} bytes")
            with self._fs.open_input_file(path) as file:
                return bytes(file.readall())

        try:
            return patiently(get, path)
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Write a file of the sweep, whole or not at all.

        Raises
        ------
        StoreError
            It cannot be written.
        """
        write_whole(self._fs, f"{self._root}/{name}", data)

    def remove(self, *names: str) -> None:
        """Remove those of the files that are there."""
        for name in names:
            with contextlib.suppress(OSError, pa.ArrowException):
                self._fs.delete_file(f"{self._root}/{name}")

    def spec_copies(self, spec: Storage) -> "list[SweepFiles]":
        """Where its spec stands: a storage has its own, for those who have only that."""
        return [self] if self.uri or not spec.storage else [self, SweepFiles(spec.storage)]

    def publish(self, path: Path) -> None:
        """Copy a file of the working folder to the URI; that of a directory is there already.

        Raises
        ------
        StoreError
            It cannot be written.
        """
        if self.uri and path.parent == self.local:
            self.write(path.name, path.read_bytes())

    def read_spec(self) -> SweepSpec:
        """The sweep's spec.

        Raises
        ------
        SpecError
            There is none, or a damaged one.
        StoreError
            It cannot be read.
        """
        data = self.read(SPEC_FILE)
        if data is None:
            raise SpecError(f"{self.location!r} is no sweep: it holds no {SPEC_FILE}")
        spec = SweepSpec.from_json(data, f"{self.location.partition('?')[0].rstrip('/')}/{SPEC_FILE}")
        return replace(spec, storage=self.uri) if self.uri else spec  # whatever it says

    def write_spec(self, spec: SweepSpec) -> None:
        """Write it; a spec at its storage does not name the storage, which may be moved."""
        here = spec.storage is not None and SweepFiles(spec.storage) == self
        self.write(SPEC_FILE, (replace(spec, storage=None) if here else spec).as_json().encode())

    def versions(self) -> dict[str, Any] | None:
        """Return the versions of Python and of the packages that the sweep began with; None where that is not known.

        Raises
        ------
        StoreError
            They cannot be read.
        """
        try:
            versions = json.loads(self.read(VERSIONS_FILE) or b"null")
        except ValueError:
            return None
        return versions if isinstance(versions, dict) else None

    def write_versions(self) -> None:
        """Write the versions of Python and of the packages that are installed here."""
        versions = {"python": platform.python_version(), **installed_versions(*_PACKAGES)}
        self.write(VERSIONS_FILE, (json.dumps(versions, indent=1) + "\n").encode())

    def check(self) -> None:
        """Refuse a directory in which a file that will be written stands for one elsewhere.

        Raises
        ------
        SpecError
            A link that leads out of it, or what is neither a file nor a folder.
        """
        if self.uri:
            return
        folder = self.local.resolve()
        try:
            for entry in folder.iterdir():
                real = entry.resolve()
                if not real.is_relative_to(folder) or (real.exists() and not (real.is_file() or real.is_dir())):
                    named = f"{printable(entry.name)!r} in {self.location!r}"
                    raise SpecError(f"{named} must be a file or folder of its own")
        except (OSError, RuntimeError) as error:  # a loop of links
            raise SpecError(f"{self.location!r} cannot be read: {one_line(error)}") from None

    def check_storage(self, spec: SweepSpec) -> None:
        """Refuse a storage that does not say itself that it holds the results of this sweep.

        Raises
        ------
        SpecError
            It holds no spec, or that of another sweep.
        StoreError
            It is not there, or cannot be read.
        """
        if self.uri or spec.storage is None:
            return
        storage = SweepFiles(spec.storage)
        if not storage.uri and not Path(spec.storage).is_absolute():
            raise SpecError(f"`storage` must be a URI or an absolute path, got {spec.storage!r}")
        if not storage.uri and not Path(spec.storage).exists():
            raise StoreError(f"{spec.storage!r} cannot be read: no such folder")
        data = storage.read(SPEC_FILE)
        there = SweepSpec.from_json(data, f"{storage.location}/{SPEC_FILE}") if data is not None else None
        if there is None or there.identity != spec.identity:
            what = f"no {SPEC_FILE}" if there is None else f"the {SPEC_FILE} of another sweep"
            raise SpecError(f"`storage` {spec.storage!r} must hold the {SPEC_FILE} of this sweep, it holds {what}")
        storage.check()
