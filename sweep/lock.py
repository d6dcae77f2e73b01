"""One driver to a sweep.

A directory is locked by ``flock``, which goes with the process. A URI, and a directory whose filesystem knows no such
lock, by a lease: a file that its holder renews, and that counts as nobody's when it was not renewed for a while.
"""

import contextlib
import errno
import fcntl
import json
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from pyarrow import fs

from .spec import SpecError
from .store import StoreError, filesystem, one_line, patiently, printable, write_whole

__all__ = ["LOCK_FILE", "Lease", "is_gone", "is_running", "locked", "myself"]

LOCK_FILE = "sweep.lock"
RENEW, DEAD, SETTLE = 20.0, 90.0, 1.0  # seconds
_NO_FLOCK = (errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS)


@contextmanager
def locked(place: str | Path, named: str = "") -> Iterator[None]:
    """Hold the lock of a sweep at a path or a URI, which messages call ``named``; it goes with the process.

    Raises
    ------
    SpecError
        Another driver holds it or has taken it over, or the place cannot be written.
    StoreError
        The storage cannot be used.
    """
    named = named or str(place)
    where, root = filesystem(place)
    if isinstance(where, fs.LocalFileSystem):
        try:
            file = _flock(Path(root), named)
        except OSError as error:
            if error.errno not in _NO_FLOCK:
                raise SpecError(f"{named!r} cannot be written: {one_line(error)}") from None
        else:
            try:
                yield
            finally:
                os.close(file)
            return
    with Lease(where, f"{root}/{LOCK_FILE}", named).held():
        yield


def _flock(folder: Path, named: str) -> int:
    file = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(file, 0)
        os.write(file, _holder().encode())
    except BlockingIOError:
        holder = printable(os.read(file, 200).decode(errors="replace").strip()) or "another process"
        os.close(file)
        raise SpecError(f"{named!r} is being run by {holder}") from None
    except BaseException:
        os.close(file)
        raise
    return file


def is_running(place: str | Path) -> bool:
    """Whether a driver is at the sweep: on this machine, or on any where the place is locked by a lease."""
    try:
        where, root = filesystem(place)
        if isinstance(where, fs.LocalFileSystem):
            file = os.open(Path(root) / LOCK_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return False
            except BlockingIOError:
                return True
            except OSError as error:
                if error.errno not in _NO_FLOCK:
                    raise
            finally:
                os.close(file)
        return Lease(where, f"{root}/{LOCK_FILE}").is_held()
    except OSError:
        return False


def _holder() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def myself() -> dict[str, Any]:
    """What `is_gone` can tell this process by."""
    process = os.getpid()
    return {"holder": _holder(), "host": _host(), "process": process, "started": _started(process)}


def is_gone(host: str, process: int, started: str) -> bool:
    """Whether a process is known to have ended: one of this machine."""
    return bool(host and host == _host() and started and _started(process) != started)


def _host() -> str:
    """Where a process id means something: this boot of this machine, this container."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    return ""


def _started(process: int) -> str:
    """When a process of this machine was started; empty if there is none."""
    try:
        state, *numbers = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state in "ZX" else numbers[18]


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
