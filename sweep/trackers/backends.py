"""TensorBoard, MLflow and W&B."""

import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep.trackers.ledger import Ledger

__all__ = ["CALLBACKS", "TrackedRun"]

_PROJECT = "trainability-sweep"  # of W&B, where the environment names none


@dataclass(eq=False)
class TrackedRun:
    """A point as Ray's callbacks see a trial."""

    name: str
    config: dict[str, Any]
    local_path: str
    seen: set[tuple[float, int]] = field(default_factory=set)  # learning rates and epochs

    @property
    def evaluated_params(self) -> dict[str, Any]:
        """The same as `config`."""
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


def _mlflow(folder: Path, sweep: str, ledger: Ledger) -> Any:
    # A server that is away is soon given up: points are logged by the next `resume`, too.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    from mlflow.entities import Metric
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.utils import flatten_dict

    class Callback(MLflowLoggerCallback):
        """Puts aside what a process that was killed, or a point that failed, has left of a point."""

        def log_trial_start(self, trial: Any) -> None:
            client = self.mlflow_util._get_client()
            same = f"tags.sweep = '{ledger.name}' and tags.trial_name = '{trial}'"
            for run in () if ledger.new else client.search_runs([self.mlflow_util.experiment_id], same):
                client.delete_run(run.info.run_id)
            super().log_trial_start(trial)

        def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
            """Ray has a transaction for each number."""
            now = int(1000 * time.time())
            metrics = [Metric(k, float(v), now, iteration) for k, v in flatten_dict(result).items()]
            self.mlflow_util._get_client().log_batch(self._trial_runs[trial], metrics=metrics)

    uri = os.environ.get("MLFLOW_TRACKING_URI")  # may be relative
    if not uri:
        uri = f"sqlite:///{folder}/mlflow.db"
        os.chdir(folder)  # where artifacts would go
    callback = Callback(
        tracking_uri=uri,
        experiment_name=sweep,
        tags={"sweep": ledger.name},
        log_params_on_trial_end=True,
    )
    callback.setup()
    return callback


class _Wandb:
    """What Ray's callback does, without two processes for each run."""

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


CALLBACKS = {"tensorboard": _tensorboard, "mlflow": _mlflow, "wandb": _Wandb}
