"""How each tracker is told of runs: TensorBoard by Ray's callback, MLflow and W&B by their own clients.

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

_PROJECT = "trainability-sweep"  # of W&B, where the environment names none


@dataclass(eq=False)
class TrackedRun:
    """A point, as Ray's callbacks want to see a trial."""

    name: str
    config: dict[str, Any]
    local_path: str
    seen: set[tuple[float, int]] = field(default_factory=set)  # learning rates and epochs

    @property
    def evaluated_params(self) -> dict[str, Any]:
        """What Ray's callback of TensorBoard shows as hyperparameters."""
        return self.config

    def init_local_path(self) -> None:
        """Make the folder, empty: what a process that was killed has left of this point is of no use."""
        shutil.rmtree(self.local_path, ignore_errors=True)
        os.makedirs(self.local_path)

    def __str__(self) -> str:
        return self.name


def _tensorboard(folder: Path, sweep: str, ledger: Ledger) -> Any:
    from ray.tune.logger.tensorboardx import TBXLoggerCallback

    return TBXLoggerCallback()


class _MLflow:
    """A run of MLflow for each point.

    Ray's own callback has a transaction for each number, and can put nothing aside.
    """

    def __init__(self, folder: Path, sweep: str, ledger: Ledger) -> None:
        # A server that is away is soon given up: points are logged by the next `resume`, too.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        from mlflow import MlflowClient

        uri = os.environ.get("MLFLOW_TRACKING_URI")  # may be relative
        if not uri:
            uri = f"sqlite:///{folder}/mlflow.db"
            os.chdir(folder)  # where artifacts would go
        self._client, self._ledger = MlflowClient(tracking_uri=uri), ledger
        self._experiment = self._find_experiment(sweep)
        self._runs: dict[TrackedRun, str] = {}

    def _find_experiment(self, sweep: str) -> str:
        """Return the number of the experiment that the environment names, or the sweep, which is made."""
        from mlflow.exceptions import MlflowException

        if given := os.environ.get("MLFLOW_EXPERIMENT_ID"):
            with contextlib.suppress(MlflowException):
                return str(self._client.get_experiment(given).experiment_id)
        experiment = self._client.get_experiment_by_name(sweep)
        return str(experiment.experiment_id if experiment else self._client.create_experiment(sweep))

    def log_trial_start(self, trial: TrackedRun) -> None:
        """Begin a run; put aside what a process that was killed, or a point that failed, has left of the point."""
        same = f"tags.sweep = '{self._ledger.name}' and tags.trial_name = '{trial}'"
        for run in () if self._ledger.new else self._client.search_runs([self._experiment], same):
            self._client.delete_run(run.info.run_id)
        tags = {"sweep": self._ledger.name, "trial_name": str(trial)}
        self._runs[trial] = self._client.create_run(self._experiment, tags=tags, run_name=str(trial)).info.run_id

    def log_trial_result(self, iteration: int, trial: TrackedRun, result: dict[str, Any]) -> None:
        """Log numbers, all at once."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(name, float(value), now, iteration) for name, value in _flat(result)]
        self._client.log_batch(self._runs[trial], metrics=metrics)

    def log_trial_end(self, trial: TrackedRun, failed: bool = False) -> None:
        """End the run, with what defines the point."""
        from mlflow.entities import Param

        run = self._runs.pop(trial)
        self._client.log_batch(run, params=[Param(name, str(value)) for name, value in trial.config.items()])
        self._client.set_terminated(run, "FAILED" if failed else "FINISHED")


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the names and values of nested numbers."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}/")
        else:
            yield f"{before}{name}", value


class _Wandb:
    """A run of W&B for each point; Ray's own callback has two processes for each."""

    def __init__(self, folder: Path, sweep: str, ledger: Ledger) -> None:
        import wandb

        self._wandb, self._sweep = wandb, sweep
        self._folder = folder.parent  # W&B adds a folder of its own name
        self._settings = wandb.Settings(silent=True, console="off", disable_git=True, x_disable_stats=True)
        self._runs: dict[TrackedRun, Any] = {}

    def log_trial_start(self, trial: TrackedRun) -> None:
        """Begin a run; one that was begun before stays as it is: going on with it would log epochs twice."""
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
        """Add to its history."""
        self._runs[trial].log(result)

    def log_trial_end(self, trial: TrackedRun, failed: bool = False) -> None:
        """End it."""
        run = self._runs.pop(trial)
        run.config.update(trial.config, allow_val_change=True)
        run.finish(exit_code=int(failed))


CALLBACKS = {"tensorboard": _tensorboard, "mlflow": _MLflow, "wandb": _Wandb}
