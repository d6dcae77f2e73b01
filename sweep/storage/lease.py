"""A lock by signs of life, for storages that know no other."""

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

__all__ = ["Lease"]

RENEW, DEAD, SETTLE = 20.0, 90.0, 1.0  # seconds


class _Sign(NamedTuple):
    """The last sign of life of a holder."""

    id: str
    holder: str
    written: float  # by the storage's clock
    host: str
    process: int
    started: str


class Lease:
    """A lock by signs of life, for storages that know no other.

    Of two that reach for it at once, the one that wrote last has it. A holder that was held up for so long that another
    one took the lease is interrupted.
    """

    def __init__(
        self,
        where: fs.FileSystem,
        path: str,
        named: str = "",
        *,
        renew: float = RENEW,
        dead: float = DEAD,
        settle: float = SETTLE,
    ) -> None:
        self._fs, self._path, self._named = where, path, named or path
        self._renew, self._dead, self._settle = renew, dead, settle
        self._id = uuid.uuid4().hex
        self._released = threading.Event()
        self._taken_by = ""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold it.

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
            keeper.join(self._renew)
            self._give_back()

    def is_held(self) -> bool:
        """Whether anybody is at it, as far as this machine's clock can tell."""
        sign = self._look()
        return sign is not None and self._is_alive(sign, time.time())

    def _take(self) -> None:
        try:
            self._fs.create_dir(self._path.rpartition("/")[0], recursive=True)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{self._named!r} cannot be written: {one_line(error)}") from error
        sign = self._look()
        if sign and self._is_alive(sign, self._now()):
            raise SpecError(f"{self._named!r} is being run by {sign.holder}")
        self._write()
        time.sleep(self._settle)
        sign = self._look()
        if sign and sign.id != self._id:
            raise SpecError(f"{self._named!r} is being run by {sign.holder}")

    def _keep(self, in_main: bool) -> None:
        while not self._released.wait(self._renew):
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
        if not data:
            return None  # made for a lock that this filesystem has not
        found: Any = None
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(data)
        text = {k: str(v) for k, v in found.items()} if isinstance(found, dict) else {}
        process = int(text["process"]) if text.get("process", "").isdecimal() else 0
        holder = printable(text.get("holder", ""))[:200] or "another process"
        return _Sign(text.get("id", ""), holder, written / 1e9, text.get("host", ""), process, text.get("started", ""))

    def _now(self) -> float:
        """By the clock of the storage, which need not be this machine's."""
        path = f"{self._path}.{self._id}"
        write_whole(self._fs, path, b"")
        try:
            return (self._fs.get_file_info(path).mtime_ns or time.time_ns()) / 1e9
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{path!r} cannot be read: {one_line(error)}") from error
        finally:
            with contextlib.suppress(OSError, pa.ArrowException):
                self._fs.delete_file(path)

    def _is_alive(self, sign: _Sign, now: float) -> bool:
        return not is_gone(sign.host, sign.process, sign.started) and now - sign.written < self._dead
