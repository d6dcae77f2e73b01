"""Training of the networks of a pack for ground truth, one epoch at a time.

Networks are trained in stacks, see `Stack`. On a CPU a network of large layers, or of convolutions, is a stack of its
own and has a thread of its own.

The hidden layers start from the weights that the probe saw. Every network sees the same batches in the same order, so
the outcome of a network does not depend on its pack.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from itertools import chain
from typing import Any

import torch

from probes.custom.function import Custom
from probes.datasets import Images
from probes.networks import Architecture
from probes.point import Point
from probes.products import uses_onednn
from probes.threads import lone_threads, plain_modes, safe_in_forks
from probes.training.convolutional import ConvolutionalStack
from probes.training.custom import custom_stacks
from probes.training.data import TrainingData
from probes.training.dense import DenseStack
from probes.training.run import TrainingRun, curve_of, runs_of
from probes.training.settings import TrainingCurve, TrainingSettings
from probes.training.stack import Stack

_MAX_STACK_SIZE = 64
_MIN_LONE_MULTIPLICATIONS = 10_000_000  # in the largest product; from here on one network keeps a core busy


class Training:
    """A training of the networks of some points, each with each learning rate of the settings or with its own.

    Parameters
    ----------
    points:
        The points, of any depths.
    images, settings:
        The data set, and how networks are trained on it.
    architecture, activation:
        Layers and activation of the networks.
    network:
        Function of the user that makes the networks; None: they are those of the architecture.
    device:
        Device of the training.
    keep:
        Whether to keep the trained parameters, for `TrainingCurve.trained`.
    saved:
        A `state`, which may hold some of the points only: their training goes on from there.

    Attributes
    ----------
    stacks:
        Stacks of the networks that are still in training.
    """

    @safe_in_forks
    @plain_modes()
    def __init__(
        self,
        points: Sequence[Point],
        images: Images,
        settings: TrainingSettings,
        *,
        architecture: Architecture,
        activation: str,
        network: Custom | None = None,
        device: torch.device | str = "cpu",
        keep: bool = False,
        saved: Mapping[Point, Any] | None = None,
    ) -> None:
        self._points, self._settings, self._keep = list(points), settings, keep
        self._device = torch.device(device)
        self._data = TrainingData(images, settings, self._device)
        self._epochs = settings.max_epochs(images)
        self._runs = [runs_of(p, settings) for p in self._points]
        for run in chain.from_iterable(self._runs):
            for name, value in ((saved or {}).get(run.point) or {}).get(run.lr, {}).items():
                setattr(run, name, copy(value))  # what is saved stays as it is: another attempt may need it
        running = [run for run in chain.from_iterable(self._runs) if not run.is_over(settings, self._epochs)]
        self.stacks: list[Stack] = (
            self._layered_stacks(running, architecture, activation)
            if network is None
            else custom_stacks(running, images, settings, network, self._device)
        )

    def _layered_stacks(
        self, running: Sequence[TrainingRun], architecture: Architecture, activation: str
    ) -> list[Stack]:
        """Return stacks, each of one shape and one kind of run, of built-in networks."""
        shapes: dict[tuple[Any, ...], list[TrainingRun]] = {}
        for run in running:
            depth = None if architecture.uniform else run.point.depth
            shapes.setdefault((depth, architecture.of(run.point), run.kind), []).append(run)
        kind = ConvolutionalStack if architecture.convolutional else DenseStack
        stacks: list[Stack] = []
        for (depth, architecture, _), runs in shapes.items():
            size = _stack_size(architecture, depth or 2, self._settings.batch, self._device)
            runs.sort(key=lambda r: -r.point.depth)
            for i in range(0, len(runs), size):
                members = runs[i : i + size]
                stacks.append(kind(members, self._settings, architecture, activation, self._device, lone=size == 1))
        return stacks

    @property
    def running(self) -> int:
        """Number of networks still in training; a network counts once per learning rate."""
        return sum(len(stack.runs) for stack in self.stacks)

    @safe_in_forks
    @plain_modes()
    def epoch(self) -> None:
        """Train every network that is still in training for one more epoch."""
        started = time.perf_counter()
        threaded = torch.get_num_threads() > 1 and self._device.type == "cpu"
        lone_stacks = [s for s in self.stacks if s.lone and threaded]
        if len(lone_stacks) > 1:
            with lone_threads() as pool:
                list(pool.map(lambda stack: stack.epoch(self._data), lone_stacks))
        for stack in self.stacks:
            if len(lone_stacks) < 2 or stack not in lone_stacks:
                stack.epoch(self._data)
        trained = [run for stack in self.stacks for run in stack.runs]
        seconds_per_layer = (time.perf_counter() - started) / sum(run.point.depth for run in trained)
        for run in trained:
            run.seconds += seconds_per_layer * run.point.depth
        for stack in self.stacks:
            stack.remove([r.is_over(self._settings, self._epochs) for r in stack.runs], self._keep)
        self.stacks = [stack for stack in self.stacks if stack.runs]

    def latest(self) -> list[tuple[Point, float, int, float, float]]:
        """Return (point, learning rate, epoch, accuracy, loss) of the last epoch of each network still in training."""
        runs = (r for s in self.stacks for r in s.runs if r.accuracy)
        return [(r.point, r.lr, len(r.accuracy), r.accuracy[-1], r.loss[-1]) for r in runs]

    def state(self) -> dict[Point, dict[float, dict[str, Any]]]:
        """Return what another `Training` needs to go on, by point and learning rate; tensors are on the CPU."""
        state: dict[Point, dict[float, dict[str, Any]]] = {p: {} for p in self._points}
        for run in chain.from_iterable(self._runs):
            state[run.point][run.lr] = {
                "accuracy": list(run.accuracy),
                "loss": list(run.loss),
                "seconds": run.seconds,
            }
        for stack in self.stacks:
            for i, run in enumerate(stack.runs):
                # Copies: of a view, torch would write the tensor of all networks into a file.
                tensors = [
                    {n: [p.to("cpu", copy=True) for p in layer] for n, layer in kind.items()}
                    for kind in stack.tensors_of(i)
                ]
                state[run.point][run.lr]["tensors"] = tensors
        return state

    def curves(self) -> list[TrainingCurve]:
        """Return the training curve of each point, in the order of the points."""
        return [curve_of(runs) for runs in self._runs]


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
    """Train the networks of some points to the end and return their training curves, in order.

    The other parameters are those of `Training`; ``progress`` is called after each epoch.
    """
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
    """Return the largest number of networks in a stack; it does not depend on how many networks there are."""
    if device.type != "cpu":
        return _MAX_STACK_SIZE
    if architecture.convolutional:
        return 1
    layers = [architecture.layer(n, depth) for n in range(1, depth + 1)]
    largest = max(math.prod(shape) for layer in layers for shape, _ in layer.shapes())
    large = batch * largest >= _MIN_LONE_MULTIPLICATIONS and uses_onednn("cpu", torch.float32, batch * largest)
    return 1 if large else _MAX_STACK_SIZE
