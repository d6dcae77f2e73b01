"""The use of Ray and Tune by a sweep: starting, configuring and running them, and shutting them down."""

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
from sweep.execution.cluster import connected_ray
from sweep.execution.ray_patches import hide_aws_keys, keep_running, keep_starting_workers, pickled_by_value
from sweep.measuring.own_code import own_modules
from sweep.monitor.progress import Progress
from sweep.processes import terminated_is_interrupted
from sweep.search.study import SweepStudy
from sweep.spec.spec import SweepSpec
from sweep.storage.store import Store
from sweep.trackers.trackers import Trackers

if TYPE_CHECKING:
    from ray import tune

    from probes import Images, ProbeSettings
    from sweep.execution.searcher import PackSearcher
    from sweep.execution.trainable import MakeProber

TUNE_ENVIRONMENT = {
    "TUNE_MAX_PENDING_TRIALS_PG": "10000",  # no limit: the searcher decides how many trials there are
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # never: Tune's state is not read again
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # every row is in a part file already
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C stops at once; what was measured is stored
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}


@dataclass
class Sweep:
    """The parts of a sweep that its trials are run with."""

    spec: SweepSpec
    path: Path
    settings: "ProbeSettings"
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
    """Provide Ray within a ``with`` block; yield its capacity and a function that runs a searcher's trials with Tune.

    Nothing else in a sweep needs Ray: tests put `tests.helpers.fake_tune` in the place of this function.

    Raises
    ------
    SpecError
        As for `connected_ray`; or keys of AWS are in the environment, and this version of Ray may show them: see
        `hide_aws_keys`.
    """
    os.environ.update(TUNE_ENVIRONMENT)
    sweep.progress.note("starting Ray")
    for name in ("ray.tune", "ray.train", "ray.data"):
        logging.getLogger(name).setLevel(logging.INFO if sweep.verbose else logging.CRITICAL)
    # Tune's own state is never read again: a temporary folder keeps it off the sweep's disk, which may be full or slow.
    folder = Path(tempfile.mkdtemp(prefix="sweep-"))
    try:
        with connected_ray(sweep.spec, sweep.images, sweep.verbose) as capacity:
            from sweep.execution.calibrate import share_gpus

            network = sweep.settings.network

            with (
                terminated_is_interrupted(),
                keep_running(),
                keep_starting_workers(),
                hide_aws_keys(),
                _no_warnings(sweep),
                pickled_by_value(own_modules(network.function).values() if network else ()),
            ):
                share_gpus(sweep.spec, sweep.settings, sweep.images, sweep.make, capacity, sweep.progress.note)
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
    """Return the arguments of `PackTrainable.setup` that are the same for all trials."""
    from sweep.execution.trainable import make_prober

    return {
        "images": sweep.images,
        "settings": sweep.settings,
        "make": sweep.make or make_prober,
        "threads": max(1, math.floor(capacity.cpus)),
        "gpus": capacity.gpus,
        "storage": sweep.spec.storage or str(sweep.path.absolute()),
    }


def callbacks(sweep: Sweep, searcher: "PackSearcher") -> list[Any]:
    """Return the callbacks for Tune: those of this package and the user's."""
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
            num_samples=-1,  # no limit: the searcher decides when trials start and when there are no more
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
            failure_config=tune.FailureConfig(max_failures=0),  # the searcher retries points, not Tune
        ),
    )


def _trial_name(trial: Any) -> str:
    return f"trial_{trial.trial_id}"
