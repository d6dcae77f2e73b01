"""Hands points to trackers (TensorBoard, MLflow, W&B), each in a process of its own (`tracking`).

Nothing of the sweep depends on them, and it never waits: what a tracker has not taken when the sweep ends is logged
when the sweep is resumed, since each keeps a list of the points that it has.
"""

import contextlib
import json
import logging
import queue
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .child import command, environment
from .frame import COLUMNS
from .spec import TRACKERS, SpecError
from .store import printable
from .tracking import Ledger

if TYPE_CHECKING:
    from probes import Point

__all__ = ["COLUMNS_LOGGED", "Trackers", "check"]

_EPOCHS = ("epoch_lr", "epoch_epoch", "epoch_accuracy", "epoch_loss")  # columns of a row
_ROW = [name for name in COLUMNS["points"] if name not in ("finished", "trainable")]
COLUMNS_LOGGED = (*_ROW, *_EPOCHS)
_MODULES = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}
_COMMAND = command("sweep.tracking")
_MOST_WAITING = 20_000  # events: of a tracker that is slower than the sweep, the others are logged at the next start
_PATIENCE = 30.0  # seconds without a point logged that the end of a sweep waits for
_LITTLE = 3.0  # the same after an interruption, and for a tracker that has failed
_log = logging.getLogger(__name__)


def check(trackers: Sequence[str]) -> None:
    """Refuse a tracker that is unknown or not installed.

    Raises
    ------
    SpecError
        Which one, and how to install it.
    """
    for name in trackers:
        if name not in TRACKERS:
            raise SpecError(f"`log` must be of {', '.join(TRACKERS)}, got {name!r}")
        if find_spec(_MODULES[name]) is None:
            raise SpecError(f"`log` {name!r} needs a package that is not installed: pip install '.[{name}]'")


class Trackers:
    """Those of a sweep.

    A context manager: on the way out trackers may finish, as long as they get on with it.

    Parameters
    ----------
    names:
        Of `spec.TRACKERS`.
    path:
        The sweep's directory: each has a folder there.
    sweep:
        What it is called.
    rates:
        Learning rates that networks are trained with.
    """

    def __init__(self, names: Iterable[str], path: Path, sweep: str, rates: Sequence[float]) -> None:
        self.rates = rates
        self._all = [_Tracker(n, (path / n).absolute(), sweep, len(rates)) for n in dict.fromkeys(names)]

    def __enter__(self) -> "Trackers":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        for tracker in self._all:
            tracker.close(_PATIENCE if kind is None else _LITTLE)

    def __bool__(self) -> bool:
        return bool(self._all)

    def stored(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Log points that are measured, unless they are logged already."""
        for row in rows:
            event = {
                "row": {name: row[name] for name in _ROW if row.get(name) is not None},
                "epochs": list(zip(*(row.get(name) or () for name in _EPOCHS), strict=False)),
            }
            for tracker in self._all:
                if row not in tracker.ledger:
                    tracker.put(event)

    def trains(self, point: "Point", epochs: Sequence[tuple[float, int, float, float]]) -> None:
        """Log epochs of a network in training: learning rate, epoch, accuracy, loss."""
        for tracker in self._all:
            tracker.put({"point": asdict(point), "epochs": epochs})


class _Tracker:
    """The process of one, and the threads that talk to it."""

    def __init__(self, name: str, folder: Path, sweep: str, rates: int) -> None:
        self._name, self._missing, self._failed = name, 0, False
        self._events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._heard = time.monotonic()
        self.ledger = Ledger(folder)
        self._process = subprocess.Popen(
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the sweep
            env=environment(),
        )
        self.put({"tracker": name, "folder": str(folder), "sweep": sweep, "rates": rates})
        works = (self._feed, self._listen)
        self._threads = [threading.Thread(target=w, name=f"{name} tracker", daemon=True) for w in works]
        for thread in self._threads:
            thread.start()

    def put(self, event: dict[str, Any]) -> None:
        """Hand an event on, soon, unless too many are waiting."""
        self._missing += "row" in event
        if self._events.qsize() < _MOST_WAITING:
            self._events.put(event)

    def _feed(self) -> None:
        assert self._process.stdin
        with contextlib.suppress(OSError), self._process.stdin as stdin:  # it may have died
            while (event := self._events.get()) is not None:
                print(json.dumps(event, default=float), file=stdin, flush=True)

    def _listen(self) -> None:
        assert self._process.stdout
        with self._process.stdout as answers:
            for line in answers:
                answer = json.loads(line)
                self._heard = time.monotonic()
                self._missing -= answer.get("logged", 0)
                if trouble := answer.get("trouble"):
                    self._warn(f"{trouble}; the sweep goes on without it")

    def _warn(self, text: str) -> None:
        if not self._failed:  # once
            self._failed = True
            _log.warning("%s does not log: %s", self._name, printable(text))

    def close(self, patience: float) -> None:
        """Let it finish while it gets on, then end it."""
        self._events.put(None)
        self._heard = time.monotonic()
        while self._process.poll() is None and time.monotonic() - self._heard < (_LITTLE if self._failed else patience):
            time.sleep(0.05)
        self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join(_LITTLE)
        if self._missing:
            _log.warning(
                "%s has not logged %d points; what does: sweep resume DIR --log %s",
                *(self._name, self._missing, self._name),
            )
