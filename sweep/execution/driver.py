"""The driver of a sweep: it reads what has been measured, and has the missing points measured, stored and shown."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.execution.cost import cost_of_depth, cost_of_point, guessed_speeds, typical_extra
from sweep.execution.deadline import Deadline, time_left
from sweep.execution.packing import Packer, fitting_pack
from sweep.execution.recorder import Recorder
from sweep.execution.tuner import Sweep, tune_on_ray
from sweep.monitor.progress import Progress
from sweep.monitor.tally import NEEDED
from sweep.processes import terminated_is_interrupted
from sweep.search.planner import Planner
from sweep.search.study import SweepStudy
from sweep.spec.design import within
from sweep.spec.parts import Storage
from sweep.spec.rows import point_of
from sweep.spec.spec import SweepSpec
from sweep.storage.checkpoints import Checkpoints
from sweep.storage.store import Store
from sweep.text import one_line
from sweep.trackers.trackers import COLUMNS_LOGGED, Trackers

if TYPE_CHECKING:
    from probes import Images, ProbeSettings
    from sweep.execution.trainable import MakeProber

_POINTS_PER_UPDATE = 16  # proposed per update of the model; of more, the last would soon be out of date
_REFRESH_INTERVAL_S = 0.5
_CLOSE_TIMEOUT_S = 5.0  # for storing the last results after an interruption


def measure(
    spec: SweepSpec,
    path: Path,
    settings: "ProbeSettings",
    images: "Images",
    quiet: bool,
    callbacks: Sequence[Any] = (),
    make: "MakeProber | None" = None,
    retry_failed: bool = False,
    log: Sequence[str] = (),
    verbose: bool = False,
    locations: Sequence[str] = (),
) -> None:
    """Measure the missing points of the sweep in ``path``, whose locks the caller holds.

    Parameters
    ----------
    spec:
        The specification of the sweep.
    path:
        The sweep's folder on this disk.
    settings, images:
        How points are measured, and the data set.
    quiet:
        Do not show the progress.
    callbacks:
        The user's callbacks for Tune.
    make:
        Makes the probers; None for those that run the probes.
    retry_failed:
        Measure points again that failed in earlier runs.
    log:
        Names of trackers, which get every point that they have not logged yet.
    verbose:
        Show the output of Tune and Ray.
    locations:
        Locations where the driver writes signs of life, for ``sweep status``.

    Raises
    ------
    KeyboardInterrupt
        The sweep was interrupted, or its time limit was reached. What had been measured is stored.
    """
    store = Store(spec.storage or path, spec.digest, spec.further_names)
    rows = store.read([*NEEDED, *(COLUMNS_LOGGED if log else ())]).rows.to_pylist()
    rows = [r for r in rows if within(spec, r)]  # not those of parts that somebody copied in from another sweep
    failed = [r for r in rows if r["status"] == "failed"] if retry_failed else []
    if failed:
        rows = [r for r in rows if r["status"] != "failed"]
    batch, cost = spec.pack or _POINTS_PER_UPDATE, cost_of_depth(settings.at(typical_extra(spec, settings)), images)
    study = SweepStudy(spec, path, rows, cost=cost, batch=batch, failed_rows=failed)
    total = study.budget * spec.replicas
    with Trackers(log, path, _sweep_name(spec, path), spec.lr, spec.further_names) as trackers:
        trackers.log_rows(rows)
        with Progress(spec, total, rows, locations=locations, quiet=quiet, plain=verbose) as progress:
            if len(rows) < total and not study.stopped:
                with terminated_is_interrupted():  # restores the handler of SIGTERM, which Ray replaces for good
                    run_trials(
                        Sweep(spec, path, settings, images, store, study, progress, callbacks, make, trackers, verbose)
                    )
            _merge_parts(store, progress)
    # A driver that was killed after its last row leaves checkpoints behind.
    Checkpoints(spec.storage or path).clear()


def _merge_parts(store: Store, progress: Progress) -> None:
    """Merge small part files into large ones, which are read faster; a failure is only logged."""
    try:
        store.compact(lambda: progress.note("merging the small files of results"))
    except Exception as error:
        logging.getLogger(__name__).warning(
            "small files of results were not merged, which does no harm: %s", one_line(error)
        )


def _sweep_name(spec: Storage, path: Path) -> str:
    """Return the name of a sweep for trackers: that of its folder or bucket path."""
    return (spec.storage or str(path.absolute())).rstrip("/").rpartition("/")[2]


def run_trials(sweep: Sweep) -> None:
    """Run trials until the search has no more points to be measured.

    Raises
    ------
    KeyboardInterrupt
        The time limit of the sweep was reached, or the sweep was interrupted.
    """
    spec, progress = sweep.spec, sweep.progress
    checkpoints = Checkpoints(spec.storage or sweep.path)

    def stored(rows: Sequence[dict[str, Any]]) -> None:
        if spec.train != "none":
            checkpoints.forget(point_of(r, spec.further_names) for r in rows)
        progress.measured(rows)
        sweep.trackers.log_rows(rows)

    deadline = Deadline(time_left(spec))
    with tune_on_ray(sweep) as (capacity, fit):
        from sweep.execution.searcher import PackSearcher

        max_points = fitting_pack(spec, sweep.settings, sweep.images, capacity)
        cost = cost_of_point(sweep.settings, sweep.images)
        packer = Packer(spec, cost, guessed_speeds(capacity), max_points)
        progress.start(capacity.slots, packer.max_size(capacity.slots))
        recorder = Recorder(sweep.store, stored)
        planner = Planner(sweep.study, lambda: packer.max_size(capacity.slots), lambda: capacity.slots)
        searcher = PackSearcher(planner, packer, capacity, recorder, spec.retries, deadline, progress.refresh)
        try:
            with deadline.enforced():
                fit(searcher)
            while not recorder.flush(_REFRESH_INTERVAL_S):
                searcher.refresh()
        finally:
            planner.close()
            if unstored := recorder.close(_CLOSE_TIMEOUT_S):
                message = "measured points could not be stored; `sweep resume` measures them again"
                progress.say(f"{unstored} {message}: {recorder.trouble}")
    if deadline.reached:
        raise KeyboardInterrupt("the time limit of the sweep is reached")
