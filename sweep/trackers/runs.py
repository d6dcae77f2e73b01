"""What the process of a tracker does: it makes runs of the points that it reads from standard input."""

import contextlib
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from sweep.spec.columns import POINT
from sweep.trackers.backends import CALLBACKS, TrackedRun
from sweep.trackers.ledger import Ledger

_SAID = ("status", "error")  # of a run, in words, at its end
_POLITE = 5  # niceness: measuring comes first
_LONGEST = 500  # characters of a text


class _Logger:
    """Makes runs of points.

    Parameters
    ----------
    callback:
        One of `CALLBACKS`.
    folder:
        For what the tracker writes here.
    ledger:
        Of the points that need no run any more.
    several:
        Whether networks are trained with several learning rates.
    """

    def __init__(self, callback: Any, folder: Path, ledger: Ledger, several: bool) -> None:
        self._callback, self._folder, self._ledger, self._several = callback, folder, ledger, several
        self._open: dict[tuple[Any, ...], TrackedRun] = {}

    def take(self, event: Mapping[str, Any]) -> None:
        """Log epochs of a point, or its row, which ends the run."""
        row = event.get("row")
        if row is not None and row in self._ledger:
            return
        point = {name: (row or event["point"])[name] for name in POINT}
        key = tuple(point.values())
        try:
            run = self._open.get(key) or self._start(point, key)
            self._epochs(run, event["epochs"])
            if row is not None:
                self._end(run, row)
                del self._open[key]
        except BaseException:
            self._open.pop(key, None)
            raise
        if row is not None:
            self._ledger.add(row)

    def _start(self, point: dict[str, Any], key: tuple[Any, ...]) -> TrackedRun:
        name = " ".join(f"{k}={v:.6g}" if isinstance(v, float) else f"{k}={v}" for k, v in point.items())
        run = TrackedRun(name, point, str(self._folder / name))
        self._callback.log_trial_start(run)
        self._open[key] = run
        return run

    def _epochs(self, run: TrackedRun, epochs: list[list[float]]) -> None:
        """Log the epochs that were not logged yet: a training that failed begins anew, and a row holds all of them."""
        for lr, epoch, accuracy, loss in epochs:
            if (lr, int(epoch)) not in run.seen:
                run.seen.add((lr, int(epoch)))
                found = _finite({"accuracy": accuracy, "loss": loss})
                self._result(run, {"epoch": {f"lr_{lr:g}": found} if self._several else found}, int(epoch))

    def _end(self, run: TrackedRun, row: Mapping[str, Any]) -> None:
        self._result(run, _finite(row), max((epoch for _, epoch in run.seen), default=1))
        run.config |= {k: row[k][:_LONGEST] for k in _SAID if row.get(k)}
        self._callback.log_trial_end(run, failed=row["status"] == "failed")

    def _result(self, run: TrackedRun, values: dict[str, Any], step: int) -> None:
        self._callback.log_trial_result(step, run, {**values, "training_iteration": step})


def _finite(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics among the values; a number that is infinite or missing breaks an axis, or a database."""
    return {
        k: v if isinstance(v, int) and not isinstance(v, bool) else float(v)
        for k, v in values.items()
        if k not in POINT and isinstance(v, int | float) and math.isfinite(v)
    }


def main() -> None:
    """Log what comes in until it ends; say how many points are logged, and what went wrong."""
    events, answers = _quiet()
    with contextlib.suppress(OSError):
        os.nice(_POLITE)

    def say(**answer: Any) -> None:
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(answer), file=answers, flush=True)

    settings = json.loads(events.readline())
    folder = Path(settings["folder"])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with Ledger.held(folder) as ledger:
            callback = CALLBACKS[settings["tracker"]](folder, settings["sweep"], ledger)
            logger = _Logger(callback, folder, ledger, settings["rates"] > 1)
            for line in events:
                event = json.loads(line)
                try:
                    logger.take(event)
                except Exception as error:
                    say(trouble=_reason(error))
                else:
                    say(logged=int("row" in event))
    except Exception as error:
        say(trouble=_reason(error))


def _quiet() -> tuple[TextIO, TextIO]:
    """Return standard input and output, for us alone: libraries ask nobody, and what they print goes nowhere."""
    streams = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nowhere, standard)
    return streams


def _reason(error: Exception) -> str:
    text = re.sub(r"//[^/\s]+@", "//***@", " ".join(str(error).split()))  # a user's name and password in a URL
    return f"{type(error).__name__}: {text[:300]}"


if __name__ == "__main__":
    main()
