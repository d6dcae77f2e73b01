"""Drive a sweep: Ray, the Tuner, what is suggested, what is stored."""

import logging
import math
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .checkpoints import Checkpoints
from .frame import point_of, row
from .interrupt import terminated_is_interrupted
from .packing import Packer
from .planner import Planner
from .progress import NEEDED, Progress
from .recorder import Recorder
from .resources import Capacity, fitting_pack, start_ray
from .settings import probe_settings
from .spec import SweepSpec
from .store import Store, one_line
from .study import SweepStudy
from .trackers import COLUMNS_LOGGED, Trackers

if TYPE_CHECKING:
    from ray import tune

    from probes import Images, Point

    from .searcher import PackSearcher
    from .trainable import MakeProber

__all__ = ["TUNE_ENVIRONMENT", "cost_of_depth", "measure"]

_THOUGHT_OF_AT_ONCE = 16  # points; more are soon out of date
_REDRAW = 0.5  # seconds
_ROOM_IS_FOUND = 5.0  # seconds after which a node would have begun to start a worker, if there was room for it
_LONG = 600.0  # seconds that a sweep takes, by a guess
_LAST_WORDS = 5.0  # seconds that the storage has left to take what was measured, after an interruption
_CORE_FLOPS, _GPU_FLOPS = 100e9, 10e12  # a second, of well filled matrix products in float32
TUNE_ENVIRONMENT = {
    "TUNE_MAX_PENDING_TRIALS_PG": "10000",  # the searcher says how many
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # a state that nobody reads
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # every row is in a part file already
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C stops at once; what was measured is stored
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}


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
    rows = store.read([*NEEDED, *(COLUMNS_LOGGED if log else ())]).to_pylist()
    if retry_failed:
        rows = [r for r in rows if r["status"] != "failed"]
    study = SweepStudy(spec, path, rows, cost=cost_of_depth(spec, images), batch=spec.pack or _THOUGHT_OF_AT_ONCE)
    total = study.budget * spec.replicas
    with Trackers(log, path, _name(spec, path), spec.lr) as trackers:
        trackers.stored(rows)
        with Progress(spec, total, rows, places=places, quiet=quiet, plain=verbose) as progress:
            if len(rows) < total and not study.stopped:
                with terminated_is_interrupted():  # Ray takes the signal for itself, and leaves it so
                    _tune(_Sweep(spec, path, images, store, study, progress, callbacks, make, trackers, verbose))
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


@dataclass
class _Sweep:
    """What a sweep is driven with."""

    spec: SweepSpec
    path: Path
    images: "Images"
    store: Store
    study: SweepStudy
    progress: Progress
    callbacks: Sequence[Any]
    make: "MakeProber | None"
    trackers: Trackers
    verbose: bool


