"""What Optuna keeps to itself and we use all the same, checked with Optuna from 5.0 to before 6.

Its public interface cannot add a trial that is under way and say which number it got, nor finish one without the
sampler. And a journal on a Redis server is read here as Optuna lays it out, but without its pickles.

If a name is gone or means something else, the study cannot be used, and says so: a sweep whose study is on a server
then goes on with a journal where that is enough, and stops with a clear message where it is not.
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
_COUNT, _LINE = ":log_number", ":log:{}"  # keys on a Redis server: the number of the last line, a line
_AT_ONCE = 10_000  # lines read from a server


def storage_of(study: optuna.Study) -> tuple[BaseStorage, int]:
    """Return where a study is kept, and its number there.

    Raises
    ------
    RuntimeError
        This version of Optuna does not tell.
    """
    storage, number = getattr(study, "_storage", None), getattr(study, "_study_id", None)
    if not isinstance(storage, BaseStorage) or not isinstance(number, int):
        raise RuntimeError(f"Optuna {optuna.__version__} cannot be used, please install optuna{CHECKED}")
    return storage, number


class RedisJournal(BaseJournalBackend):
    """Optuna's Redis journal; without its snapshots, which are pickles, and without waiting for lines that are lost."""

    def __init__(self, url: str) -> None:
        import redis
        from optuna.storages.journal import JournalRedisBackend

        self._client: Any = redis.Redis.from_url(url)
        self._known = False  # that Optuna writes where we read
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self._writer = JournalRedisBackend(url)

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Yield the lines from a number on, all that there are now."""
        last = self._client.get(_COUNT)
        numbers = range(log_number_from, int(last or -1) + 1)
        for i in range(0, len(numbers), _AT_ONCE):
            lines = self._client.mget([_LINE.format(n) for n in numbers[i : i + _AT_ONCE]])
            if None in lines:
                raise LookupError("the server has lost a part of the journal")
            yield from map(json.loads, lines)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write lines."""
        self._writer.append_logs(logs)
        if not self._known and self._client.get(_COUNT) is None:
            raise RuntimeError(f"Optuna {optuna.__version__} keeps its journal elsewhere, please use optuna{CHECKED}")
        self._known = True
