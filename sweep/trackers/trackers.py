"""The trackers of a sweep (TensorBoard, MLflow, W&B), each in a process of its own, which are told of its points.

Nothing of the sweep depends on them, and it never waits: what a tracker has not taken when the sweep ends is logged
when the sweep is resumed, since each keeps a list of the points that it has.
"""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.errors import SpecError
from sweep.spec.columns import COLUMNS
from sweep.spec.options import TRACKERS
from sweep.trackers.process import LITTLE, TrackerProcess

if TYPE_CHECKING:
    from probes import Point

_EPOCHS = ("epoch_lr", "epoch_epoch", "epoch_accuracy", "epoch_loss")  # columns of a row
_ROW = [name for name in COLUMNS["points"] if name not in ("finished", "trainable")]
COLUMNS_LOGGED = (*_ROW, *_EPOCHS)
_MODULES = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}
_WANDB_LOG = "debug-core.log"  # W&B's link to a log in the user's cache, from the folder of a run: never opened again


def check(trackers: Sequence[str]) -> None:
    """Refuse a tracker that is unknown or not installed.

    Raises
    ------
    SpecError
        It says which one, and how to install it.
    """
    for name in trackers:
        if name not in TRACKERS:
            raise SpecError(f"`log` must be of {', '.join(TRACKERS)}, got {name!r}")
        if find_spec(_MODULES[name]) is None:
            raise SpecError(f"`log` {name!r} needs a package that is not installed: pip install '.[{name}]'")


class Trackers:
    """The trackers of a sweep.

    A context manager: on the way out trackers may finish, as long as they get on with it; after an interruption, in a
    few seconds.

    Parameters
    ----------
    names:
        Of `sweep.spec.options.TRACKERS`.
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
        self._all = [TrackerProcess(name, folder, sweep, len(rates)) for name, folder in folders.items()]

    def __enter__(self) -> "Trackers":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            for tracker in self._all if kind is None else ():
                tracker.finish()
        finally:
            for tracker in self._all:
                tracker.drop()
            end = time.monotonic() + LITTLE
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
