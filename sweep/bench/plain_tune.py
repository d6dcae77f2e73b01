"""The plain program that sweeps are compared with: a `tune.Tuner` with a function as trainable, one point per trial."""

import tempfile
import warnings
from collections.abc import Callable
from typing import Any

from ray import tune

from probes import Images
from sweep.bench.figure import timed
from sweep.execution.cluster import connected_ray
from sweep.spec.experiment import Workload


def seconds_of_trials(
    images: Images,
    trial: Callable[..., None],
    space: dict[str, Any],
    search: tune.TuneConfig | None = None,
    /,
    **parameters: Any,
) -> float:
    """Return the seconds that Tune takes for trials of one core each; starting Ray does not count.

    Parameters
    ----------
    images:
        The data set for which Ray is started.
    trial:
        The trainable.
    space:
        Tune's search space.
    search:
        Tune's search; if None, Tune's default.
    **parameters:
        Further arguments of ``trial``, passed to it through Ray's object store.
    """
    with connected_ray(Workload(), images), tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(trial, **parameters) if parameters else trial, {"cpu": 1}),
            param_space=space,
            tune_config=search,
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        return timed(tuner.fit, "cpu")
