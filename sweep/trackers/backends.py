"""Callbacks that write runs to TensorBoard, MLflow and W&B.

Each has the public methods of Ray's `LoggerCallback`: ``log_trial_start``, ``log_trial_result``, ``log_trial_end``.
When ``log_trial_end`` returns, the tracker has the run: on the disk, in its database or on its server.
"""

import contextlib
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep.trackers import wandb_log
from sweep.trackers.errors import TrackerError
from sweep.trackers.ledger import Ledger
from sweep.trackers.variables import forget_other_runs

_PROJECT = "trainability-sweep"  # of W&B, if the environment names none
_STEP = "training_iteration"  # among the metrics of a result


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

    def __str__(self) -> str:
        return self.name


class _TensorBoard:
    """A callback that writes an event file for each point.

    Ray's own callback leaves writing to a thread of tensorboardX, which ends without a word if the disk is full.
    """

    def __init__(self, folder: Path, sweep: str, ledger: Ledger) -> None:
        from tensorboardX import record_writer, summary  # type: ignore[import-untyped]
        from tensorboardX.proto.event_pb2 import Event  # type: ignore[import-untyped]

        self._open, self._summary, self._event = record_writer.RecordWriter, summary, Event
        self._files: dict[TrackedRun, Any] = {}
        self._last: dict[TrackedRun, dict[str, float]] = {}  # the last metrics of a run

    def log_trial_start(self, trial: TrackedRun) -> None:
        """Begin a file in an empty folder; remove what a process that was killed has left of this point."""
        shutil.rmtree(trial.local_path, ignore_errors=True)
        os.makedirs(trial.local_path)
        name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}"
        self._files[trial] = self._open(os.path.join(trial.local_path, name))
        self._write(trial, self._event(wall_time=time.time(), file_version="brain.Event:2"))

    def log_trial_result(self, iteration: int, trial: TrackedRun, result: dict[str, Any]) -> None:
        """Write the metrics."""
        metrics = {f"ray/tune/{name}": value for name, value in _flattened(result) if name != _STEP}
        summaries = [self._summary.scalar(name, value) for name, value in metrics.items()]
        self._write(trial, *(self._event(wall_time=time.time(), step=iteration, summary=s) for s in summaries))
        self._last[trial] = metrics

    def log_trial_end(self, trial: TrackedRun, failed: bool = False) -> None:
        """Write the run's parameters, which the HParams tab shows, and close the file."""
        summaries = self._summary.hparams(hparam_dict=trial.config, metric_dict=self._last.pop(trial, {}))
        self._write(trial, *(self._event(wall_time=time.time(), summary=s) for s in summaries))
        self._files.pop(trial).close()

    def _write(self, trial: TrackedRun, *events: Any) -> None:
        try:
            for event in events:
                self._files[trial].write(event.SerializeToString())
            self._files[trial].flush()
        except OSError:
            with contextlib.suppress(OSError):
                self._files.pop(trial).close()
            raise


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
        named = {}
        if uri:
            named = {name: os.environ.get(f"MLFLOW_EXPERIMENT_{name}") for name in ("NAME", "ID")}
        else:
            uri = f"sqlite:///{folder}/mlflow.db"
            os.chdir(folder)  # artifacts go to the working directory
        self._client, self._ledger = MlflowClient(tracking_uri=uri), ledger
        self._experiment = self._find_experiment(named.get("NAME") or sweep, named.get("ID"))
        self._runs: dict[TrackedRun, str] = {}

    def _find_experiment(self, name: str, experiment_id: str | None) -> str:
        """Return the id of the experiment with an id, or else with a name, which is made if there is none.

        Raises
        ------
        TrackerError
            There is no experiment with the id, or the experiment was deleted.
        """
        from mlflow.exceptions import MlflowException

        experiment: Any = None
        if experiment_id:
            try:
                experiment = self._client.get_experiment(experiment_id)
            except MlflowException as error:
                raise TrackerError(f"MLFLOW_EXPERIMENT_ID={experiment_id}: {error}") from error
        else:
            experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            return str(self._client.create_experiment(name))
        if experiment.lifecycle_stage != "active":
            found = f"the experiment {experiment.name!r} (id {experiment.experiment_id}) was deleted"
            raise TrackerError(f"{found}; to restore it: mlflow experiments restore -x {experiment.experiment_id}")
        return str(experiment.experiment_id)

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
        self._client.log_batch(self._runs[trial], metrics=metrics, synchronous=True)

    def log_trial_end(self, trial: TrackedRun, failed: bool = False) -> None:
        """Log the run's parameters, and end it."""
        from mlflow.entities import Param

        run = self._runs.pop(trial)
        params = [Param(name, str(value)) for name, value in trial.config.items()]
        self._client.log_batch(run, params=params, synchronous=True)
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
        forget_other_runs(os.environ)
        os.chdir("/")  # W&B reads ``wandb/settings`` in the working directory, which may be a stranger's
        import wandb

        self._wandb, self._sweep, self._ledger = wandb, sweep, ledger
        self._folder = folder
        wanted: dict[str, Any] = {
            "root_dir": str(folder.parent),  # W&B makes its own folder ``wandb`` there
            "use_dot_wandb": False,
            "silent": True,
            "console": "off",
            "disable_git": True,
            "disable_code": True,
            "save_code": False,
            "sagemaker_disable": True,  # a training job's name would replace ids and groups
            "x_disable_stats": True,
            "x_skip_transaction_log": False,
        }
        known = wandb.Settings.model_fields  # older versions lack some
        settings = wandb.setup(wandb.Settings(**{n: v for n, v in wanted.items() if n in known})).settings
        if settings.mode == "disabled":
            raise TrackerError(f"W&B's settings say: mode = disabled ({settings.settings_system})")
        self._project = settings.project or _PROJECT
        self._tags = tuple(settings.run_tags or ())
        self._runs: dict[TrackedRun, Any] = {}

    def log_trial_start(self, trial: TrackedRun) -> None:
        """Begin a new run.

        An earlier run of the point, which was interrupted, stays as it is: to continue it would log epochs twice.

        Raises
        ------
        TrackerError
            W&B has begun another run than it was asked for.
        """
        run_id = os.urandom(8).hex()
        run = self._wandb.init(
            project=self._project,
            group=self._sweep,
            name=str(trial),
            id=run_id,
            config=dict(trial.config),
            tags=(*self._tags, self._ledger.name),
            resume="never",
            reinit="create_new",
        )
        if (run.id, run.name, run.project, run.disabled) != (run_id, str(trial), self._project, False):
            raise TrackerError(f"W&B's settings make the run {run_id!r} of {str(trial)!r} {run.id!r} {run.name!r}")
        self._runs[trial] = run

    def log_trial_result(self, iteration: int, trial: TrackedRun, result: dict[str, Any]) -> None:
        """Log the metrics to the run's history."""
        self._runs[trial].log(result)

    def log_trial_end(self, trial: TrackedRun, failed: bool = False) -> None:
        """Log the run's parameters, and end it.

        Raises
        ------
        TrackerError
            The run is not in W&B's file, or not on its server.
        """
        run = self._runs.pop(trial)
        run.config.update(trial.config, allow_val_change=True)
        run.finish(exit_code=int(failed))
        path = Path(run.settings.sync_file)
        if not (path.is_relative_to(self._folder) and wandb_log.is_written(path, run.id)):
            raise TrackerError(f"W&B has not written the run to {str(path)!r}")
        if error := wandb_log.upload_error(Path(run.settings.log_internal)):
            raise TrackerError(f"W&B has not uploaded the run: {error}")


CALLBACKS = {"tensorboard": _TensorBoard, "mlflow": _MLflow, "wandb": _Wandb}
