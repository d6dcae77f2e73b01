r"""Ground truth: the networks of a pack trained together.

==========  ================================================================  ==========================
symbol      meaning                                                           shape
==========  ================================================================  ==========================
h           outputs of a hidden layer, h_0 the images                         ``[stack, batch, width]``
z           what its activation phi is applied to, ``h W + b``                ``[stack, batch, width]``
d           gradient of the loss by h, then by z: ``d = d phi'(z)``           ``[stack, batch, width]``
p           probabilities, softmax of a linear read-out of the last h         ``[stack, batch, classes]``
==========  ================================================================  ==========================

The loss is the cross entropy, its mean over the batch. For dense layers ``d_{l-1} = d_l W^T`` and the gradients are
``h_{l-1}^T d_l`` and the sum of d_l over the batch, so plain SGD needs no memory for gradients: every weight is updated
as soon as the layer before it has its d. Convolutions are left to autograd.

Networks of one shape form stacks. Where all hidden layers are alike, they are of one shape whatever their depth: sorted
from deep to shallow, layer l of a stack is a layer of the first few. On a CPU a network of large layers is a stack of
its own, with a thread of its own; so is a convolutional one.

The hidden layers start from the weights that the probe saw. Every network sees the same batches in the same order, so
its outcome does not depend on its pack.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy, log_softmax

from .datasets import Images
from .decoders import FusedAdam, be_single_threaded
from .networks import ACTIVATIONS, READOUT, Architecture, Layer, Parameters
from .point import Point
from .products import add_product, stacked_affine, stacked_matmul, uses_onednn
from .seeds import generator

__all__ = ["OPTIMIZERS", "TEST_IMAGES", "Training", "TrainingCurve", "TrainingSettings", "chance", "train_pack"]

OPTIMIZERS = ("sgd", "adam")
TEST_CHUNK = 500
TEST_IMAGES = 2000  # the accuracy's standard error is then at most 0.011
SEEN_IMAGES = 96_000  # in all epochs together, unless their number is given: 15 epochs of 6,400
_LARGEST_STACK = 64
_LARGE = 10_000_000  # multiplications in a product, from which one network keeps a core busy
_PROGRESS = 1e-3  # relative decrease of the loss that is more than a fluctuation
_STEP_UP = 0.005  # the same for a rise of the accuracy


@dataclass(frozen=True)
class TrainingSettings:
    """How networks are trained.

    Attributes
    ----------
    epochs:
        At most; None: as many as show `SEEN_IMAGES` images.
    images:
        Training images used, at most as many as there are.
    optimizer:
        ``sgd`` (plain) or ``adam`` (torch's defaults).
    lr:
        Learning rates; with several, the network is trained with each, and the best counts.
    batch:
        Images a step.
    level:
        Test accuracy at which a network is done; None: none is, so that the best accuracy becomes known.
    patience:
        Epochs without progress (of the best accuracy by 0.005 or of the lowest loss by 0.1 %) after which a network has
        stalled and is given up; None: never.

    Raises
    ------
    ValueError
        A value that is not allowed.
    """

    epochs: int | None = None
    images: int = 6400
    optimizer: str = "sgd"
    lr: tuple[float, ...] = (0.01,)
    batch: int = 64
    level: float | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"`optimizer` must be one of {', '.join(OPTIMIZERS)}, got {self.optimizer!r}")
        if not self.lr or len(set(self.lr)) < len(self.lr) or not all(math.isfinite(r) and r > 0 for r in self.lr):
            raise ValueError(f"`lr` must be positive numbers, each once, got {self.lr}")

    def rounds(self, images: Images) -> int:
        """Epochs on these images."""
        return self.epochs or math.ceil(SEEN_IMAGES / min(self.images, len(images.train)))


@dataclass(frozen=True)
class TrainingCurve:
    """What became of one point's network, or of its networks, one a learning rate, after each epoch.

    Attributes
    ----------
    lr, epoch:
        Of each entry; ``[entries]``, like the others.
    accuracy:
        On the test images, 0 to 1.
    loss:
        Mean over the training images, in nats; infinite once the weights are no longer finite.
    seconds:
        That the training took: its share of the pack's time, by the depths of the networks trained in it.
    trained:
        Parameters in the end by layer number (0: the read-out), if they were to be kept: of the best learning rate.
    """

    lr: np.ndarray
    epoch: np.ndarray
    accuracy: np.ndarray
    loss: np.ndarray
    seconds: float
    trained: dict[int, Parameters] = field(default_factory=dict)

    @property
    def best(self) -> int:
        """The entry with the highest accuracy, the first of several."""
        return int(self.accuracy.argmax())


def chance(images: Images) -> float:
    """Test accuracy of always answering the commonest class of the training images."""
    commonest = images.train_labels.bincount().argmax()
    return float((images.test_labels[:TEST_IMAGES] == commonest).float().mean())


@dataclass(eq=False)
class _Run:
    """One network in training, or done."""

    point: Point
    lr: float
    accuracy: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    seconds: float = 0.0
    tensors: list[dict[int, Parameters]] = field(default_factory=list)  # to go on with, or in the end; see `_Stack`

    def over(self, settings: TrainingSettings, epochs: int) -> bool:
        """Whether it has reached its level or its last epoch, diverged or stalled."""
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
        self._data = _Data(images, settings, self._device)
        self._epochs = settings.rounds(images)
        self._runs = [_Run(p, lr) for p in self._points for lr in settings.lr]
        for run in self._runs:
            for name, value in ((saved or {}).get(run.point) or {}).get(run.lr, {}).items():
                setattr(run, name, value)
        shapes: dict[tuple[Any, ...], list[_Run]] = {}
        for run in self._runs:
            if not run.over(settings, self._epochs):
                depth = None if architecture.uniform else run.point.depth
                shapes.setdefault((depth, run.lr, len(run.accuracy)), []).append(run)
        kind = _ConvolutionalStack if architecture.convolutional else _DenseStack
        self._stacks: list[_Stack] = []
        for (depth, *_), runs in shapes.items():
            size = _stack_size(architecture, depth or 2, settings.batch, self._device)
            runs.sort(key=lambda r: -r.point.depth)
            for i in range(0, len(runs), size):
                some = runs[i : i + size]
                self._stacks.append(kind(some, settings, architecture, activation, self._device, lone=size == 1))

    @property
    def running(self) -> int:
        """Networks still in training."""
        return sum(len(stack.runs) for stack in self._stacks)

    def epoch(self) -> None:
        """Train every network that is not done for one more epoch."""
        started = time.perf_counter()
        threads = torch.get_num_threads()
        alone = [s for s in self._stacks if s.lone and threads > 1 and self._device.type == "cpu"]
        if len(alone) > 1:
            with ThreadPoolExecutor(threads, initializer=be_single_threaded) as pool:
                list(pool.map(lambda stack: stack.epoch(self._data), alone))
            torch.set_num_threads(threads)  # what new threads begin with
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
        found: dict[Point, dict[float, dict[str, Any]]] = {p: {} for p in self._points}
        for run in self._runs:
            found[run.point][run.lr] = {
                "accuracy": list(run.accuracy),
                "loss": list(run.loss),
                "seconds": run.seconds,
            }
        for stack in self._stacks:
            for i, run in enumerate(stack.runs):
                tensors = [{n: [p.cpu() for p in some] for n, some in kind.items()} for kind in stack.of(i)]
                found[run.point][run.lr]["tensors"] = tensors
        return found

    def curves(self) -> list[TrainingCurve]:
        """What became of every point, in their order."""
        per_point = len(self._settings.lr)
        found = []
        for i in range(0, len(self._runs), per_point):
            runs = self._runs[i : i + per_point]
            best = max(runs, key=lambda r: max(r.accuracy, default=0.0))
            found.append(
                TrainingCurve(
                    lr=np.concatenate([np.full(len(r.accuracy), r.lr) for r in runs]),
                    epoch=np.concatenate([np.arange(1, len(r.accuracy) + 1) for r in runs]),
                    accuracy=np.concatenate([np.array(r.accuracy) for r in runs]),
                    loss=np.concatenate([np.array(r.loss) for r in runs]),
                    seconds=sum(r.seconds for r in runs),
                    trained=best.tensors[0] if best.tensors else {},
                )
            )
        return found


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


class _Data:
    """Images and labels on their device, and the order in which they are shown."""

    def __init__(self, images: Images, settings: TrainingSettings, device: torch.device) -> None:
        self._x, self._y = (t[: settings.images].to(device) for t in (images.train, images.train_labels))
        self._test = [t[:TEST_IMAGES].to(device) for t in (images.test, images.test_labels)]
        self._batch = settings.batch

    def batches(self, epoch: int) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        """Of an epoch, counted from 0: the same for every network."""
        order = torch.randperm(len(self._x), generator=generator(0, "training order", epoch)).to(self._x.device)
        return ((self._x[chosen], self._y[chosen]) for chosen in order.split(self._batch))

    def test_chunks(self) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        """Of the test images."""
        x, y = self._test
        return zip(x.split(TEST_CHUNK), y.split(TEST_CHUNK), strict=True)

    @property
    def images(self) -> int:
        """How many are trained on."""
        return len(self._x)

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return -(-len(self._x) // self._batch)

    @property
    def test_images(self) -> int:
        """How many are tested on."""
        return len(self._test[0])


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


class _Stack:
    """Networks of one shape that are trained together, the deepest first.

    Attributes
    ----------
    runs:
        Those still in training.
    lone:
        Whether every stack is of one.
    tensors:
        The parameters by layer number (0: the read-out), stacked over those networks that have the layer, which are the
        first; then, in the same form, the two moments of Adam.
    """

    def __init__(
        self,
        runs: Sequence[_Run],
        settings: TrainingSettings,
        architecture: Architecture,
        activation: str,
        device: torch.device,
        *,
        lone: bool,
    ) -> None:
        self.runs, self.lone = list(runs), lone
        self.layers = {n: architecture.layer(n, runs[0].point.depth) for n in range(1, runs[0].point.depth + 1)}
        self.readout = architecture.readout(runs[0].point.depth)
        self.activation = activation
        self.rate, self._adam = runs[0].lr, settings.optimizer == "adam"
        self._epoch = len(runs[0].accuracy)
        if not runs[0].tensors:
            for run in runs:
                run.tensors = [{n: layer.draw(run.point, n) for n, layer in self._layers_of(run)}]
                for _ in range(2 * self._adam):
                    run.tensors.append({n: [torch.zeros_like(p) for p in some] for n, some in run.tensors[0].items()})
        self.tensors = [
            {n: [torch.stack(same).to(device) for same in zip(*self._all(kind, n), strict=True)] for n in self.numbers}
            for kind in range(len(runs[0].tensors))
        ]
        for run in runs:
            run.tensors = []

    @property
    def numbers(self) -> list[int]:
        """Of the layers."""
        return [READOUT, *self.layers]

    def _layers_of(self, run: _Run) -> list[tuple[int, Layer]]:
        return [(READOUT, self.readout), *((n, x) for n, x in self.layers.items() if n <= run.point.depth)]

    def _all(self, kind: int, number: int) -> list[Parameters]:
        return [run.tensors[kind][number] for run in self.runs[: self.having(number)]]

    def having(self, number: int) -> int:
        """How many networks have this layer."""
        return sum(run.point.depth >= number for run in self.runs)

    @property
    def parameters(self) -> dict[int, Parameters]:
        """By layer number."""
        return self.tensors[0]

    def of(self, i: int) -> list[dict[int, Parameters]]:
        """Views of the tensors of one network."""
        return [{n: [p[i] for p in kind[n]] for n, _ in self._layers_of(self.runs[i])} for kind in self.tensors]

    def losses(self, x: torch.Tensor, y: torch.Tensor, descend: "_Descent") -> torch.Tensor:
        """The loss of each network on a batch, ``[stack]``; ``descend`` is told the gradients as they become known."""
        raise NotImplementedError

    def _logits_of(self, i: int, x: torch.Tensor) -> torch.Tensor:
        """``[images, classes]`` of one network for images ``[images, pixels]``."""
        (parameters, *_) = self.of(i)
        for number, layer in self._layers_of(self.runs[i])[1:]:
            x = layer.apply(x, parameters[number], ACTIVATIONS[self.activation])
        weight, bias = parameters[READOUT]
        return torch.addmm(bias, x, weight)

    @torch.no_grad()  # which each thread has to say for itself
    def epoch(self, data: _Data) -> None:
        """One epoch and a test, noted in the runs."""
        descend = _Descent(self, self._epoch * data.steps)
        total = torch.zeros(len(self.runs), dtype=torch.float64, device=self.parameters[READOUT][0].device)
        right = torch.zeros_like(total, dtype=torch.int64)
        for x, y in data.batches(self._epoch):
            total += self.losses(x, y, descend) * len(x)
            descend.finish()
        for i in range(len(self.runs)):  # one after another: so much at once is best multiplied alone
            for x, y in data.test_chunks():
                right[i] += (self._logits_of(i, x).argmax(1) == y).sum()
        self._epoch += 1
        loss = torch.nan_to_num(total / data.images, nan=torch.inf).tolist()
        for run, count, value in zip(self.runs, right.tolist(), loss, strict=True):
            run.accuracy.append(count / data.test_images)
            run.loss.append(value)

    def part_with(self, leaving: Sequence[bool], keep: bool) -> None:
        """Let some networks go; with their parameters, if they are to be kept."""
        if not any(leaving):
            return
        for i, run in enumerate(self.runs):
            if leaving[i] and keep:
                run.tensors = [{n: [p.clone() for p in some] for n, some in kind.items()} for kind in self.of(i)]
        stay = {n: [i for i in range(self.having(n)) if not leaving[i]] for n in self.numbers}
        self.tensors = [{n: [p[stay[n]] for p in kind[n]] for n in kind if stay[n]} for kind in self.tensors]
        self.layers = {n: layer for n, layer in self.layers.items() if stay[n]}
        self.runs = [run for i, run in enumerate(self.runs) if not leaving[i]]


class _Descent:
    """Steps of the optimiser, told one gradient after another.

    Plain SGD changes a parameter at once, so that no gradient is kept. Adam changes all of them in the end.
    """

    def __init__(self, stack: _Stack, steps_done: int) -> None:
        self._parameters, self._rate, self._lone = stack.parameters, stack.rate, stack.lone
        self._adam: FusedAdam | None = None
        self._gradients: dict[int, list[torch.Tensor]] = {}
        if len(stack.tensors) > 1:
            flat = [_singly(p for some in kind.values() for p in some) for kind in stack.tensors]
            self._adam = FusedAdam(*flat, learning_rate=stack.rate, steps=steps_done)

    def product(self, number: int, h: torch.Tensor, d: torch.Tensor) -> None:
        """The gradients of a dense layer: ``h^T d`` and the sum of d over the batch."""
        weight, bias = self._parameters[number]
        if self._adam:
            self.gradient(number, [stacked_matmul(h.mT, d, torch.empty_like(weight), lone=self._lone), d.sum(1)])
        else:
            add_product(weight, h.mT, d, -self._rate, lone=self._lone)
            bias.sub_(d.sum(1), alpha=self._rate)

    def gradient(self, number: int, gradients: list[torch.Tensor]) -> None:
        """The gradients of all parameters of a layer."""
        if self._adam:
            self._gradients[number] = gradients
        else:
            for p, g in zip(self._parameters[number], gradients, strict=True):
                p.sub_(g, alpha=self._rate)

    def finish(self) -> None:
        """The end of a step."""
        if self._adam:
            self._adam.step(_singly(g for number in self._parameters for g in self._gradients.pop(number)))


def _singly(stacked: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """Each network's own: Adam treats the last few numbers of a tensor otherwise, so they must be the same few."""
    return [one for tensor in stacked for one in tensor.unbind()]


class _DenseStack(_Stack):
    """Dense layers: their gradients are written by hand."""

    def losses(self, x: torch.Tensor, y: torch.Tensor, descend: _Descent) -> torch.Tensor:
        """See `_Stack`."""
        h, kept = [x.expand(len(self.runs), -1, -1)], []
        for number in self.layers:
            out, z = self._layer(number, h[-1])
            h.append(out)
            kept.append(z)
        weight, bias = self.parameters[READOUT]
        last = self._last(h[1:])
        log_p = log_softmax(torch.baddbmm(bias[:, None], last, weight), 2)
        answers = y.expand(len(self.runs), -1)[:, :, None]
        losses = -log_p.gather(2, answers).mean((1, 2))
        d_logits = log_p.exp_()
        d_logits.scatter_add_(2, answers, -torch.ones_like(answers, dtype=d_logits.dtype)).div_(len(x))
        # Rows of networks that end before a layer wait in d for the layer that is their last.
        d = torch.bmm(d_logits, weight.mT)
        descend.product(READOUT, last, d_logits)
        derivative = _DERIVATIVES[self.activation]
        for number in reversed(self.layers):
            weight = self.parameters[number][0]
            here = derivative(d[: len(weight)], h[number], kept[number - 1])
            if number > 1:
                alike = d.shape[2] == weight.shape[1]
                rows = d[: len(weight)] if alike else d.new_empty(len(weight), len(x), weight.shape[1])
                before = stacked_matmul(here, weight.mT, rows, lone=self.lone)
                d = before if len(weight) == len(d) else d
            descend.product(number, h[number - 1][: len(weight)], here)
        return losses

    def _layer(self, number: int, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Outputs, and what the activation was applied to unless its derivative follows from its value."""
        weight, bias = self.parameters[number]
        x = x[: len(weight)]
        out = x.new_empty(len(weight), x.shape[1], weight.shape[2])
        tanh = self.activation == "tanh"
        z = stacked_affine(x, weight, bias[:, None], out, tanh=tanh, lone=self.lone)
        if tanh:
            return z, None
        return ACTIVATIONS[self.activation](z), z

    def _last(self, h: Sequence[torch.Tensor]) -> torch.Tensor:
        """The last hidden outputs of each network, ``[stack, images, width]``."""
        if len(h[-1]) == len(self.runs):
            return h[-1]
        return torch.stack([h[run.point.depth - 1][i] for i, run in enumerate(self.runs)])


def _of_tanh(d: torch.Tensor, h: torch.Tensor, z: torch.Tensor | None) -> torch.Tensor:
    return torch.ops.aten.tanh_backward(d, h)


_DERIVATIVES: dict[str, Callable[[torch.Tensor, torch.Tensor, Any], torch.Tensor]] = {
    "tanh": _of_tanh,
    "relu": lambda d, h, z: torch.ops.aten.threshold_backward(d, h, 0),
    "erf": lambda d, h, z: d * (2 / math.sqrt(math.pi)) * torch.exp(-z.square()),
    "arctan": lambda d, h, z: d / (1 + z.square()),
}


class _ConvolutionalStack(_Stack):
    """Convolutions: their gradients are autograd's."""

    def losses(self, x: torch.Tensor, y: torch.Tensor, descend: _Descent) -> torch.Tensor:
        """See `_Stack`."""
        parameters = {n: [p.detach().requires_grad_() for p in some] for n, some in self.parameters.items()}
        with torch.enable_grad():
            out = self._logits(x, parameters).flatten(0, 1)
            losses = cross_entropy(out, y.repeat(len(self.runs)), reduction="none").view(len(self.runs), -1).mean(1)
            flat = [p for some in parameters.values() for p in some]
            gradients = iter(torch.autograd.grad(losses.sum(), flat))
        for number, some in parameters.items():
            descend.gradient(number, [next(gradients) for _ in some])
        return losses.detach()

    def _logits(self, x: torch.Tensor, parameters: dict[int, Parameters]) -> torch.Tensor:
        phi, h = ACTIVATIONS[self.activation], []
        out = x.expand(len(self.runs), -1, -1)
        for number, layer in self.layers.items():
            out = layer.apply(out[: self.having(number)], parameters[number], phi)
            h.append(out)
        last = torch.cat([h[r.point.depth - 1][i : i + 1] for i, r in enumerate(self.runs)])
        return self.readout.affine(last, parameters[READOUT])
