"""Drive a sweep: Ray, the Tuner, what is suggested, what is stored."""

import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.execution.capacity import Capacity
from sweep.execution.cluster import start_ray
from sweep.execution.cost import cost_of_depth, cost_of_point, guessed_speeds
from sweep.execution.packing import Packer, fitting_pack
from sweep.execution.ray_patches import aws_keys_stay_here, starting_workers_are_kept
from sweep.execution.recorder import Recorder
from sweep.execution.tuner import TUNE_ENVIRONMENT, Sweep, make_tuner
from sweep.monitor.progress import Progress
from sweep.monitor.tally import NEEDED
from sweep.processes import terminated_is_interrupted
from sweep.search.planner import Planner
from sweep.search.study import SweepStudy
from sweep.spec.rows import point_of, row
from sweep.spec.spec import SweepSpec
from sweep.storage.checkpoints import Checkpoints
from sweep.storage.store import Store
from sweep.text import one_line
from sweep.trackers.trackers import COLUMNS_LOGGED, Trackers

if TYPE_CHECKING:
    from probes import Images, Point
    from sweep.execution.trainable import MakeProber

__all__ = ["measure"]

_THOUGHT_OF_AT_ONCE = 16  # points; more are soon out of date
_REDRAW = 0.5  # seconds
_LONG = 600.0  # seconds that a sweep takes, by a guess
_LAST_WORDS = 5.0  # seconds that the storage has left to take what was measured, after an interruption


def measure(
    spec: SweepSpec,
    path: Path,
    images: "Images",
    quiet: bool,
    callbacks: Sequence[Any] = (),
    make: "MakeProber | None" = None,
    retry_failed: bool = False,
    log: Sequence[str] = (),
    verbose: bool = False,
    places: Sequence[str] = (),
) -> None:
    """Measure what is missing of the sweep in ``path``, whose lock is held.

    ``make`` makes what measures points, in place of the probes; ``retry_failed`` counts points that failed as missing;
    ``log`` names trackers, which are told of every point that they have not logged yet; ``verbose`` lets Tune and Ray
    say what they have to say; ``places`` are where others look for signs of life.
    """
    store = Store(spec.storage or path, spec.digest)
    rows = store.read([*NEEDED, *(COLUMNS_LOGGED if log else ())]).rows.to_pylist()
    if retry_failed:
        rows = [r for r in rows if r["status"] != "failed"]
    study = SweepStudy(spec, path, rows, cost=cost_of_depth(spec, images), batch=spec.pack or _THOUGHT_OF_AT_ONCE)
    total = study.budget * spec.replicas
    with Trackers(log, path, _name(spec, path), spec.lr) as trackers:
        trackers.stored(rows)
        with Progress(spec, total, rows, places=places, quiet=quiet, plain=verbose) as progress:
            if len(rows) < total and not study.stopped:
                with terminated_is_interrupted():  # Ray takes the signal for itself, and leaves it so
                    _tune(Sweep(spec, path, images, store, study, progress, callbacks, make, trackers, verbose))
            _put_together(store, progress)
    # Also what a driver left that was killed after its last row.
    Checkpoints(spec.storage or path).clear()


def _put_together(store: Store, progress: Progress) -> None:
    """For quicker reading: nothing depends on it."""
    try:
        store.put_together(lambda: progress.note("putting the results together"))
    except Exception as error:
        logging.getLogger(__name__).warning("the results are not put together: %s", one_line(error))


def _name(spec: SweepSpec, path: Path) -> str:
    """What trackers call a sweep."""
    return (spec.storage or str(path.absolute())).rstrip("/").rpartition("/")[2]


def _tune(sweep: Sweep) -> None:
    """Start Ray, and let Tune run trials until nothing is missing."""
    os.environ.update(TUNE_ENVIRONMENT)
    sweep.progress.note("starting Ray")
    for name in ("ray.tune", "ray.train", "ray.data"):
        logging.getLogger(name).setLevel(logging.INFO if sweep.verbose else logging.CRITICAL)
    capacity = start_ray(sweep.spec, sweep.images, sweep.verbose)
    import ray

    # Tune's own state is never read again, and must not be in the way where the sweep's disk is full or far away.
    folder = Path(tempfile.mkdtemp(prefix="sweep-"))
    try:
        with terminated_is_interrupted(), starting_workers_are_kept(), aws_keys_stay_here(), warnings.catch_warnings():
            if not sweep.verbose:
                warnings.simplefilter("ignore")
            _fit(sweep, capacity, folder)
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def _is_long(sweep: Sweep, capacity: Capacity) -> bool:
    """Whether a minute of calibration is worth it."""
    cost = cost_of_point(sweep.spec, sweep.images)(sum(sweep.spec.depth) // 2)
    points = sweep.study.budget * sweep.spec.replicas
    return points * cost / guessed_speeds(capacity)["gpu"] / capacity.slots > _LONG


def _fit(sweep: Sweep, capacity: Capacity, folder: Path) -> None:
    from ray.exceptions import RayError

    from sweep.execution.calibrate import trials_to_a_gpu
    from sweep.execution.searcher import PackSearcher
    from sweep.execution.trainable import make_prober

    spec, progress = sweep.spec, sweep.progress
    if spec.gpus_per_trial is None and capacity.sharing > 1 and _is_long(sweep, capacity):
        progress.note("measuring how many trials should share a GPU")
        with suppress(RayError):  # no reason to end a sweep: as many as there are cores for, then
            capacity.share(trials_to_a_gpu(spec, sweep.images, sweep.make or make_prober, capacity.sharing))
    packer = Packer(
        spec, cost_of_point(spec, sweep.images), guessed_speeds(capacity), fitting_pack(spec, sweep.images, capacity)
    )
    checkpoints = Checkpoints(spec.storage or sweep.path)

    def stored(rows: Sequence[dict[str, Any]]) -> None:
        if spec.train != "none":
            checkpoints.forget(point_of(r) for r in rows)
        progress.measured(rows)
        sweep.trackers.stored(rows)

    progress.start(capacity.slots, packer.size(capacity.slots))
    recorder = Recorder(sweep.store, stored)
    planner = Planner(sweep.study, lambda: packer.size(capacity.slots), lambda: capacity.slots)
    searcher = PackSearcher(planner, packer, capacity, recorder, spec.retries, _failed_rows, progress.refresh)
    try:
        make_tuner(sweep, capacity, searcher, folder).fit()
        while not recorder.flush(_REDRAW):
            searcher.refresh()
    finally:
        planner.close()
        if lost := recorder.close(_LAST_WORDS):
            progress.say(f"{lost} measured points could not be stored and will be measured again: {recorder.trouble}")


def _failed_rows(points: "list[Point]", error: str) -> list[dict[str, Any]]:
    from probes.point import Measurement

    text = " ".join(error.split())
    if len(text) > 500:  # a dead process is named at the beginning, an exception at the end
        text = f"{text[:250]} ... {text[-250:]}"
    extra = {"pack": len(points), "device": "", "hostname": ""}
    return [row(Measurement(p, "failed", text), **extra) for p in points]
