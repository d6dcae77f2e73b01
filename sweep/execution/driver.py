"""Drive a sweep: what was measured is read, what is missing is suggested, measured, stored and shown."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.execution.cost import cost_of_depth, cost_of_point, guessed_speeds
from sweep.execution.deadline import Deadline, time_left
from sweep.execution.packing import Packer, fitting_pack
from sweep.execution.recorder import Recorder
from sweep.execution.tuner import Sweep, tune_on_ray
from sweep.monitor.progress import Progress
from sweep.monitor.tally import NEEDED
from sweep.processes import terminated_is_interrupted
from sweep.search.planner import Planner
from sweep.search.study import SweepStudy
from sweep.spec.parts import Storage
from sweep.spec.rows import point_of
from sweep.spec.spec import SweepSpec
from sweep.storage.checkpoints import Checkpoints
from sweep.storage.store import Store
from sweep.text import one_line
from sweep.trackers.trackers import COLUMNS_LOGGED, Trackers

if TYPE_CHECKING:
    from probes import Images
    from sweep.execution.trainable import MakeProber

_THOUGHT_OF_AT_ONCE = 16  # points; more are soon out of date
_REDRAW = 0.5  # seconds
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
    locations: Sequence[str] = (),
) -> None:
    """Measure what is missing of the sweep in ``path``, whose lock is held.

    ``make`` makes what measures points, in place of the probes; ``retry_failed`` measures points that failed once more;
    ``log`` names trackers, which are told of every point that they have not logged yet; ``verbose`` lets Tune and Ray
    say what they have to say; ``locations`` are where others look for signs of life.
    """
    store = Store(spec.storage or path, spec.digest)
    rows = store.read([*NEEDED, *(COLUMNS_LOGGED if log else ())]).rows.to_pylist()
    again = [r for r in rows if r["status"] == "failed"] if retry_failed else []
    if again:
        rows = [r for r in rows if r["status"] != "failed"]
    batch = spec.pack or _THOUGHT_OF_AT_ONCE
    study = SweepStudy(spec, path, rows, cost=cost_of_depth(spec, images), batch=batch, again=again)
    total = study.budget * spec.replicas
    with Trackers(log, path, _name(spec, path), spec.lr) as trackers:
        trackers.stored(rows)
        with Progress(spec, total, rows, locations=locations, quiet=quiet, plain=verbose) as progress:
            if len(rows) < total and not study.stopped:
                with terminated_is_interrupted():  # Ray takes the signal for itself, and leaves it so
                    run_trials(Sweep(spec, path, images, store, study, progress, callbacks, make, trackers, verbose))
            _put_together(store, progress)
    # Also what a driver left that was killed after its last row.
    Checkpoints(spec.storage or path).clear()


def _put_together(store: Store, progress: Progress) -> None:
    """Put the parts together for quicker reading; nothing depends on it."""
    try:
        store.put_together(lambda: progress.note("putting the results together"))
    except Exception as error:
        logging.getLogger(__name__).warning("the results are not put together: %s", one_line(error))


def _name(spec: Storage, path: Path) -> str:
    """Return what trackers call a sweep."""
    return (spec.storage or str(path.absolute())).rstrip("/").rpartition("/")[2]


def run_trials(sweep: Sweep) -> None:
    """Run trials until nothing of a sweep is missing."""
    spec, progress = sweep.spec, sweep.progress
    checkpoints = Checkpoints(spec.storage or sweep.path)

    def stored(rows: Sequence[dict[str, Any]]) -> None:
        if spec.train != "none":
            checkpoints.forget(point_of(r) for r in rows)
        progress.measured(rows)
        sweep.trackers.stored(rows)

    deadline = Deadline(time_left(spec))
    with tune_on_ray(sweep) as (capacity, fit):
        from sweep.execution.searcher import PackSearcher

        most = fitting_pack(spec, sweep.images, capacity)
        packer = Packer(spec, cost_of_point(spec, sweep.images), guessed_speeds(capacity), most)
        progress.start(capacity.slots, packer.size(capacity.slots))
        recorder = Recorder(sweep.store, stored)
        planner = Planner(sweep.study, lambda: packer.size(capacity.slots), lambda: capacity.slots)
        searcher = PackSearcher(planner, packer, capacity, recorder, spec.retries, deadline, progress.refresh)
        try:
            with deadline.kept():
                fit(searcher)
            while not recorder.flush(_REDRAW):
                searcher.refresh()
        finally:
            planner.close()
            if lost := recorder.close(_LAST_WORDS):
                said = "measured points could not be stored and will be measured again"
                progress.say(f"{lost} {said}: {recorder.trouble}")
    if deadline.reached:
        raise KeyboardInterrupt("the time of the sweep is up")
