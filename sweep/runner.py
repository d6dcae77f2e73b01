"""Run and resume a sweep: its directory, its lock, what may be changed."""

import json
import platform
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .driver import measure
from .frame import SPEC_FILE, Results, load
from .journal import JOURNAL
from .lock import locked
from .resources import check_here, check_memory
from .settings import sweep_images
from .spec import CHANGEABLE, SpecError, SweepSpec
from .store import Store, StoreError

if TYPE_CHECKING:
    pass

__all__ = ["default_directory", "resume", "run"]

VERSIONS_FILE = "versions.json"
_PACKAGES = (
    "trainability-sweep",
    "ray",
    "optuna",
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "scikit-learn",
    "pyarrow",
)


def run(spec: SweepSpec, directory: str | Path, *, quiet: bool = True, callbacks: Sequence[Any] = ()) -> Results:
    """Run a new sweep into ``directory`` and wait for it.

    ``callbacks`` are Tune's, those of TensorBoard, MLflow or W&B for example: they see a result after every epoch of a
    training, with the accuracy and loss of every network in it.

    Raises
    ------
    SpecError
        Bad input: the data set, a sweep that is there already, a directory that cannot be written.
    KeyboardInterrupt
        After Ctrl-C or SIGTERM, when what had been measured is stored.
    """
    path = Path(directory)
    spec = _with_absolute_paths(spec)
    images = sweep_images(spec)
    check_here(spec)
    check_memory(spec, images)
    try:
        new = not path.exists()
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise SpecError(f"`out` {str(path)!r} cannot be written: {getattr(error, 'strerror', error)}") from None
    with locked(path):
        if (path / SPEC_FILE).exists():
            raise SpecError(f"`out` {str(path)!r} holds a sweep already; go on with it by `sweep resume {path}`")
        store = _create_store(spec, path)
        if store.read([]).num_rows or store.damaged:
            place = spec.storage or str(path)
            raise SpecError(f"`{_place_of(spec)}` {place!r} holds the results of another sweep")
        try:
            _write(path / SPEC_FILE, spec.save)
            _write(path / VERSIONS_FILE, lambda p: p.write_text(json.dumps(_versions(), indent=1) + "\n"))
            measure(spec, path, images, quiet, callbacks)
        except SpecError:  # what only the storage or the cluster could tell; nothing was measured
            for leftover in (SPEC_FILE, VERSIONS_FILE, JOURNAL):
                (path / leftover).unlink(missing_ok=True)
            if new:
                shutil.rmtree(path, ignore_errors=True)
            raise
    return load(path)


def _place_of(spec: SweepSpec) -> str:
    return "storage" if spec.storage else "out"


def _create_store(spec: SweepSpec, path: Path) -> Store:
    try:
        store = Store(spec.storage or path)
        store.create()
    except StoreError as error:
        raise SpecError(f"`{_place_of(spec)}` {error}") from None
    return store


def _with_absolute_paths(spec: SweepSpec) -> SweepSpec:
    """So that the sweep can be resumed from anywhere."""
    return replace(
        spec,
        dataset=str(Path(spec.dataset).absolute()) if spec.dataset.endswith(".npz") else spec.dataset,
        data_dir=str(Path(spec.data_dir).absolute()),
        storage=str(Path(spec.storage).absolute()) if spec.storage and "://" not in spec.storage else spec.storage,
    )


def resume(directory: str | Path, *, quiet: bool = True, callbacks: Sequence[Any] = (), **changes: Any) -> Results:
    """Go on with the sweep in ``directory``; ``changes`` are `CHANGEABLE` fields of its spec.

    ``callbacks`` as in `run`.

    Raises
    ------
    SpecError
        No sweep there, another driver is at it, or a change that is not allowed.
    """
    path = Path(directory)
    old = SweepSpec.read(path / SPEC_FILE)
    if fixed := sorted(set(changes) - set(CHANGEABLE)):
        raise SpecError(f"`{fixed[0]}` of a sweep cannot be changed; what can: {', '.join(CHANGEABLE)}")
    spec = replace(old, **changes)
    if spec.points < old.points:
        raise SpecError(f"`points` must be at least {old.points}, the budget of this sweep, got {spec.points}")
    images = sweep_images(spec)
    check_here(spec)
    with locked(path):
        _create_store(spec, path)
        if spec != old:
            _write(path / SPEC_FILE, spec.save)
        measure(spec, path, images, quiet, callbacks)
    return load(path)


def _write(path: Path, write: Callable[[Path], Any]) -> None:
    """Write beside and rename."""
    beside = path.with_name(path.name + ".tmp")
    write(beside)
    beside.rename(path)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def default_directory() -> Path:
    """``runs/<timestamp>``."""
    from datetime import datetime

    return Path("runs") / datetime.now().strftime("%Y%m%d-%H%M%S")
