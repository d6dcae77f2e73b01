"""Ground truth: the networks of a pack trained together, see `Stack`, an epoch at a time.

On a CPU a network of large layers is a stack of its own, with a thread of its own; so is a convolutional one.

The hidden layers start from the weights that the probe saw. Every network sees the same batches in the same order, so
its outcome does not depend on its pack.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from probes.datasets import Images
from probes.networks import Architecture
from probes.point import Point
from probes.products import uses_onednn
from probes.threads import lone_threads
from probes.training.convolutional import ConvolutionalStack
from probes.training.data import TrainingData
from probes.training.dense import DenseStack
from probes.training.run import TrainingRun, curve_of
from probes.training.settings import TrainingCurve, TrainingSettings
from probes.training.stack import Stack

_LARGEST_STACK = 64
_LARGE = 10_000_000  # multiplications in a product, from which one network keeps a core busy


class Training:
    """The networks of some points in training, an epoch at a time.

    Parameters
    ----------
    points:
        Of any depths.
    images, settings, architecture, activation:
        What the networks are, and how they are trained.
    device:
        Where.
    keep:
        Whether trained parameters are kept.
    saved:
        What `state` gave for some of the points: their training goes on from there.
    """

    def __init__(
        self,
        points: Sequence[Point],
        images: Images,
        settings: TrainingSettings,
        *,
        architecture: Architecture,
        activation: str,
        device: torch.device | str = "cpu",
        keep: bool = False,
        saved: Mapping[Point, Any] | None = None,
    ) -> None:
        self._points, self._settings, self._keep = list(points), settings, keep
        self._device = torch.device(device)
        self._data = TrainingData(images, settings, self._device)
        self._epochs = settings.rounds(images)
        self._runs = [TrainingRun(p, lr) for p in self._points for lr in settings.lr]
        for run in self._runs:
            for name, value in ((saved or {}).get(run.point) or {}).get(run.lr, {}).items():
                setattr(run, name, value)
        self._stacks = self._stacked(architecture, activation)

    def _stacked(self, architecture: Architecture, activation: str) -> list[Stack]:
        """Return the networks that are not done, in stacks of one shape, learning rate and epoch."""
        shapes: dict[tuple[Any, ...], list[TrainingRun]] = {}
        for run in self._runs:
            if not run.over(self._settings, self._epochs):
                depth = None if architecture.uniform else run.point.depth
                shapes.setdefault((depth, run.lr, len(run.accuracy)), []).append(run)
        kind = ConvolutionalStack if architecture.convolutional else DenseStack
        stacks: list[Stack] = []
        for (depth, *_), runs in shapes.items():
            size = _stack_size(architecture, depth or 2, self._settings.batch, self._device)
            runs.sort(key=lambda r: -r.point.depth)
            for i in range(0, len(runs), size):
                some = runs[i : i + size]
                stacks.append(kind(some, self._settings, architecture, activation, self._device, lone=size == 1))
        return stacks

    @property
    def running(self) -> int:
        """Networks still in training."""
        return sum(len(stack.runs) for stack in self._stacks)

    def epoch(self) -> None:
        """Train every network that is not done for one more epoch."""
        started = time.perf_counter()
        several = torch.get_num_threads() > 1 and self._device.type == "cpu"
        alone = [s for s in self._stacks if s.lone and several]
        if len(alone) > 1:
            with lone_threads() as pool:
                list(pool.map(lambda stack: stack.epoch(self._data), alone))
        for stack in self._stacks:
            if len(alone) < 2 or stack not in alone:
                stack.epoch(self._data)
        trained = [run for stack in self._stacks for run in stack.runs]
        share = (time.perf_counter() - started) / sum(run.point.depth for run in trained)
        for run in trained:
            run.seconds += share * run.point.depth
        for stack in self._stacks:
            stack.part_with([r.over(self._settings, self._epochs) for r in stack.runs], self._keep)
        self._stacks = [stack for stack in self._stacks if stack.runs]

    def latest(self) -> list[tuple[Point, float, int, float, float]]:
        """(point, learning rate, epoch, accuracy, loss) after the last epoch of every network still in training."""
        runs = (r for s in self._stacks for r in s.runs if r.accuracy)
        return [(r.point, r.lr, len(r.accuracy), r.accuracy[-1], r.loss[-1]) for r in runs]

    def state(self) -> dict[Point, dict[float, dict[str, Any]]]:
        """What another `Training` needs to go on, by point and learning rate; tensors are on the CPU."""
        state: dict[Point, dict[float, dict[str, Any]]] = {p: {} for p in self._points}
        for run in self._runs:
            state[run.point][run.lr] = {
                "accuracy": list(run.accuracy),
                "loss": list(run.loss),
                "seconds": run.seconds,
            }
        for stack in self._stacks:
            for i, run in enumerate(stack.runs):
                tensors = [{n: [p.cpu() for p in some] for n, some in kind.items()} for kind in stack.of(i)]
                state[run.point][run.lr]["tensors"] = tensors
        return state

    def curves(self) -> list[TrainingCurve]:
        """Return what became of every point, in their order."""
        rates = len(self._settings.lr)
        return [curve_of(self._runs[i : i + rates]) for i in range(0, len(self._runs), rates)]


def train_pack(
    points: Sequence[Point],
    images: Images,
    settings: TrainingSettings | None = None,
    *,
    architecture: Architecture,
    activation: str,
    device: torch.device | str = "cpu",
    keep: bool = False,
    progress: Callable[[], None] | None = None,
) -> list[TrainingCurve]:
    """Train the networks of some points to the end, see `Training`; ``progress`` is called after each epoch."""
    training = Training(
        points,
        images,
        settings or TrainingSettings(),
        architecture=architecture,
        activation=activation,
        device=device,
        keep=keep,
    )
    while training.running:
        training.epoch()
        if progress:
            progress()
    return training.curves()


def _stack_size(architecture: Architecture, depth: int, batch: int, device: torch.device) -> int:
    """Networks of this depth in a stack, at most: it never depends on which others there are."""
    if device.type != "cpu":
        return _LARGEST_STACK
    if architecture.convolutional:
        return 1
    layers = [architecture.layer(n, depth) for n in range(1, depth + 1)]
    largest = max(math.prod(shape) for layer in layers for shape, _ in layer.shapes())
    large = batch * largest >= _LARGE and uses_onednn("cpu", torch.float32, batch * largest)
    return 1 if large else _LARGEST_STACK
