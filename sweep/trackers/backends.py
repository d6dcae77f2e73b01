"""Callbacks that write runs: Ray's own for TensorBoard, ours for MLflow and W&B.

Each has the public methods of Ray's `LoggerCallback`: ``log_trial_start``, ``log_trial_result``, ``log_trial_end``.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep.trackers.ledger import Ledger

_PROJECT = "trainability-sweep"  # of W&B, if the environment names none


@dataclass(eq=False)
class TrackedRun:
    """The run of a point, with the attributes of a trial that Ray's callbacks use.

    Attributes
    ----------
    name:
        The name of the run.
    config:
        The run's parameters.
    local_path:
        The run's folder.
    seen:
        Learning rates and epochs that are logged.
    """

    name: str
    config: dict[str, Any]
    local_path: str
    seen: set[tuple[float, int]] = field(default_factory=set)

    @property
    def evaluated_params(self) -> dict[str, Any]:
        """The parameters that Ray's callback for TensorBoard writes as hyperparameters."""
        return self.config

    def init_local_path(self) -> None:
        """Make an empty folder; remove what a process that was killed has left of this point."""
        shutil.rmtree(self.local_path, ignore_errors=True)
        os.makedirs(self.local_path)

    def __str__(self) -> str:
        return self.name


def _tensorboard(folder: Path, sweep: str, ledger: Ledger) -> Any:
    from ray.tune.logger.tensorboardx import TBXLoggerCallback

    return TBXLoggerCallback()


class _MLflow:
    """A callback that makes an MLflow run of each point.

    Ray's own callback needs a transaction for each number, and cannot delete old runs.
    """

    def __init__(self, folder: Path, sweep: str, ledger: Ledger) -> None:
        # Give up a server that is away soon: the points can be logged by the next `sweep resume`.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        from mlflow import MlflowClient

        uri = os.environ.get("MLFLOW_TRACKING_URI")  # may be relative
        if not uri:
            uri = f"sqlite:///{folder}/mlflow.db"
            os.chdir(folder)  # artifacts go to the working directory
        self._client, self._ledger = MlflowClient(tracking_uri=uri), ledger
        self._experiment = self._find_experiment(sweep)
        self._runs: dict[TrackedRun, str] = {}

    def _find_experiment(self, sweep: str) -> str:
        """Return the id of the experiment: the environment's, or one with the sweep's name, made if necessary."""
        from mlflow.exceptions import MlflowException

        if experiment_id := os.environ.get("MLFLOW_EXPERIMENT_ID"):
            with contextlib.suppress(MlflowException):
                return str(self._client.get_experiment(experiment_id).experiment_id)
        experiment = self._client.get_experiment_by_name(sweep)
        return str(experiment.experiment_id if experiment else self._client.create_experiment(sweep))

    def log_trial_start(self, trial: TrackedRun) -> None:
        """Begin a run; delete earlier runs of the point, which failed or were interrupted."""
        query = f"tags.sweep = '{self._ledger.name}' and tags.trial_name = '{trial}'"
        for run in () if self._ledger.new else self._client.search_runs([self._experiment], query):
            self._client.delete_run(run.info.run_id)
        tags = {"sweep": self._ledger.name, "trial_name": str(trial)}
        self._runs[trial] = self._client.create_run(self._experiment, tags=tags, run_name=str(trial)).info.run_id

    def log_trial_result(self, iteration: int, trial: TrackedRun, result: dict[str, Any]) -> None:
        """Log the metrics in one request."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(name, float(value), now, iteration) for name, value in _flattened(result)]
        self._client.log_batch(self._runs[trial], metrics=metrics)

    def log_trial_end(self, trial: TrackedRun, failed: bool = False) -> None:
        """Log the run's parameters, and end it."""
        from mlflow.entities import Param

        run = self._runs.pop(trial)
        self._client.log_batch(run, params=[Param(name, str(value)) for name, value in trial.config.items()])
        self._client.set_terminated(run, "FAILED" if failed else "FINISHED")


def _flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings, each with its path as the name."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", value


class _Wandb:
    """A callback that makes a W&B run of each point.

    Ray's own callback starts two processes for each run.
    """

    def __init__(self, folder: Path, sweep: str, ledger: Ledger) -> None:
        import wandb

        self._wandb, self._sweep = wandb, sweep
        self._folder = folder.parent  # W&B makes its own folder ``wandb`` there
        self._settings = wandb.Settings(silent=True, console="off", disable_git=True, x_disable_stats=True)
        self._runs: dict[TrackedRun, Any] = {}

    def log_trial_start(self, trial: TrackedRun) -> None:
        """Begin a new run.

        An earlier run of the point, which was interrupted, stays as it is: to continue it would log epochs twice.
        """
        self._runs[trial] = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT") or _PROJECT,
            group=self._sweep,
            name=str(trial),
            id=os.urandom(8).hex(),
            config=dict(trial.config),
            dir=str(self._folder),
            resume="never",
            reinit="create_new",
            settings=self._settings,
        )

    def log_trial_result(self, iteration: int, trial: TrackedRun, result: dict[str, Any]) -> None:
        """Log the metrics to the run's history."""
        self._runs[trial].log(result)

    def log_trial_end(self, trial: TrackedRun, failed: bool = False) -> None:
        """Log the run's parameters, and end it."""
        run = self._runs.pop(trial)
        run.config.update(trial.config, allow_val_change=True)
        run.finish(exit_code=int(failed))


CALLBACKS = {"tensorboard": _tensorboard, "mlflow": _MLflow, "wandb": _Wandb}
