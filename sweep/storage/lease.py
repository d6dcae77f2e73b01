"""A lock by signs of life, for storages that know no other.

Object storages can refuse to write what exists already (a conditional put), but pyarrow, our client for all of them,
sends no condition with a put: so of two drivers that reach for a lease at once, the last one to write has it.
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

from sweep.errors import SpecError, StoreError
from sweep.processes import is_gone, myself
from sweep.storage.files import patiently, write_whole
from sweep.text import one_line, printable


class _Sign(NamedTuple):
    """The last sign of life of a holder, as it stands in the file of the lease."""

    id: str
    holder: str
    written: float  # by the storage's clock
    host: str
    process: int
    started: str

    @classmethod
    def parsed(cls, data: bytes, written: float) -> "_Sign":
        """Return what a file says, which anybody may have written."""
        found: Any = None
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(data)
        text = {k: str(v) for k, v in found.items()} if isinstance(found, dict) else {}
        process = int(text["process"]) if text.get("process", "").isdecimal() else 0
        holder = printable(text.get("holder", ""))[:200] or "another process"
        return cls(text.get("id", ""), holder, written, text.get("host", ""), process, text.get("started", ""))

    def is_alive(self, now: float, dead: float) -> bool:
        """Whether its holder is not known to have ended, and was heard of within so many seconds."""
        return not is_gone(self.host, self.process, self.started) and now - self.written < dead


class Lease:
    """A lock in a file that its holder renews, and that is nobody's when it was not renewed for a while.

    Of two that reach for it at once, the one that wrote last has it. A holder that was held up for so long that another
    one took the lease is interrupted.
    """

    renew, dead, settle = 20.0, 90.0, 1.0  # seconds: between renewals, without one until it is nobody's, of reaching

    def __init__(self, where: fs.FileSystem, path: str, named: str = "") -> None:
        self._fs, self._path, self._named = where, path, named or path
        self._id = uuid.uuid4().hex
        self._released = threading.Event()
        self._taken_by = ""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lease.

        Raises
        ------
        SpecError
            Another one holds it, or has taken it over.
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
                raise SpecError(f"{self._named!r} was taken over by {self._taken_by}") from None
            raise
        finally:
            self._released.set()
            keeper.join(self.renew)
            self._give_back()

    def is_held(self) -> bool:
        """Return whether anybody is at it, as far as this machine's clock can tell."""
        sign = self._look()
        return sign is not None and sign.is_alive(time.time(), self.dead)

    def _take(self) -> None:
        try:
            self._fs.create_dir(self._path.rpartition("/")[0], recursive=True)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{self._named!r} cannot be written: {one_line(error)}") from error
        sign = self._look()
        if sign and sign.is_alive(self._now(), self.dead):
            raise SpecError(f"{self._named!r} is being run by {sign.holder}")
        self._write()
        time.sleep(self.settle)
        sign = self._look()
        if sign and sign.id != self._id:
            raise SpecError(f"{self._named!r} is being run by {sign.holder}")

    def _keep(self, in_main: bool) -> None:
        while not self._released.wait(self.renew):
            try:
                sign = self._look()
                if sign and sign.id != self._id:
                    self._taken_by = sign.holder
                    if in_main and not self._released.is_set():
                        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                    return
                self._write()
            except OSError:
                continue  # the storage is away; it may come back

    def _give_back(self) -> None:
        with contextlib.suppress(OSError, pa.ArrowException):
            sign = self._look()
            if sign and sign.id == self._id:
                self._fs.delete_file(self._path)

    def _write(self) -> None:
        write_whole(self._fs, self._path, json.dumps({"id": self._id, **myself()}).encode())

    def _look(self) -> _Sign | None:
        def get() -> tuple[bytes, float]:
            with self._fs.open_input_file(self._path) as file:
                return file.read(4096), self._fs.get_file_info(self._path).mtime_ns or 0

        try:
            data, written = patiently(get, self._path)
        except FileNotFoundError:
            return None
        return _Sign.parsed(data, written / 1e9) if data else None  # empty: made for a lock that there is not

    def _now(self) -> float:
        """Return the time by the clock of the storage, which need not be this machine's."""
        path = f"{self._path}.{self._id}"
        write_whole(self._fs, path, b"")
        try:
            return (self._fs.get_file_info(path).mtime_ns or time.time_ns()) / 1e9
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{path!r} cannot be read: {one_line(error)}") from error
        finally:
            with contextlib.suppress(OSError, pa.ArrowException):
                self._fs.delete_file(path)
