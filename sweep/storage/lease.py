"""A lock by signs of life, for storages that have no locks.

Object storages can refuse to overwrite what exists (a conditional put), but pyarrow, our client for all of them, sends
no condition with a put. So if two drivers take a lease at the same time, the last one to write has it.
"""

import contextlib
import json
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pyarrow as pa
from pyarrow import fs

from sweep.errors import SpecError
from sweep.processes import is_gone, myself
from sweep.storage.files import read_with_retries, store_error, write_whole
from sweep.text import one_line, printable


class _Sign(NamedTuple):
    """The last sign of life of a holder, read from the file of the lease."""

    id: str
    holder: str
    written: float  # seconds since 1970 by the storage's clock
    host: str
    process: int
    started: str

    @classmethod
    def parsed(cls, data: bytes, written: float) -> "_Sign":
        """Return the sign in a file's content, which may hold anything."""
        fields: Any = None
        with contextlib.suppress(ValueError, RecursionError):
            fields = json.loads(data)
        text = {k: str(v) for k, v in fields.items()} if isinstance(fields, dict) else {}
        process = int(text["process"]) if text.get("process", "").isdecimal() else 0
        holder = printable(text.get("holder", ""))[:200] or "another process"
        return cls(text.get("id", ""), holder, written, text.get("host", ""), process, text.get("started", ""))

    def is_alive(self, now: float, expiry_s: float) -> bool:
        """Return whether the sign is younger than ``expiry_s`` and its process is not known to have ended."""
        return not is_gone(self.host, self.process, self.started) and now - self.written < expiry_s


class Lease:
    """A lock in a file that its holder renews, and that expires when it is no longer renewed.

    If several processes take it at the same time, the last one to write has it. A holder that was suspended for so long
    that another process took the lease over is interrupted.

    Parameters
    ----------
    filesystem, path:
        Where the file of the lease is.
    location:
        What error messages call the sweep; the path by default.

    Attributes
    ----------
    renewal_interval_s:
        Seconds between renewals.
    expiry_s:
        Seconds after the last renewal until the lease expires.
    settling_s:
        Seconds after writing the lease until it is read again, to see whether another process has written it, too.
    """

    renewal_interval_s, expiry_s, settling_s = 20.0, 90.0, 1.0

    def __init__(self, filesystem: fs.FileSystem, path: str, location: str = "") -> None:
        self._fs, self._path, self._location = filesystem, path, location or path
        self._id = uuid.uuid4().hex
        self._released = threading.Event()
        self._taken_by = ""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lease for the length of the block.

        Raises
        ------
        SpecError
            Another process holds the lease, or has taken it over.
        StoreError
            The storage cannot be used.
        """
        self._take()
        in_main = threading.current_thread() is threading.main_thread()
        keeper = threading.Thread(target=self._keep, args=(in_main,), name="lease", daemon=True)
        keeper.start()
        try:
            yield
        except KeyboardInterrupt:
            if self._taken_by:
                raise SpecError(f"{self._location!r} was taken over by {self._taken_by}") from None
            raise
        finally:
            self._released.set()
            keeper.join(self.renewal_interval_s)
            self._remove()

    def is_held(self) -> bool:
        """Return whether any process holds the lease, judged by this machine's clock."""
        sign = self._read()
        return sign is not None and sign.is_alive(time.time(), self.expiry_s)

    def _take(self) -> None:
        try:
            self._fs.create_dir(self._path.rpartition("/")[0], recursive=True)
        except (OSError, pa.ArrowException) as error:
            raise store_error(self._fs, f"{self._location!r} cannot be written: {one_line(error)}") from error
        sign = self._read()
        if sign and sign.is_alive(self._now(), self.expiry_s):
            raise SpecError(f"{self._location!r} is being run by {sign.holder}")
        self._write()
        time.sleep(self.settling_s)
        sign = self._read()
        if sign and sign.id != self._id:
            raise SpecError(f"{self._location!r} is being run by {sign.holder}")

    def _keep(self, in_main: bool) -> None:
        """Renew the lease until it is released; interrupt the main thread if another process has taken it over."""
        while not self._released.wait(self.renewal_interval_s):
            try:
                sign = self._read()
                if sign and sign.id != self._id:
                    self._taken_by = sign.holder
                    if in_main and not self._released.is_set():
                        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                    return
                self._write()
            except OSError:
                continue  # the storage cannot be reached; it may come back

    def _remove(self) -> None:
        """Remove the file, unless another process has taken the lease over."""
        with contextlib.suppress(OSError, pa.ArrowException):
            sign = self._read()
            if sign and sign.id == self._id:
                self._fs.delete_file(self._path)

    def _write(self) -> None:
        write_whole(self._fs, self._path, json.dumps({"id": self._id, **myself()}).encode())

    def _read(self) -> _Sign | None:
        def read_file() -> tuple[bytes, float]:
            with self._fs.open_input_file(self._path) as file:
                return file.read(4096), self._fs.get_file_info(self._path).mtime_ns or 0

        try:
            data, written = read_with_retries(read_file, self._fs, self._path)
        except FileNotFoundError:
            return None
        # An attempt to lock the directory by flock, on a filesystem that has no such lock, leaves an empty file.
        return _Sign.parsed(data, written / 1e9) if data else None

    def _now(self) -> float:
        """Return the time by the clock of the storage, which may differ from this machine's."""
        path = f"{self._path}.{self._id}"
        write_whole(self._fs, path, b"")
        try:
            return (self._fs.get_file_info(path).mtime_ns or time.time_ns()) / 1e9
        except (OSError, pa.ArrowException) as error:
            raise store_error(self._fs, f"{path!r} cannot be read: {one_line(error)}") from error
        finally:
            with contextlib.suppress(OSError, pa.ArrowException):
                self._fs.delete_file(path)
