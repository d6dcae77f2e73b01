"""Ray and Tune as a sweep uses them: started, configured, given the searcher, shut down."""

import logging
import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.execution.capacity import Capacity
from sweep.execution.cluster import on_ray
from sweep.execution.ray_patches import aws_keys_stay_here, starting_workers_are_kept
from sweep.measuring.settings import probe_settings
from sweep.monitor.progress import Progress
from sweep.processes import terminated_is_interrupted
from sweep.search.study import SweepStudy
from sweep.spec.spec import SweepSpec
from sweep.storage.store import Store
from sweep.trackers.trackers import Trackers

if TYPE_CHECKING:
    from ray import tune

    from probes import Images
    from sweep.execution.searcher import PackSearcher
    from sweep.execution.trainable import MakeProber

TUNE_ENVIRONMENT = {
    "TUNE_MAX_PENDING_TRIALS_PG": "10000",  # the searcher says how many
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # a state that nobody reads
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # every row is in a part file already
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C stops at once; what was measured is stored
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}


@dataclass
class Sweep:
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


@contextmanager
def tune_on_ray(sweep: Sweep) -> Iterator[tuple[Capacity, Callable[["PackSearcher"], Any]]]:
    """Start Ray; give what it can take, and a function that lets Tune run all that a searcher suggests.

    Nothing else of a sweep needs Ray: tests put `tests.helpers.fake_tune` in its place.
    """
    os.environ.update(TUNE_ENVIRONMENT)
    sweep.progress.note("starting Ray")
    for name in ("ray.tune", "ray.train", "ray.data"):
        logging.getLogger(name).setLevel(logging.INFO if sweep.verbose else logging.CRITICAL)
    # Tune's own state is never read again, and must not be in the way where the sweep's disk is full or far away.
    folder = Path(tempfile.mkdtemp(prefix="sweep-"))
    try:
        with on_ray(sweep.spec, sweep.images, sweep.verbose) as capacity:
            from sweep.execution.calibrate import share_gpus

            with terminated_is_interrupted(), starting_workers_are_kept(), aws_keys_stay_here(), _no_warnings(sweep):
                share_gpus(sweep.spec, sweep.images, sweep.make, capacity, sweep.progress.note)
                yield capacity, lambda searcher: _make_tuner(sweep, capacity, searcher, folder).fit()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _no_warnings(sweep: Sweep) -> Iterator[None]:
    with warnings.catch_warnings():
        if not sweep.verbose:
            warnings.simplefilter("ignore")
        yield


def trainable_parameters(sweep: Sweep, capacity: Capacity) -> dict[str, Any]:
    """Return what `PackTrainable.setup` gets beside the configuration of a trial."""
    from sweep.execution.trainable import make_prober

    return {
        "images": sweep.images,
        "settings": probe_settings(sweep.spec),
        "make": sweep.make or make_prober,
        "threads": max(1, math.floor(capacity.cpus)),
        "gpus": capacity.gpus,
        "storage": sweep.spec.storage or str(sweep.path.absolute()),
    }


def callbacks(sweep: Sweep, searcher: "PackSearcher") -> list[Any]:
    """Return Tune's callbacks: ours and the user's."""
    from sweep.execution.callbacks import LiveEpochs, SearcherCallback

    live = [LiveEpochs(sweep.trackers)] if sweep.trackers and sweep.spec.train != "none" else []
    return [SearcherCallback(searcher), *sweep.callbacks, *live]


def _make_tuner(sweep: Sweep, capacity: Capacity, searcher: "PackSearcher", folder: Path) -> "tune.Tuner":
    from ray import tune

    from sweep.execution.trainable import PackTrainable

    trainable = tune.with_parameters(PackTrainable, **trainable_parameters(sweep, capacity))
    return tune.Tuner(
        tune.with_resources(trainable, lambda config: tune.PlacementGroupFactory([capacity.resources(config["kind"])])),
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
            callbacks=callbacks(sweep, searcher),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            failure_config=tune.FailureConfig(max_failures=0),  # the searcher tries again
        ),
    )


def _trial_name(trial: Any) -> str:
    return f"trial_{trial.trial_id}"
