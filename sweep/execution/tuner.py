"""The Tuner of a sweep: Tune's configuration in one place."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.execution.capacity import Capacity
from sweep.measuring.settings import probe_settings
from sweep.monitor.progress import Progress
from sweep.search.study import SweepStudy
from sweep.spec.spec import SweepSpec
from sweep.storage.store import Store
from sweep.trackers.trackers import Trackers

if TYPE_CHECKING:
    from ray import tune

    from probes import Images
    from sweep.execution.searcher import PackSearcher
    from sweep.execution.trainable import MakeProber

__all__ = ["Sweep", "TUNE_ENVIRONMENT", "make_tuner"]

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


def make_tuner(sweep: Sweep, capacity: Capacity, searcher: "PackSearcher", folder: Path) -> "tune.Tuner":
    from ray import tune

    from sweep.execution.callbacks import LiveEpochs, Watch
    from sweep.execution.trainable import PackTrainable, make_prober

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
