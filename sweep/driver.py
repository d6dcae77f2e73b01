"""Drive a sweep: Ray, the Tuner, what is suggested, what is stored."""

import logging
import math
import os
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .checkpoints import Checkpoints
from .design import suggested_pack
from .frame import point_of, row
from .progress import Progress
from .resources import Resources, fitting_pack, start_ray
from .settings import probe_settings
from .spec import SweepSpec
from .store import Store
from .study import SweepStudy

if TYPE_CHECKING:
    from ray import tune

    from probes import Images, Point

    from .searcher import PackSearcher

__all__ = ["TUNE_ENVIRONMENT", "cost_of_depth", "measure"]

TUNE_FOLDER = ".tune"
_THOUGHT_OF_AT_ONCE = 16  # points; more are soon out of date
_CORE_FLOPS, _GPU_FLOPS = 100e9, 10e12  # a second, of well filled matrix products in float32
TUNE_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # every row is in a part file already
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C stops at once; what was measured is stored
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}


def measure(spec: SweepSpec, path: Path, images: "Images", quiet: bool, callbacks: Sequence[Any]) -> None:
    """Measure what is missing of the sweep in ``path``, whose lock is held."""
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
