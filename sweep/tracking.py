"""The process of one tracker: takes points from its standard input, each to be a run of TensorBoard, MLflow or W&B.

``python -m sweep.tracking`` is started by `trackers.Trackers`. TensorBoard and MLflow are Ray's own callbacks, which
see every point as a trial. Ray's callback for W&B starts two processes a trial, and takes 4 s where a run takes 0.3 s:
`_Wandb` makes the same runs without them.
"""

import contextlib
import fcntl
import json
import math
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

__all__ = ["Ledger", "main"]

_POINT = ("sigma_w", "sigma_b", "depth", "seed")
_SAID = ("status", "error")  # of a run, in words, at its end
_LEDGER = "logged"
_LARGEST = 2**26  # characters of it: a million points
_PROJECT = "trainability-sweep"  # of W&B, where the environment names none
_POLITE = 5  # niceness: measuring comes first
_LONGEST = 500  # characters of a text


def _safely(path: str, flags: int) -> int:
    """Follow no link, wait for no pipe: a sweep may come from someone else."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)


class Ledger:
    """Which points a tracker has: a file beside its logs, with a line a point, after a name of the sweep of its own."""

    def __init__(self, folder: Path) -> None:
        try:
            with open(folder / _LEDGER, opener=_safely) as file:
                lines = file.read(_LARGEST).splitlines() if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else []
        except (OSError, ValueError):  # none yet, or damaged
            lines = []
        self.name, self._known = (lines[0] if lines else ""), set(lines[1:])
        self._file: TextIO | None = None
        self.new = False  # nothing was ever logged

    def __contains__(self, row: Mapping[str, Any]) -> bool:
        return self._line(row) in self._known

    @staticmethod
    def _line(row: Mapping[str, Any]) -> str:
        failed = ["failed"] if row["status"] == "failed" else []  # may be measured again
        return " ".join([*(repr(row[name]) for name in _POINT), *failed])

    @classmethod
    @contextlib.contextmanager
    def held(cls, folder: Path) -> Iterator["Ledger"]:
        """For this process alone, as soon as another one has let go of it."""
        with open(folder / _LEDGER, "a", opener=_safely) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            ledger = cls(folder)
            ledger._file = file
            ledger.new = not ledger.name
            if ledger.new:
                ledger.name = os.urandom(8).hex()
                print(ledger.name, file=file, flush=True)
            yield ledger

    def add(self, row: Mapping[str, Any]) -> None:
        """Note that a point is logged."""
        self._known.add(line := self._line(row))
        print(line, file=self._file, flush=True)


@dataclass(eq=False)
class _Run:
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


class _Logger:
    """Makes runs of points.

    Parameters
    ----------
    callback:
        Has Ray's ``log_trial_start``, ``log_trial_result`` and ``log_trial_end``.
    folder:
        For what the tracker writes here.
    ledger:
        Of the points that need no run any more.
    several:
        Whether networks are trained with several learning rates.
    """

    def __init__(self, callback: Any, folder: Path, ledger: Ledger, several: bool) -> None:
        self._callback, self._folder, self._ledger, self._several = callback, folder, ledger, several
        self._open: dict[tuple[Any, ...], _Run] = {}

    def take(self, event: Mapping[str, Any]) -> None:
        """Epochs of a point, or its row, which ends the run."""
        row = event.get("row")
        if row is not None and row in self._ledger:
            return
        point = {name: (row or event["point"])[name] for name in _POINT}
        key = tuple(point.values())
        try:
            run = self._open.get(key) or self._start(point, key)
            self._epochs(run, event["epochs"])
            if row is not None:
                self._end(run, row)
                del self._open[key]
        except BaseException:
            self._open.pop(key, None)
            raise
        if row is not None:
            self._ledger.add(row)

    def _start(self, point: dict[str, Any], key: tuple[Any, ...]) -> _Run:
        name = " ".join(f"{k}={v:.6g}" if isinstance(v, float) else f"{k}={v}" for k, v in point.items())
        run = _Run(name, point, str(self._folder / name))
        self._callback.log_trial_start(run)
        self._open[key] = run
        return run

    def _epochs(self, run: _Run, epochs: list[list[float]]) -> None:
        """Those that were not logged yet: a training that failed begins anew, and a row holds all of them."""
        for lr, epoch, accuracy, loss in epochs:
            if (lr, int(epoch)) not in run.seen:
                run.seen.add((lr, int(epoch)))
                found = _finite({"accuracy": accuracy, "loss": loss})
                self._result(run, {"epoch": {f"lr_{lr:g}": found} if self._several else found}, int(epoch))

    def _end(self, run: _Run, row: Mapping[str, Any]) -> None:
        self._result(run, _finite(row), max((epoch for _, epoch in run.seen), default=1))
        run.config |= {k: row[k][:_LONGEST] for k in _SAID if row.get(k)}
        self._callback.log_trial_end(run, failed=row["status"] == "failed")

    def _result(self, run: _Run, values: dict[str, Any], step: int) -> None:
        self._callback.log_trial_result(step, run, {**values, "training_iteration": step})


def _finite(values: Mapping[str, Any]) -> dict[str, float]:
    """The metrics among the values; a number that is infinite or missing breaks an axis, or a database."""
    return {
        k: v if isinstance(v, int) and not isinstance(v, bool) else float(v)
        for k, v in values.items()
        if k not in _POINT and isinstance(v, int | float) and math.isfinite(v)
    }


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
        self._runs: dict[_Run, Any] = {}

    def log_trial_start(self, trial: _Run) -> None:
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

    def log_trial_result(self, iteration: int, trial: _Run, result: dict[str, Any]) -> None:
        """Add to its history."""
        self._runs[trial].log(result)

    def log_trial_end(self, trial: _Run, failed: bool = False) -> None:
        """End it."""
        run = self._runs.pop(trial)
        run.config.update(trial.config, allow_val_change=True)
        run.finish(exit_code=int(failed))


_CALLBACKS = {"tensorboard": _tensorboard, "mlflow": _mlflow, "wandb": _Wandb}


def main() -> None:
    """Log what comes in until it ends; say how many points are logged, and what went wrong."""
    events, answers = _quiet()
    with contextlib.suppress(OSError):
        os.nice(_POLITE)

    def say(**answer: Any) -> None:
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(answer), file=answers, flush=True)

    settings = json.loads(events.readline())
    folder = Path(settings["folder"])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with Ledger.held(folder) as ledger:
            callback = _CALLBACKS[settings["tracker"]](folder, settings["sweep"], ledger)
            logger = _Logger(callback, folder, ledger, settings["rates"] > 1)
            for line in events:
                event = json.loads(line)
                try:
                    logger.take(event)
                except Exception as error:
                    say(trouble=_reason(error))
                else:
                    say(logged=int("row" in event))
    except Exception as error:
        say(trouble=_reason(error))


def _quiet() -> tuple[TextIO, TextIO]:
    """Standard input and output for us alone: libraries ask nobody, and what they print goes nowhere."""
    streams = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nowhere, standard)
    return streams


def _reason(error: Exception) -> str:
    text = re.sub(r"//[^/\s]+@", "//***@", " ".join(str(error).split()))  # a user's name and password in a URL
    return f"{type(error).__name__}: {text[:300]}"


if __name__ == "__main__":
    main()
