"""The private parts of Optuna that this package uses, checked with versions from 5.0 to before 6.

Optuna's public interface can neither add a running trial and return its number nor finish a trial without the sampler.
Also, a journal on a Redis server is read here in Optuna's layout, but without its pickles.

If one of these parts is missing or has changed, the study cannot be used and an error says so. A sweep whose study is
on a server then goes on with a journal, if that still works, or stops with a clear message.
"""

import json
import warnings
from collections.abc import Iterable
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage
from optuna.storages.journal import BaseJournalBackend

CHECKED = ">=5.0,<6"  # versions of Optuna
_LAST_KEY, _ENTRY_KEY = ":log_number", ":log:{}"  # keys on a Redis server: the number of the last entry, an entry
_MAX_ENTRIES_PER_READ = 10_000


def storage_of(study: optuna.Study) -> tuple[BaseStorage, int]:
    """Return the storage of a study and the study's number there.

    Raises
    ------
    RuntimeError
        This version of Optuna keeps them under other names.
    """
    storage, number = getattr(study, "_storage", None), getattr(study, "_study_id", None)
    if not isinstance(storage, BaseStorage) or not isinstance(number, int):
        raise RuntimeError(f"Optuna {optuna.__version__} cannot be used, please install optuna{CHECKED}")
    return storage, number


class RedisJournal(BaseJournalBackend):
    """Optuna's journal on a Redis server, without snapshots, which are pickles.

    Unlike Optuna's own class it raises an error where entries are lost, instead of waiting for them.

    Parameters
    ----------
    url:
        Address of the server.
    """

    def __init__(self, url: str) -> None:
        import redis
        from optuna.storages.journal import JournalRedisBackend

        self._client: Any = redis.Redis.from_url(url)
        self._layout_checked = False  # whether Optuna writes to the keys that are read here
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self._writer = JournalRedisBackend(url)

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Yield the log entries from number ``log_number_from`` to the last.

        Raises
        ------
        LookupError
            An entry is missing.
        """
        last = self._client.get(_LAST_KEY)
        numbers = range(log_number_from, int(last or -1) + 1)
        for i in range(0, len(numbers), _MAX_ENTRIES_PER_READ):
            entries = self._client.mget([_ENTRY_KEY.format(n) for n in numbers[i : i + _MAX_ENTRIES_PER_READ]])
            if None in entries:
                raise LookupError("the server has lost a part of the journal")
            yield from map(json.loads, entries)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append log entries.

        Raises
        ------
        RuntimeError
            This version of Optuna writes to other keys than those that are read here.
        """
        self._writer.append_logs(logs)
        if not self._layout_checked and self._client.get(_LAST_KEY) is None:
            raise RuntimeError(f"Optuna {optuna.__version__} keeps its journal elsewhere, please use optuna{CHECKED}")
        self._layout_checked = True
