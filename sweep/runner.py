"""Run a sweep: Ray, the Tuner, resources, the lock, resume."""

import json
import logging
import math
import os
import platform
import shutil
import signal
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .design import grid_size, suggested_pack
from .frame import SPEC_FILE, Results, load, row
from .lock import locked
from .progress import Progress
from .settings import probe_settings, sweep_images
from .spec import SpecError, SweepSpec
from .store import Store, StoreError
from .study import SweepStudy

if TYPE_CHECKING:
    from probes import Images, Point

__all__ = ["check_memory", "default_directory", "resume", "run"]

VERSIONS_FILE = "versions.json"
TUNE_FOLDER = "tune"
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
_TRIALS_PER_CORE = 8  # each is a process of half a gigabyte
_OBJECT_STORE_BYTES = 80 * 2**20  # the smallest that Ray allows; images beside it are added


def run(spec: SweepSpec, directory: str | Path, *, quiet: bool = True) -> Results:
    """Run a new sweep into ``directory`` and wait for it.

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
    check_memory(spec, images)
    _check_local(spec)
    if (path / SPEC_FILE).exists():
        raise SpecError(f"`out` {str(path)!r} holds a sweep already; go on with it by `sweep resume {path}`")
    new = not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
        Store(spec.storage or path).create()
        _write(path / SPEC_FILE, spec.save)
        _write(path / VERSIONS_FILE, lambda p: p.write_text(json.dumps(_versions(), indent=1) + "\n"))
    except StoreError as error:
        raise SpecError(f"`{'storage' if spec.storage else 'out'}` {error}") from None
    except OSError as error:
        raise SpecError(f"`out` {str(path)!r} cannot be written: {error.strerror or error}") from None
    try:
        return _run(spec, path, images, quiet)
    except SpecError:  # what only the cluster could tell; nothing was measured
        for leftover in (SPEC_FILE, VERSIONS_FILE):
            (path / leftover).unlink(missing_ok=True)
        if new:
            shutil.rmtree(path, ignore_errors=True)
        raise


def _with_absolute_paths(spec: SweepSpec) -> SweepSpec:
    """So that the sweep can be resumed from anywhere."""
    return replace(
        spec,
        dataset=str(Path(spec.dataset).absolute()) if spec.dataset.endswith(".npz") else spec.dataset,
        data_dir=str(Path(spec.data_dir).absolute()),
        storage=str(Path(spec.storage).absolute()) if spec.storage and "://" not in spec.storage else spec.storage,
    )


def _check_local(spec: SweepSpec) -> None:
    """Refuse more than a private Ray on this machine should be asked for."""
    if spec.address not in (None, "local"):
        return
    cores = len(os.sched_getaffinity(0))
    if spec.cpus_per_trial > cores:
        raise SpecError(f"`cpus_per_trial` must be at most {cores}, the cores here, got {spec.cpus_per_trial:g}")
    if spec.concurrency and spec.concurrency > _TRIALS_PER_CORE * cores:
        raise SpecError(
            f"`concurrency` must be at most {_TRIALS_PER_CORE * cores} here, {_TRIALS_PER_CORE} a core, "
            f"got {spec.concurrency}"
        )


def resume(directory: str | Path, *, quiet: bool = True, **changes: Any) -> Results:
    """Go on with the sweep in ``directory``; ``changes`` are fields of its spec (a higher ``points``, resources).

    Raises
    ------
    SpecError
        No sweep there, another driver is at it, or a change that is not allowed.

    """
    path = Path(directory)
    old = SweepSpec.read(path / SPEC_FILE)
    spec = replace(old, **changes)
    if spec.points < old.points:
        raise SpecError(f"`points` must be at least {old.points}, the budget of this sweep, got {spec.points}")
    images = sweep_images(spec)
    _check_local(spec)
    try:
        Store(spec.storage or path).create()
        if spec != old:
            _write(path / SPEC_FILE, spec.save)
    except OSError as error:
        raise SpecError(f"{str(path)!r} cannot be written: {error}") from None
    return _run(spec, path, images, quiet)


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


def check_memory(spec: SweepSpec, images: "Images") -> None:
    """Refuse what can only end in the kernel's out-of-memory killer (on this machine; a cluster is not judged)."""
    if spec.address:
        return
    from probes.measure import peak_bytes

    needed = peak_bytes(probe_settings(spec), images, spec.depth[1])
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > there:
        raise SpecError(
            f"`width` {spec.width or images.pixels} with `depth` up to {spec.depth[1]} takes {needed / 2**30:.0f} GiB; "
            f"this machine has {there / 2**30:.0f} GiB"
        )


@dataclass
class _Resources:
    """What the cluster grants: trials at once, and what each takes."""

    concurrency: int
    cpus: float
    gpus: float