def _tune(sweep: _Sweep) -> None:
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
        with terminated_is_interrupted(), _workers_may_start(), _keys_stay_here(), warnings.catch_warnings():
            if not sweep.verbose:
                warnings.simplefilter("ignore")
            _fit(sweep, capacity, folder)
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def _is_long(sweep: _Sweep, capacity: Capacity) -> bool:
    """Whether a minute of calibration is worth it."""
    cost = _cost_of_point(sweep.spec, sweep.images)(sum(sweep.spec.depth) // 2)
    points = sweep.study.budget * sweep.spec.replicas
    return points * cost / _speeds(capacity)["gpu"] / capacity.slots > _LONG


def _fit(sweep: _Sweep, capacity: Capacity, folder: Path) -> None:
    from ray.exceptions import RayError

    from .calibrate import trials_to_a_gpu
    from .searcher import PackSearcher
    from .trainable import make_prober

    spec, progress = sweep.spec, sweep.progress
    if spec.gpus_per_trial is None and capacity.sharing > 1 and _is_long(sweep, capacity):
        progress.note("measuring how many trials should share a GPU")
        with suppress(RayError):  # no reason to end a sweep: as many as there are cores for, then
            capacity.share(trials_to_a_gpu(spec, sweep.images, sweep.make or make_prober, capacity.sharing))
    packer = Packer(
        spec, _cost_of_point(spec, sweep.images), _speeds(capacity), fitting_pack(spec, sweep.images, capacity)
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
        _tuner(sweep, capacity, searcher, folder).fit()
        while not recorder.flush(_REDRAW):
            searcher.refresh()
    finally:
        planner.close()
        if lost := recorder.close(_LAST_WORDS):
            progress.say(f"{lost} measured points could not be stored and will be measured again: {recorder.trouble}")


def cost_of_depth(spec: SweepSpec, images: "Images") -> Callable[[int], float]:
    """What a probe of a depth costs, in floating point operations."""
    from probes.cost import cost

    settings = probe_settings(spec)
    return lambda depth: cost(settings, images, depth).probes


def _cost_of_point(spec: SweepSpec, images: "Images") -> Callable[[int], float]:
    """Roughly, floating point operations of a point of a depth, with its training."""
    from probes.cost import cost

    settings = probe_settings(spec)
    epochs = 0 if spec.train == "none" else len(spec.lr) * settings.training.rounds(images)

    @cache
    def of_depth(depth: int) -> float:
        found = cost(settings, images, depth)
        return found.probes + epochs * found.epoch

    return of_depth


def _speeds(capacity: Capacity) -> dict[str, float]:
    """A guess of what a trial of each kind does in a second, until it has been measured."""
    return {k: _GPU_FLOPS * min(1.0, capacity.gpus) if k == "gpu" else _CORE_FLOPS for k in capacity.kinds}


def _tuner(sweep: _Sweep, capacity: Capacity, searcher: "PackSearcher", folder: Path) -> "tune.Tuner":
    from ray import tune

    from .searcher import LiveEpochs, Watch
    from .trainable import PackTrainable, make_prober

    spec = sweep.spec
    trainable = tune.with_parameters(
        PackTrainable,
        images=sweep.images,
        settings=probe_settings(spec),
        make=sweep.make or make_prober,
        threads=max(1, math.floor(capacity.cpus)),
        gpus=capacity.gpus,
        storage=spec.storage or str(sweep.path.absolute()),
    )
    return tune.Tuner(
        tune.with_resources(trainable, lambda config: tune.PlacementGroupFactory([capacity.request(config["kind"])])),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=-1,  # the searcher says when there are no more, and when there is room for one
            reuse_actors=True,
            trial_dirname_creator=_trial_name,
            trial_name_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(folder),
            verbose=2 if sweep.verbose else 0,
            callbacks=[
                *(Watch(searcher), *sweep.callbacks),
                *([LiveEpochs(sweep.trackers)] if sweep.trackers and spec.train != "none" else []),
            ],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            failure_config=tune.FailureConfig(max_failures=0),  # the searcher tries again
        ),
    )


def _trial_name(trial: Any) -> str:
    return f"trial_{trial.trial_id}"


@contextmanager
def _workers_may_start() -> Iterator[None]:
    """Let no worker be killed before it has begun.

    Tune gives a worker that has become free to the trial that waits longest, and if another one is just being started
    for that trial, kills it. Where packs take less time than the start of a process, the other nodes of a cluster would
    never get to work. The free worker is for the next trial; but a trial that nobody has room for may have it.
    """
    from ray.tune.execution.tune_controller import TuneController

    reuse, waiting = getattr(TuneController, "_maybe_reuse_cached_actor", None), dict[str, float]()
    if reuse is None:  # another version of Ray
        yield
        return

    def reuse_unless_starting(self: Any, trial: Any) -> bool:
        actor = self._trial_to_actor.get(trial)
        if actor and trial not in self._resetting_trials:
            since = waiting.setdefault(trial.trial_id, time.monotonic())
            if self._actor_manager.is_actor_started(actor) or time.monotonic() - since < _ROOM_IS_FOUND:
                return False
        return bool(reuse(self, trial))

    TuneController._maybe_reuse_cached_actor = reuse_unless_starting  # type: ignore[method-assign]
    try:
        yield
    finally:
        TuneController._maybe_reuse_cached_actor = reuse  # type: ignore[method-assign]


@contextmanager
def _keys_stay_here() -> Iterator[None]:
    """Let nobody read the keys of a storage in the list of processes.

    Tune hands those of AWS on in the command lines of its workers, which Ray logs, too. On this machine they have them
    from the environment anyway, on a cluster from that of their node.
    """
    from ray.tune.execution import class_cache

    handed_on: set[str] = getattr(class_cache, "ENV_VARS_TO_PROPAGATE", set())
    keys = {name for name in handed_on if name.startswith("AWS_")}
    handed_on -= keys
    try:
        yield
    finally:
        handed_on |= keys


def _failed_rows(points: "list[Point]", error: str) -> list[dict[str, Any]]:
    from probes.point import Measurement

    text = " ".join(error.split())
    if len(text) > 500:  # a dead process is named at the beginning, an exception at the end
        text = f"{text[:250]} ... {text[-250:]}"
    extra = {"pack": len(points), "device": "", "hostname": ""}
    return [row(Measurement(p, "failed", text), **extra) for p in points]
