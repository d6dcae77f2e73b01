"""Run a sweep: Ray, the Tuner, resources, the lock, resume."""

import json
import logging
import math
import os
import platform
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .checkpoints import Checkpoints
from .design import suggested_pack
from .frame import SPEC_FILE, Results, load, point_of, row
from .lock import locked
from .progress import Progress
from .resources import Resources, check_here, check_memory, fitting_pack, start_ray
from .settings import probe_settings, sweep_images
from .spec import CHANGEABLE, SpecError, SweepSpec
from .store import Store, StoreError
from .study import JOURNAL, SweepStudy

if TYPE_CHECKING:
    from ray import tune

    from probes import Images, Point

    from .searcher import PackSearcher

__all__ = ["cost_of_depth", "default_directory", "resume", "run"]

VERSIONS_FILE = "versions.json"
TUNE_FOLDER = ".tune"
_THOUGHT_OF_AT_ONCE = 16  # points; more are soon out of date
_CORE_FLOPS, _GPU_FLOPS = 100e9, 10e12  # a second, of well filled matrix products in float32
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
TUNE_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # every row is in a part file already
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C stops at once; what was measured is stored
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}


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
            _measure(spec, path, images, quiet, callbacks)
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
        _measure(spec, path, images, quiet, callbacks)
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


def _measure(spec: SweepSpec, path: Path, images: "Images", quiet: bool, callbacks: Sequence[Any]) -> None:
    """Measure what is missing."""
    store = Store(spec.storage or path)
    rows = store.read(["status", "margin", "margin_censored", "accuracy", "chance"]).to_pylist()
    study = SweepStudy(spec, path, rows, cost=cost_of_depth(spec, images), batch=spec.pack or _THOUGHT_OF_AT_ONCE)
    total = study.budget * spec.replicas
    with Progress(spec, total, rows, store, quiet=quiet) as progress:
        if len(rows) < total and not study.stopped:
            _tune(spec, path, images, store, study, progress, callbacks)
    # Also what a driver left that was killed after its last row.
    Checkpoints(spec.storage or path).clear()
    shutil.rmtree(path / TUNE_FOLDER, ignore_errors=True)


def _tune(
    spec: SweepSpec,
    path: Path,
    images: "Images",
    store: Store,
    study: SweepStudy,
    progress: Progress,
    callbacks: Sequence[Any],
) -> None:
    os.environ.update(TUNE_ENVIRONMENT)
    progress.note("starting Ray")
    # Tune's own state is never read again: it lags behind the part files.
    shutil.rmtree(path / TUNE_FOLDER, ignore_errors=True)
    import ray

    for name in ("ray.tune", "ray.train", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    resources = start_ray(spec, images)
    try:
        pack = spec.pack or min(
            suggested_pack(spec, _seconds_per_point(spec, images, resources), resources.concurrency),
            fitting_pack(spec, images, resources),
        )
        progress.start(resources.concurrency, pack)

        checkpoints = Checkpoints(spec.storage or path)

        def record(new: list[dict[str, Any]]) -> None:
            store.write([{**r, "finished": time.time()} for r in new])
            checkpoints.forget(point_of(r) for r in new)
            progress.measured(new)

        from .searcher import PackSearcher

        searcher = PackSearcher(study, pack, record, _failed_rows)
        with _terminated_is_interrupted(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _tuner(spec, path, images, resources, searcher, progress, callbacks).fit()
    finally:
        ray.shutdown()
        shutil.rmtree(path / TUNE_FOLDER, ignore_errors=True)


def cost_of_depth(spec: SweepSpec, images: "Images") -> Callable[[int], float]:
    """What a probe of a depth costs, in floating point operations."""
    from probes.cost import cost

    settings = probe_settings(spec)
    return lambda depth: cost(settings, images, depth).probes


def _seconds_per_point(spec: SweepSpec, images: "Images", resources: Resources) -> float:
    """A rough cost of one point of middle depth, on one core or on a trial's share of a GPU."""
    from probes.cost import cost

    settings = probe_settings(spec)
    found = cost(settings, images, sum(spec.depth) // 2)
    trained = 0 if spec.train == "none" else len(spec.lr) * settings.training.rounds(images)
    speed = _GPU_FLOPS * min(1.0, resources.gpus) if resources.gpus else _CORE_FLOPS
    return (found.probes + trained * found.epoch) / speed


def _tuner(
    spec: SweepSpec,
    path: Path,
    images: "Images",
    resources: Resources,
    searcher: "PackSearcher",
    progress: Progress,
    callbacks: Sequence[Any],
) -> "tune.Tuner":
    from ray import tune

    from .searcher import Watch
    from .trainable import PackTrainable

    trainable = tune.with_parameters(
        PackTrainable,
        images=images,
        settings=probe_settings(spec),
        threads=max(1, math.floor(resources.cpus)),
        device="cuda" if resources.gpus else "cpu",
        storage=spec.storage or str(path.absolute()),
    )
    return tune.Tuner(
        tune.with_resources(trainable, {"CPU": resources.cpus, "GPU": resources.gpus}),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=spec.points * spec.replicas,  # at most; the searcher says when there are no more
            max_concurrent_trials=resources.concurrency,
            reuse_actors=True,
            trial_dirname_creator=_trial_name,
            trial_name_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name=TUNE_FOLDER,
            storage_path=str(path.absolute()),
            verbose=0,
            callbacks=[Watch(searcher, lambda: progress.refresh(searcher.in_progress)), *callbacks],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            failure_config=tune.FailureConfig(max_failures=1),
        ),
    )


def _trial_name(trial: Any) -> str:
    return f"trial_{trial.trial_id}"


@contextmanager
def _terminated_is_interrupted() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt, like Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(signum: int, frame: Any) -> None:
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)


def _failed_rows(points: "list[Point]", error: str) -> list[dict[str, Any]]:
    from probes.point import Measurement

    text = " ".join(error.split())
    if len(text) > 500:  # a dead process is named at the beginning, an exception at the end
        text = f"{text[:250]} ... {text[-250:]}"
    extra = {"pack": len(points), "device": "", "hostname": ""}
    return [row(Measurement(p, "failed", text), **extra) for p in points]


def default_directory() -> Path:
    """``runs/<timestamp>``."""
    from datetime import datetime

    return Path("runs") / datetime.now().strftime("%Y%m%d-%H%M%S")
