"""Starting a Ray for this process alone, on this machine."""

import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sweep.errors import UnavailableError
from sweep.execution.ray_patches import TEMP_DIR
from sweep.text import one_line

_ATTEMPTS = 3  # on a busy machine, Ray gives up after half a minute, and succeeds the next time
_PAUSE_S = 1.0
# Unix allows 107 bytes for the path of a socket.
MAX_FOLDER_BYTES = 107 - len("/ray/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store")
_SHORT_FOLDER = "/tmp"
_log = logging.getLogger(__name__)


def token_file() -> Path:
    """Return the file with the token that Ray's processes show each other.

    Raises
    ------
    RuntimeError
        This user has no home directory.
    """
    return Path.home() / ".ray" / "auth_token"


def ray_folder() -> str:
    """Return the folder where Ray keeps sockets, logs and objects that do not fit into shared memory."""
    return os.environ.get("RAY_TMPDIR") or (sys.platform == "linux" and os.environ.get("TMPDIR")) or _SHORT_FOLDER


def usable_folder() -> str:
    """Return Ray's folder, or another one if the paths of its sockets would be too long."""
    return folder if is_short_enough(folder := ray_folder()) else _SHORT_FOLDER


def is_short_enough(folder: str) -> bool:
    """Return whether the paths of Ray's sockets in a folder are as short as the system requires."""
    return len(os.fsencode(os.path.abspath(folder))) <= MAX_FOLDER_BYTES


@contextmanager
def private_ray(**options: Any) -> Iterator[None]:
    """Start Ray with these options of `ray.init`, and stop it at the end of the ``with`` block.

    Raises
    ------
    UnavailableError
        Ray does not start, or its folder cannot be used. No process of it is left.
    """
    folder = None
    try:
        if not is_short_enough(ray_folder()):
            folder = _short_folder()
            options[TEMP_DIR] = folder
        _start(options)
        yield
    finally:
        if "ray" in sys.modules:
            sys.modules["ray"].shutdown()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def _short_folder() -> str:
    """Make a folder for Ray whose path is short enough."""
    try:
        folder = tempfile.mkdtemp(prefix="ray-", dir=_SHORT_FOLDER)
    except OSError as error:
        raise UnavailableError(
            f"Ray cannot be started: {ray_folder()!r} is too long a path for its sockets, and {_SHORT_FOLDER!r} cannot "
            f"be used ({one_line(error)}); set RAY_TMPDIR to a folder whose path has at most {MAX_FOLDER_BYTES} bytes"
        ) from None
    return folder


def _start(options: dict[str, Any]) -> None:
    import ray

    for attempt in range(1, _ATTEMPTS + 1):
        before = _children()
        try:
            ray.init(address="local", **options)
            return
        except Exception as error:  # Ray raises exceptions of many types here
            with suppress(Exception):
                ray.shutdown()
            _kill(_children() - before)
            if isinstance(error, OSError) or attempt == _ATTEMPTS:  # such as a folder that cannot be written
                folder = options.get(TEMP_DIR, ray_folder())
                raise UnavailableError(
                    f"Ray cannot be started with its files in {folder!r}: {one_line(error)[:300]}; "
                    "`sweep doctor` says what is missing"
                ) from None
            _log.warning("Ray does not start (%s); trying again", one_line(error)[:100])
            time.sleep(_PAUSE_S)


def _children() -> set[Any]:
    import psutil  # type: ignore[import-untyped]

    return set(psutil.Process().children(recursive=True))


def _kill(processes: set[Any]) -> None:
    import psutil

    for process in processes:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(list(processes), timeout=5)
