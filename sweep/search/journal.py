"""Where the Optuna study of a sweep is kept: a journal in its directory, or a server that several people look at.

The part files are the truth, so a journal may lose its last lines: it is written without waiting for the disk, by the
one driver that a sweep has, and read by anyone (``optuna-dashboard``).
"""

import contextlib
import json
import logging
import os
import secrets
import warnings
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.study import StudyDirection

from sweep.errors import SpecError
from sweep.search.optuna_patches import RedisJournal
from sweep.spec.parts import STUDY_FROM
from sweep.spec.spec import SweepSpec

JOURNAL, STUDY_NAME = "study.journal", "study.name"
_NAME = "sweep"
_DESCRIBED = ("dataset", "architecture", "width", "activation", "probe", "statistic", "train")  # of a sweep


class FileJournal(BaseJournalBackend):
    """Optuna's journal file for a single writer: what was written here is not read back, and nothing is locked."""

    def __init__(self, path: Path) -> None:
        self._path, self._unread = path, []  # type: tuple[Path, list[dict[str, Any]]]
        for leftover in path.parent.glob(path.name + ".lock*"):
            leftover.unlink(missing_ok=True)
        if path.exists():
            data = path.read_bytes()
            if data and not data.endswith(b"\n"):  # killed in mid-write
                data = data[: data.rfind(b"\n") + 1]
                os.truncate(path, len(data))
            self._unread = [json.loads(line) for line in data.splitlines()]

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Return the lines that were not read yet, whatever the number."""
        logs, self._unread = self._unread, []
        return logs

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write lines, if the disk takes them."""
        self._unread += logs
        with contextlib.suppress(OSError):  # a full disk: the parts know it all
            with self._path.open("ab") as file:
                file.write(b"".join(json.dumps(log, separators=(",", ":")).encode() + b"\n" for log in logs))


def open_study(spec: SweepSpec, directory: Path) -> optuna.Study:
    """The study of a sweep, made if there is none; a journal that cannot be read is set aside.

    Raises
    ------
    SpecError
        `study` names a server that cannot be used.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("optuna").setLevel(logging.ERROR)
    if spec.study is not None:
        try:
            server = _server(spec.study)
            return _opened(spec, _name(directory), server)
        except SpecError:
            raise
        except Exception as error:
            raise unusable(spec, error) from None
    path = directory / JOURNAL
    for attempt in range(2):
        try:
            return _opened(spec, _NAME, JournalStorage(FileJournal(path)))
        except Exception:
            if attempt or not path.exists():
                raise
            path.rename(path.with_suffix(".damaged"))
    raise AssertionError("unreachable")


def _opened(spec: SweepSpec, name: str, storage: BaseStorage) -> optuna.Study:
    """A study that says what its values are, to those who look at it; TPE alone has something to minimise."""
    tpe = spec.search == "tpe"
    direction = StudyDirection.MINIMIZE if tpe else StudyDirection.MAXIMIZE
    study = optuna.create_study(study_name=name, storage=storage, load_if_exists=True, direction=direction)
    if study.metric_names is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names(["|margin|" if tpe else "margin"])
        for key in _DESCRIBED:
            study.set_user_attr(key, getattr(spec, key))
    return study


def unusable(spec: SweepSpec, error: Exception) -> SpecError:
    """What to say of a server that failed."""
    reason = type(error).__name__  # its text may hold the password
    if isinstance(error, ImportError):
        reason = "its driver is not installed; those of PostgreSQL and Redis come with `pip install '.[study]'`"
    return SpecError(f"`study` {spec.study!r} cannot be used: {reason}")


def _name(directory: Path) -> str:
    """Of the study on a server, which may know sweeps in directories of this name on other machines, or former ones."""
    path = directory / STUDY_NAME
    if not path.exists():
        path.write_text(secrets.token_hex(4))
    return f"{_NAME} {directory.absolute()} {path.read_text()[:80]}"


def _server(study: str) -> BaseStorage:
    url = study
    if study.startswith(STUDY_FROM):
        url = os.environ.get(study.removeprefix(STUDY_FROM), "")
        if not url:
            raise SpecError(f"`study` {study!r} names an environment variable that is not set")
    if urlsplit(url).scheme in ("redis", "rediss"):
        return JournalStorage(RedisJournal(url))
    # The server may have been started again since a connection was last used.
    storage = RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
    weakref.finalize(storage, storage.engine.dispose)
    return storage