def _run(spec: SweepSpec, path: Path, images: "Images", quiet: bool) -> Results:
    with locked(path):
        store = Store(spec.storage or path)
        rows = store.read(["status", "margin", "margin_censored"]).to_pylist()
        study = SweepStudy(spec, path, rows)
        total = study.budget * spec.replicas
        with Progress(spec, total, rows, store, quiet=quiet) as progress:
            if len({tuple(r[k] for k in ("sigma_w", "sigma_b", "depth", "seed")) for r in rows}) < total:
                _tune(spec, path, images, store, study, progress)
    return load(path)


def _tune(spec: SweepSpec, path: Path, images: "Images", store: Store, study: SweepStudy, progress: Progress) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # every row is in a part file already
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # Ctrl-C stops at once; what was measured is stored
    os.environ["TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S"] = "0"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    progress.note("starting Ray")
    # Tune's own state is never read again: it lags behind the part files.
    shutil.rmtree(path / TUNE_FOLDER, ignore_errors=True)
    import ray
    from ray import tune

    logging.getLogger("ray").setLevel(logging.ERROR)
    for name in ("ray.tune", "ray.train", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    resources = _start_ray(spec, images)
    try:
        with _terminated_is_interrupted():
            from .searcher import PackSearcher, Watch
            from .trainable import PackTrainable

            counted = replace(
                spec,
                images=max(16, min(spec.images, len(images.train))),
                train_images=max(16, min(spec.train_images, len(images.train))),
            )
            pack = spec.pack or suggested_pack(counted, images.pixels, resources.concurrency)

            def record(new: list[dict[str, Any]]) -> None:
                store.write(new)
                progress.measured(new)

            searcher = PackSearcher(study, pack, record, _failed_rows)
            progress.watch(searcher, resources.concurrency, pack)
            threads = max(1, math.floor(resources.cpus))
            device = "cuda" if resources.gpus else "cpu"
            trainable = tune.with_resources(
                tune.with_parameters(
                    PackTrainable, images=images, settings=probe_settings(spec), threads=threads, device=device
                ),
                {"CPU": resources.cpus, "GPU": resources.gpus},
            )
            tuner = tune.Tuner(
                trainable,
                tune_config=tune.TuneConfig(
                    search_alg=searcher,
                    num_samples=max(1, study.budget) * spec.replicas,
                    max_concurrent_trials=resources.concurrency,
                    reuse_actors=True,
                    trial_dirname_creator=lambda trial: f"trial_{trial.trial_id}",
                    trial_name_creator=lambda trial: f"trial_{trial.trial_id}",
                ),
                run_config=tune.RunConfig(
                    name=TUNE_FOLDER,
                    storage_path=str(path.absolute()),
                    verbose=0,
                    callbacks=[Watch(searcher, progress.refresh)],
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                    failure_config=tune.FailureConfig(max_failures=1),
                ),
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tuner.fit()
    finally:
        ray.shutdown()
        shutil.rmtree(path / TUNE_FOLDER, ignore_errors=True)


def _start_ray(spec: SweepSpec, images: "Images") -> _Resources:
    import ray

    common: dict[str, Any] = {
        "include_dashboard": False,
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "configure_logging": True,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if spec.address in (None, "local"):
            cores = len(os.sched_getaffinity(0))
            bytes_of_images = sum(t.numel() * t.element_size() for t in (images.train, images.test))
            ray.init(
                address="local",
                num_cpus=max(cores, math.ceil((spec.concurrency or 1) * spec.cpus_per_trial)),
                object_store_memory=_OBJECT_STORE_BYTES + 2 * bytes_of_images,
                **common,
            )
        else:
            _check_reachable(spec.address)
            try:
                ray.init(address=spec.address, log_to_driver=False, logging_level=logging.ERROR)
            except Exception as error:
                reason = " ".join(str(error).split())
                raise SpecError(f"`address` {spec.address!r} cannot be joined: {reason[:300]}") from None
    there = ray.cluster_resources()
    cpus, gpus = there.get("CPU", 0.0), there.get("GPU", 0.0)
    share = spec.gpus_per_trial
    if share is None:
        share = min(1.0, gpus / max(1.0, cpus / spec.cpus_per_trial)) if gpus else 0.0
        if 0 < share < 1:
            share = 1 / math.floor(1 / share)  # whole trials to a device
    if spec.cpus_per_trial > cpus:
        ray.shutdown()
        raise SpecError(f"`cpus_per_trial` must be at most {cpus:g}, what Ray has, got {spec.cpus_per_trial:g}")
    if share > gpus:
        ray.shutdown()
        raise SpecError(f"`gpus_per_trial` must be at most {gpus:g}, what Ray has, got {share:g}")
    fit = math.floor(cpus / spec.cpus_per_trial + 1e-9)
    if share:
        fit = min(fit, math.floor(gpus / share + 1e-9))
    wanted = grid_size(spec) if spec.search == "grid" else spec.points
    concurrency = spec.concurrency or max(1, min(fit, wanted * spec.replicas))
    return _Resources(concurrency, spec.cpus_per_trial, share)


def _check_reachable(address: str) -> None:
    """Refuse an address where nobody listens: Ray itself would go on trying for many minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return  # `auto`, or for Ray to judge
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise SpecError(f"`address` {address!r} cannot be joined: {error}") from None


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
