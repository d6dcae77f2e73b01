"""Hands points to trackers (TensorBoard, MLflow, W&B), each in a process of its own (`tracking`).

Nothing of the sweep depends on them, and it never waits: what a tracker has not taken when the sweep ends is logged
when the sweep is resumed, since each keeps a list of the points that it has.
"""

import contextlib
import json
import logging
import os
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
_LITTLE = 3.0  # the same for a tracker that has failed, and all that an interruption waits for
_SILENT = 2.0  # seconds of waiting that nothing is said of
_WANDB_LOG = "debug-core.log"  # W&B's link to a log in the user's cache, from the folder of a run: never opened again
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

    A context manager: on the way out trackers may finish, as long as they get on with it; after an interruption, in a
    few seconds.

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

    Raises
    ------
    SpecError
        A folder there leads elsewhere.
    """

    def __init__(self, names: Iterable[str], path: Path, sweep: str, rates: Sequence[float]) -> None:
        self.rates = rates
        folders = {name: (path / name).absolute() for name in names}
        for folder in folders.values():
            _stay_inside(folder)
        self._all = [_Tracker(name, folder, sweep, len(rates)) for name, folder in folders.items()]

    def __enter__(self) -> "Trackers":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            for tracker in self._all if kind is None else ():
                tracker.finish()
        finally:
            for tracker in self._all:
                tracker.drop()
            end = time.monotonic() + _LITTLE
            for tracker in self._all:
                tracker.end(end)

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


def _stay_inside(folder: Path) -> None:
    """Refuse pipes and links to elsewhere: a sweep may come from someone else."""
    root = f"{os.path.realpath(folder.parent)}/{folder.name}/"
    for where, folders, files in os.walk(folder):
        for path in [where, *(os.path.join(where, name) for name in [*folders, *files])]:
            if os.path.islink(path):
                well = f"{os.path.realpath(path)}/".startswith(root) or os.path.basename(path) == _WANDB_LOG
            else:
                well = os.path.isfile(path) or os.path.isdir(path) or not os.path.exists(path)  # gone meanwhile
            if not well:
                raise SpecError(f"`log` must find no pipe and no link to elsewhere in {str(folder)!r}, got {path!r}")


class _Tracker:
    """The process of one, and the threads that talk to it."""

    def __init__(self, name: str, folder: Path, sweep: str, rates: int) -> None:
        self._name, self._failed = name, False
        self._given = self._logged = 0  # points: each is counted by a thread of its own
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
        self._given += "row" in event
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
                if trouble := answer.get("trouble"):
                    self._warn(f"{trouble}; the sweep goes on without it")
                else:
                    self._heard = time.monotonic()
                    self._logged += answer["logged"]

    def _warn(self, text: str) -> None:
        if not self._failed:  # once
            self._failed = True
            _log.warning("%s does not log: %s", self._name, printable(text))

    @property
    def _missing(self) -> int:
        return self._given - self._logged

    def finish(self) -> None:
        """Let it log all that it was given, while it gets on."""
        self._events.put(None)
        self._heard = started = time.monotonic()
        said = False
        while self._process.poll() is None:
            now = time.monotonic()
            if now - self._heard > (_LITTLE if self._failed else _PATIENCE):
                return
            if now - started > _SILENT and self._missing and not (said or self._failed):
                text = "waiting for %s: %d points; Ctrl-C leaves them for: sweep resume DIR --log %s"
                _log.warning(text, self._name, self._missing, self._name)
                said = True
            time.sleep(0.05)

    def drop(self) -> None:
        """Have it end after what it is at: what still waits is not logged."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._events.get_nowait()
        self._events.put(None)

    def end(self, latest: float) -> None:
        """End it, at once if it is later than that; say what it has not logged."""
        try:
            self._process.wait(max(0.0, latest - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join(_LITTLE)
        if self._missing:
            _log.warning(
                "%s has not logged %d points; what does: sweep resume DIR --log %s",
                *(self._name, self._missing, self._name),
            )
