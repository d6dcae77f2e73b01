"""The training of one network: its progress and when it ends."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np

from probes.further import RATE
from probes.layers import Parameters
from probes.point import Point
from probes.training.ending import is_over
from probes.training.settings import TrainingCurve, TrainingSettings


@dataclass(eq=False)
class TrainingRun:
    """The training of one network with one learning rate, under way or ended.

    Attributes
    ----------
    point, lr:
        Point of the network, and learning rate.
    own_rate:
        Whether the learning rate is the point's own, not one of the settings.
    accuracy, loss:
        Test accuracy and training loss (nats) after each epoch so far.
    seconds:
        Time that the training has taken.
    tensors:
        Parameters (and moments of Adam) to go on from, or to keep at the end; see `Stack`. Empty while a stack holds
        them.
    """

    point: Point
    lr: float
    accuracy: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    seconds: float = 0.0
    tensors: list[dict[int, Parameters]] = field(default_factory=list)
    own_rate: bool = False

    @property
    def kind(self) -> Hashable:
        """What runs of one stack have in common: the learning rate, unless each has its own, and the epoch."""
        return None if self.own_rate else self.lr, len(self.accuracy)

    def is_over(self, settings: TrainingSettings, epochs: int) -> bool:
        """Return whether the training has reached its level or last epoch, diverged or stalled; see `ending`."""
        return is_over(self.accuracy, self.loss, settings, epochs)


def runs_of(point: Point, settings: TrainingSettings) -> list[TrainingRun]:
    """Return the runs of a point: one for each learning rate of the settings, or one with the point's own rate.

    Raises
    ------
    ValueError
        The point's own learning rate is not positive.
    """
    own = dict(point.extra).get(RATE)
    if own is None:
        return [TrainingRun(point, lr) for lr in settings.lr]
    if not own > 0:
        raise ValueError(f"`{RATE}` must be positive, got {own}")
    return [TrainingRun(point, own, own_rate=True)]


def curve_of(runs: Sequence[TrainingRun]) -> TrainingCurve:
    """Return the training curve of a point from its runs, one per learning rate."""
    best = max(runs, key=lambda r: max(r.accuracy, default=0.0))
    return TrainingCurve(
        lr=np.concatenate([np.full(len(r.accuracy), r.lr) for r in runs]),
        epoch=np.concatenate([np.arange(1, len(r.accuracy) + 1) for r in runs]),
        accuracy=np.concatenate([np.array(r.accuracy) for r in runs]),
        loss=np.concatenate([np.array(r.loss) for r in runs]),
        seconds=sum(r.seconds for r in runs),
        trained=best.tensors[0] if best.tensors else {},
    )
