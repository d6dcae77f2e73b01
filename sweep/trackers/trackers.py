"""The trackers of a sweep (TensorBoard, MLflow, W&B), each in a process of its own.

No sweep depends on them, and measuring never waits for them: points that a tracker has not logged when the sweep ends
are logged when it is resumed with the same tracker, since each tracker keeps a list of the points that it has logged.
"""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.further import RATE
from sweep.errors import SpecError
from sweep.spec.columns import COLUMNS
from sweep.spec.options import TRACKERS
from sweep.spec.rows import point_values
from sweep.trackers.process import SHORT_TIMEOUT_S, TrackerProcess

if TYPE_CHECKING:
    from probes import Point

_EPOCH_COLUMNS = ("epoch_lr", "epoch_epoch", "epoch_accuracy", "epoch_loss")
_POINT_COLUMNS = [name for name in COLUMNS["points"] if name not in ("finished", "trainable", "p_trainable")]
COLUMNS_LOGGED = (*_POINT_COLUMNS, *_EPOCH_COLUMNS)
_MODULES = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}
_WANDB_LOG = "debug-core.log"  # in a run's folder: W&B's link to a log in the user's cache, which is never opened again


def check(trackers: Sequence[str]) -> None:
    """Refuse a tracker that is unknown or not installed.

    Raises
    ------
    SpecError
        The message says which one, and how to install it.
    """
    for name in trackers:
        if name not in TRACKERS:
            raise SpecError(f"`log` must be one of {', '.join(TRACKERS)}, got {name!r}")
        if find_spec(_MODULES[name]) is None:
            raise SpecError(f"`log` {name!r} needs a package that is not installed: pip install '.[{name}]'")


class Trackers:
    """The trackers of a sweep.

    It is a context manager. When the block ends, it waits for the trackers as long as they make progress, but only for
    a few seconds if the block raised an exception.

    Parameters
    ----------
    names:
        Names among `sweep.spec.options.TRACKERS`.
    path:
        The sweep's directory, in which each tracker has a folder.
    sweep:
        The name of the sweep in the trackers.
    rates:
        The learning rates that networks are trained with.
    further:
        Names of the sweep's further axes.

    Raises
    ------
    SpecError
        A tracker's folder contains a pipe, or a link that leads out of it.
    """

    def __init__(
        self, names: Iterable[str], path: Path, sweep: str, rates: Sequence[float], further: Sequence[str] = ()
    ) -> None:
        self._rates, self._columns = rates, dict.fromkeys([*_POINT_COLUMNS, *further])
        folders = {name: (path / name).absolute() for name in names}
        for folder in folders.values():
            _stay_inside(folder)
        self._all = [TrackerProcess(name, folder, sweep, len(rates), further) for name, folder in folders.items()]

    def __enter__(self) -> "Trackers":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            for tracker in self._all if kind is None else ():
                tracker.finish()
        finally:
            for tracker in self._all:
                tracker.drop()
            end = time.monotonic() + SHORT_TIMEOUT_S
            for tracker in self._all:
                tracker.end(end)

    def __bool__(self) -> bool:
        return bool(self._all)

    def log_rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Log the rows of points that were measured, but for those that are logged already."""
        for row in rows:
            event = {
                "row": {name: row[name] for name in self._columns if row.get(name) is not None},
                "epochs": list(zip(*(row.get(name) or () for name in _EPOCH_COLUMNS), strict=False)),
            }
            for tracker in self._all:
                if row not in tracker.ledger:
                    tracker.put(event)

    def rates_of(self, point: "Point") -> Sequence[float]:
        """Return the learning rates that a point's network is trained with: its own, or those of the sweep."""
        own = dict(point.extra).get(RATE)
        return self._rates if own is None else [own]

    def log_epochs(self, point: "Point", epochs: Sequence[tuple[float, int, float, float]]) -> None:
        """Log epochs of a network in training, each as (learning rate, epoch, accuracy, loss)."""
        for tracker in self._all:
            tracker.put({"point": point_values(point), "epochs": epochs})


def _stay_inside(folder: Path) -> None:
    """Refuse a folder with pipes or with links that lead out of it: the sweep may come from a stranger."""
    root = f"{os.path.realpath(folder.parent)}/{folder.name}/"
    for parent, folders, files in os.walk(folder):
        for path in [parent, *(os.path.join(parent, name) for name in [*folders, *files])]:
            if os.path.islink(path):
                is_safe = f"{os.path.realpath(path)}/".startswith(root) or os.path.basename(path) == _WANDB_LOG
            else:
                is_safe = (
                    os.path.isfile(path) or os.path.isdir(path) or not os.path.exists(path)
                )  # or removed meanwhile
            if not is_safe:
                raise SpecError(f"`log` must find no pipe and no link to elsewhere in {str(folder)!r}, got {path!r}")
