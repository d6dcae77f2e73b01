"""The process of a tracker, which logs the points that it reads from standard input as runs."""

import contextlib
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from sweep.spec.columns import POINT
from sweep.trackers.backends import CALLBACKS, TrackedRun
from sweep.trackers.errors import TrackerError
from sweep.trackers.ledger import Ledger

_TEXT_COLUMNS = ("status", "error")  # logged among the parameters when a run ends
_NICENESS = 5  # measuring comes first
_MAX_CHARACTERS = 500  # of a text


class _Logger:
    """A logger that makes a run of each point.

    Parameters
    ----------
    callback:
        What one of `CALLBACKS` returns.
    folder:
        The tracker's folder on this machine.
    ledger:
        The points that are logged already, which are skipped.
    several_rates:
        Whether networks are trained with several learning rates.
    further:
        Names of the sweep's further axes.
    """

    def __init__(
        self, callback: Any, folder: Path, ledger: Ledger, several_rates: bool, further: Sequence[str] = ()
    ) -> None:
        self._callback, self._folder, self._ledger, self._several_rates = callback, folder, ledger, several_rates
        self._keys = [*POINT, *further]
        self._open: dict[tuple[Any, ...], TrackedRun] = {}

    def take(self, event: Mapping[str, Any]) -> None:
        """Log the epochs of an event, and its row if it has one, which ends the run."""
        row = event.get("row")
        if row is not None and row in self._ledger:
            return
        point = {name: (row or event["point"])[name] for name in self._keys}
        key = tuple(point.values())
        try:
            run = self._open.get(key) or self._start_run(point, key)
            self._log_epochs(run, event["epochs"])
            if row is not None:
                self._end_run(run, row)
                del self._open[key]
        except BaseException:
            self._open.pop(key, None)
            raise
        if row is not None:
            self._ledger.add(row)

    def _start_run(self, point: dict[str, Any], key: tuple[Any, ...]) -> TrackedRun:
        name = " ".join(f"{k}={_digits(v)}" for k, v in point.items())
        run = TrackedRun(name, point, str(self._folder / name))
        self._callback.log_trial_start(run)
        self._open[key] = run
        return run

    def _log_epochs(self, run: TrackedRun, epochs: list[list[float]]) -> None:
        """Log the epochs that were not logged yet.

        Epochs may come twice: a training that failed begins anew, and the row of a point holds all of its epochs.
        """
        for lr, epoch, accuracy, loss in epochs:
            if (lr, int(epoch)) not in run.seen:
                run.seen.add((lr, int(epoch)))
                metrics = _finite({"accuracy": accuracy, "loss": loss}, self._keys)
                self._log_metrics(
                    run, {"epoch": {f"lr_{lr:g}": metrics} if self._several_rates else metrics}, int(epoch)
                )

    def _end_run(self, run: TrackedRun, row: Mapping[str, Any]) -> None:
        self._log_metrics(run, _finite(row, self._keys), max((epoch for _, epoch in run.seen), default=1))
        run.config |= {k: row[k][:_MAX_CHARACTERS] for k in _TEXT_COLUMNS if row.get(k)}
        self._callback.log_trial_end(run, failed=row["status"] == "failed")

    def _log_metrics(self, run: TrackedRun, values: dict[str, Any], step: int) -> None:
        self._callback.log_trial_result(step, run, {**values, "training_iteration": step})


def _digits(value: float) -> str:
    """Return a number in as few digits as tell it from all others: two points never have the same name."""
    short = f"{value:.6g}"
    return short if float(short) == value else repr(value)


def _finite(values: Mapping[str, Any], keys: Sequence[str]) -> dict[str, float]:
    """Return the finite numbers among the values, without the ``keys``, which define the point.

    An infinite or missing number would break an axis of a plot, or a database.
    """
    return {
        k: v if isinstance(v, int) and not isinstance(v, bool) else float(v)
        for k, v in values.items()
        if k not in keys and isinstance(v, int | float) and math.isfinite(v)
    }


def main() -> None:
    """Log the events that are read from standard input until it ends.

    The first line holds the settings, each further line an event. For each event, standard output gets a line of JSON:
    ``logged``, the number of points that it completed, or ``trouble``, the error. A tracker that
    cannot start answers with ``trouble``, too.
    """
    events, answers = _detached_streams()
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)

    def send(**answer: Any) -> None:
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(answer), file=answers, flush=True)

    settings = json.loads(events.readline())
    folder = Path(settings["folder"])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with Ledger.held(folder, settings["further"]) as ledger:
            callback = CALLBACKS[settings["tracker"]](folder, settings["sweep"], ledger)
            logger = _Logger(callback, folder, ledger, settings["rates"] > 1, settings["further"])
            for line in events:
                event = json.loads(line)
                try:
                    logger.take(event)
                except Exception as error:
                    send(trouble=_reason(error))
                else:
                    send(logged=int("row" in event))
    except Exception as error:
        send(trouble=_reason(error))


def _detached_streams() -> tuple[TextIO, TextIO]:
    """Return standard input and output, and connect the process's own to nothing.

    So libraries cannot ask questions, and what they print does not mix with the answers.
    """
    streams = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nowhere, standard)
    return streams


def _reason(error: Exception) -> str:
    text = re.sub(r"//[^/\s]+@", "//***@", " ".join(str(error).split()))  # hide a user's name and password in a URL
    return text[:300] if isinstance(error, TrackerError) else f"{type(error).__name__}: {text[:300]}"


if __name__ == "__main__":
    main()
