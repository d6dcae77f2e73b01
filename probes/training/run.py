"""One network in training: how it goes on, and when it is over."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from probes.layers import Parameters
from probes.point import Point
from probes.training.settings import TrainingCurve, TrainingSettings

_PROGRESS = 1e-3  # relative decrease of the loss that is more than a fluctuation
_STEP_UP = 0.005  # the same for a rise of the accuracy


@dataclass(eq=False)
class TrainingRun:
    """One network in training, or done."""

    point: Point
    lr: float
    accuracy: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    seconds: float = 0.0
    tensors: list[dict[int, Parameters]] = field(default_factory=list)  # to go on with, or in the end; see `Stack`

    def over(self, settings: TrainingSettings, epochs: int) -> bool:
        """Return whether it has reached its level or its last epoch, diverged or stalled."""
        n = len(self.accuracy)
        if not n:
            return False
        if n >= epochs or not math.isfinite(self.loss[-1]):
            return True
        if settings.level is not None and self.accuracy[-1] > settings.level:
            return True
        before = n - settings.patience if settings.patience else 0
        if before < 1:
            return False
        rose = max(self.accuracy[before:]) > max(self.accuracy[:before]) + _STEP_UP
        fell = min(self.loss[before:]) < min(self.loss[:before]) * (1 - _PROGRESS)
        return not (rose or fell)


def curve_of(runs: Sequence[TrainingRun]) -> TrainingCurve:
    """Return what became of a point, whose runs differ in their learning rates."""
    best = max(runs, key=lambda r: max(r.accuracy, default=0.0))
    return TrainingCurve(
        lr=np.concatenate([np.full(len(r.accuracy), r.lr) for r in runs]),
        epoch=np.concatenate([np.arange(1, len(r.accuracy) + 1) for r in runs]),
        accuracy=np.concatenate([np.array(r.accuracy) for r in runs]),
        loss=np.concatenate([np.array(r.loss) for r in runs]),
        seconds=sum(r.seconds for r in runs),
        trained=best.tensors[0] if best.tensors else {},
    )
