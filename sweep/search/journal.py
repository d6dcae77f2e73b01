"""Storage of a sweep's Optuna study: a journal file beside its results, or a server that several people use.

The results are the truth, so a journal may lose its last lines. It is written by the one driver of a sweep, which does
not wait for the disk, and may be read by anyone, with ``optuna-dashboard`` for example.
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

from sweep.errors import SpecError, UnavailableError
from sweep.search.optuna_patches import RedisJournal
from sweep.spec.parts import STUDY_FROM
from sweep.spec.spec import SweepSpec

JOURNAL, STUDY_NAME = "study.journal", "study.name"  # files of a sweep: its study, the random part of a name
_BASE_NAME = "sweep"  # of a study
# Errors of SQLAlchemy and of redis that say that the server is away, or refuses the connection.
_SERVER_ERRORS = ("OperationalError", "InterfaceError", "ConnectionError", "TimeoutError", "StorageInternalError")
# The options that a study shows as its attributes.
_SHOWN_OPTIONS = (
    "dataset",
    "architecture",
    "width",
    "activation",
    "initialise",
    "network",
    "probe",
    "statistic",
    "train",
)


class FileJournal(BaseJournalBackend):
    """Optuna's journal file for a single writer, which neither locks it nor reads back what it wrote.

    Parameters
    ----------
    path:
        Path of the file, which is made if there is none. A last line that was not written to its end is cut off.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._unread = path, []  # type: tuple[Path, list[dict[str, Any]]]
        for leftover in path.parent.glob(path.name + ".lock*"):
            leftover.unlink(missing_ok=True)
        if path.exists():
            data = path.read_bytes()
            if data and not data.endswith(b"\n"):  # the writer was killed
                data = data[: data.rfind(b"\n") + 1]
                os.truncate(path, len(data))
            self._unread = [json.loads(line) for line in data.splitlines()]

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Return the log entries that were not read yet, whatever ``log_number_from`` is."""
        logs, self._unread = self._unread, []
        return logs

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append log entries, and ignore errors of the disk."""
        self._unread += logs
        with contextlib.suppress(OSError):  # a full disk, for example: the results hold everything
            with self._path.open("ab") as file:
                file.write(b"".join(json.dumps(log, separators=(",", ":")).encode() + b"\n" for log in logs))


def open_study(spec: SweepSpec, folder: Path) -> optuna.Study:
    """Open the study of a sweep, or create it if there is none.

    A journal that cannot be read is renamed to ``study.damaged`` and a new one is begun.

    Parameters
    ----------
    spec:
        The sweep's specification; its ``study`` names the server, if there is one.
    folder:
        Folder of the journal.

    Raises
    ------
    SpecError, UnavailableError
        ``spec.study`` names a server that cannot be used.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("optuna").setLevel(logging.ERROR)
    if spec.study is not None:
        try:
            server = _connect(spec.study)
            return _open(spec, _server_study_name(folder), server)
        except SpecError:
            raise
        except Exception as error:
            raise server_error(spec, error) from None
    path = folder / JOURNAL
    for attempt in range(2):
        try:
            return _open(spec, _BASE_NAME, JournalStorage(FileJournal(path)))
        except Exception:
            if attempt or not path.exists():
                raise
            path.rename(path.with_suffix(".damaged"))
    raise AssertionError("unreachable")


def _open(spec: SweepSpec, name: str, storage: BaseStorage) -> optuna.Study:
    """Open or create a study, labelled with the name of its values and the main options of the sweep."""
    tpe = spec.search == "tpe"  # the only search that minimises
    direction = StudyDirection.MINIMIZE if tpe else StudyDirection.MAXIMIZE
    study = optuna.create_study(study_name=name, storage=storage, load_if_exists=True, direction=direction)
    if study.metric_names is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names(["|margin|" if tpe else "margin"])
        for key in _SHOWN_OPTIONS:
            study.set_user_attr(key, getattr(spec, key))
    return study


def server_error(spec: SweepSpec, error: Exception) -> SpecError | UnavailableError:
    """Return the error to raise when the server of a study failed."""
    reason = type(error).__name__  # its text may hold the password
    if isinstance(error, ImportError):
        reason = "its driver is not installed; those of PostgreSQL and Redis come with `pip install '.[study]'`"
    kind = UnavailableError if isinstance(error, OSError) or reason in _SERVER_ERRORS else SpecError
    return kind(f"`study` {spec.study!r} cannot be used: {reason}")


def _server_study_name(folder: Path) -> str:
    """Return the name of a study on a server, which is unique even if folders on other machines have the same path."""
    path = folder / STUDY_NAME
    if not path.exists():
        path.write_text(secrets.token_hex(4))
    return f"{_BASE_NAME} {folder.absolute()} {path.read_text()[:80]}"


def _connect(study: str) -> BaseStorage:
    url = study
    if study.startswith(STUDY_FROM):
        url = os.environ.get(study.removeprefix(STUDY_FROM), "")
        if not url:
            raise SpecError(f"`study` {study!r} names an environment variable that is not set")
    if urlsplit(url).scheme in ("redis", "rediss"):
        return JournalStorage(RedisJournal(url))
    # The ping finds out if the server was restarted since a connection was last used.
    storage = RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
    weakref.finalize(storage, storage.engine.dispose)
    return storage
