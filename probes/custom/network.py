"""A network that a function of the user has made, read layer by layer by hooks."""

import math
import queue
import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from torch import nn

from probes.custom.function import CONVOLUTIONS, FORWARD, Custom, Made, NetworkError, kind_of, tried_images
from probes.gradients import MAX_IMAGES, MIN_IMAGES, SAFE_NORMS, Gradients, summary
from probes.networks import LARGEST_ACTIVATION
from probes.point import REACH, Point
from probes.seeds import DRAWN, derive, generator
from probes.threads import plain_modes

_NESTED_DEPTHS = 2, 4  # of the networks that tell whether a deeper one contains a shallower one
_KEPT_BYTES = 2**28  # of the outputs of the last layers that were walked through
_AHEAD, _AHEAD_BYTES = 8, 2**26  # layers, and bytes of them, that are computed before they are asked for
_GRADIENT_BYTES = 2**27  # of what autograd keeps, about
_TRACED = 4  # times as many bytes as the outputs of layers, that autograd keeps of what leads to them
_SMALLEST = torch.finfo(torch.float64).tiny  # a gradient that has vanished altogether counts as this


@dataclass(frozen=True)
class _Module:
    """A module that a function has made, and how it is read.

    Attributes
    ----------
    made:
        The module and its layers.
    sizes:
        Number of values that each call of a layer gives for an image.
    calls:
        Numbers of the calls, from 1, that are the hidden layers 1, 2, ...
    """

    made: Made
    sizes: list[int]
    calls: list[int]


class CustomNetwork:
    """A network that a function of the user has made for a point, as the probes see it.

    Parameters
    ----------
    point, custom, shape, classes:
        The point, the function, the shape of an image and the number of classes.
    device:
        Device on which the network is applied.
    reach:
        The last layer that can be walked to; by default, that of the function.

    Attributes
    ----------
    point:
        As given.
    reach:
        The last layer that can be walked to.
    convolutional:
        Whether it has convolutions.
    tried:
        The images ``[n, pixels]`` that it was tried with.

    Raises
    ------
    NetworkError
        There is no network, or none of this depth, or what it returns has another shape than logits.
    """

    def __init__(
        self,
        point: Point,
        custom: Custom,
        shape: tuple[int, ...],
        classes: int,
        device: torch.device | str = "cpu",
        *,
        reach: int | None = None,
    ) -> None:
        self.point = point
        self._custom, self._shape, self._classes, self._device = custom, shape, classes, device
        self.tried = tried_images(shape).to(device)
        self._module = self._made(point.depth)
        self.convolutional = any(isinstance(m, CONVOLUTIONS) for m in self._module.made.module.modules())
        self.reach = reach or point.depth * (REACH if is_nested(custom, shape, classes) else 1)
        self._recent: deque[tuple[int, torch.Tensor]] = deque()
        self._recent_bytes = 0
        self._inputs = self.tried

    @cached_property
    def _deeper_module(self) -> "_Module":
        """The module that contains this network and goes on to its reach; made when a walk comes so far."""
        return self._made(self.reach)

    def _made(self, depth: int) -> "_Module":
        """Make the module of a depth, and try which of its modules are called, with a few images."""
        made, name = self._custom.make(self.point, depth, self._shape, self._classes), self._custom.name
        made.module.to(self._device)
        sizes = self._try(made, self.tried)
        count = len(sizes)
        if "depth" not in self._custom.arguments and depth != count:
            raise NetworkError(f"`depth` must be {count}, the number of layers of `network` {name}, got {depth}")
        if count < depth:
            raise NetworkError(f"`network` {name} has {count} layers at depth {depth}: name more with `layers`")
        return _Module(made, sizes, [number * count // depth for number in range(1, depth + 1)])

    def _try(self, made: Made, images: torch.Tensor) -> list[int]:
        """Return how many values the layers give for an image, in the order of their calls."""
        outputs: list[torch.Tensor] = []

        def read(output: torch.Tensor) -> torch.Tensor:
            outputs.append(output)
            return output

        name = self._custom.name
        with torch.no_grad():
            logits = self._apply(made, images, read)
        self._custom.check_logits(logits, len(images), self._classes)
        if outputs and outputs[-1].shape == logits.shape and torch.equal(outputs[-1], logits):
            outputs.pop()
        if not outputs:
            raise NetworkError(
                f"`network` {name} has no hidden layers: none of those found is called before the read-out"
            )
        if any(len(output) != len(images) for output in outputs):
            raise NetworkError(f"`network` {name} has a layer whose outputs do not begin with the axis of the images")
        return [output[0].numel() for output in outputs]

    def _apply(self, made: Made, images: torch.Tensor, read: Callable[[torch.Tensor], torch.Tensor]) -> Any:
        """Return what the module gives for images ``[n, pixels]``, and let ``read`` see the outputs of its layers.

        What ``read`` returns is what the module goes on with, in a copy: operations in place change the copy alone.
        """

        def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
            tensor = _first_tensor(output)
            if tensor is None:
                raise NetworkError(
                    f"`network` {self._custom.name} has a layer that gives no tensor, but {kind_of(output)}"
                )
            after = read(tensor).clone()
            if tensor is output:
                return after
            # Of a mapping, or of a tuple with names, a copy would be another kind of object.
            return type(output)([after, *output[1:]]) if type(output) in (tuple, list) and tensor is output[0] else None

        hooks = [layer.register_forward_hook(hook) for layer in dict.fromkeys(made.layers)]
        try:
            with self._custom.running(derive(self.point.seed, FORWARD)):
                return made.module(images.view(-1, *self._shape))
        finally:
            for each in hooks:
                each.remove()

    def walk(self, x: torch.Tensor, start: int = 0, until: int | None = None) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield the number and the activations of each hidden layer after ``start``, as `Network.walk` does.

        The network can only be walked through from its images. So if ``start`` is not 0, ``x`` is ignored, and the walk
        is one through the same network and the same images as the one before.
        """
        until = until or self.reach
        if start == 0:
            self._inputs, self._recent, self._recent_bytes = x, deque(), 0
        recent = dict(self._recent)
        number = start
        while number < until and number + 1 in recent:
            number += 1
            yield number, recent[number]
        if number == until:
            return
        for at, y in self._from_images(number, until):
            if self.diverges(y):
                return
            if not start:
                self._remember(at, y)
            yield at, y

    def _remember(self, number: int, y: torch.Tensor) -> None:
        self._recent.append((number, y))
        self._recent_bytes += y.nbytes
        while self._recent_bytes > _KEPT_BYTES and len(self._recent) > 1:
            self._recent_bytes -= self._recent.popleft()[1].nbytes

    def _from_images(self, start: int, until: int) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield the number and the activations of the hidden layers after ``start`` and up to ``until``."""
        depth = self.point.depth
        if start < depth:
            yield from self._run(self._module, start, min(until, depth))
        if until > depth:
            yield from self._run(self._deeper_module, max(start, depth), until)

    def _run(self, module: "_Module", start: int, until: int) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield the number and the activations of hidden layers, as the module computes them.

        The module runs in a thread of its own, which is a few layers ahead and then waits in the hook of a layer.
        """
        size = 4 * len(self._inputs) * max(module.sizes)
        ahead = max(1, min(_AHEAD, _AHEAD_BYTES // size))
        wanted = {call: number for number, call in enumerate(module.calls[:until], 1) if number > start}
        given: queue.SimpleQueue[tuple[int, torch.Tensor] | BaseException | None] = queue.SimpleQueue()
        asked = threading.Semaphore(ahead)
        ended = threading.Event()
        calls = 0

        def read(output: torch.Tensor) -> torch.Tensor:
            nonlocal calls
            calls += 1
            if number := wanted.get(calls):
                asked.acquire()
                if ended.is_set():
                    raise _Enough
                given.put((number, output.flatten(1).float()))
                if number == until:
                    raise _Enough
            return output

        def run() -> None:
            torch.set_num_threads(threads)
            try:
                with plain_modes(), torch.no_grad():
                    self._apply(module.made, self._inputs, read)
            except _Enough:
                given.put(None)
            except BaseException as error:
                given.put(error)
            else:
                given.put(None)

        threads = torch.get_num_threads()
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            while True:
                item = given.get()
                asked.release()
                if item is None:
                    return
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            ended.set()
            asked.release()
            thread.join()

    def diverges(self, x: torch.Tensor) -> bool:
        """Return whether activations are not finite or exceed `LARGEST_ACTIVATION`."""
        return not bool(x.abs().amax() <= LARGEST_ACTIVATION)

    def gradients(self, images: torch.Tensor) -> Gradients:
        """Return the gradients of the network for a random target at its last hidden layer, see `probes.gradients`.

        The weights of a layer are all parameters with two axes or more of the modules that are called after the layer
        before it, for the first time, and up to its own output. The gradients are computed anew in double precision
        where single precision loses some, and the module allows it.

        Parameters
        ----------
        images:
            Images ``[n, pixels]``, of which as many are used as autograd has room for.
        """
        size = 8 * _TRACED * sum(self._module.sizes)
        images = images[: max(MIN_IMAGES, min(MAX_IMAGES, _GRADIENT_BYTES // size))]
        found, exact = self._gradients(self._module.made, images)
        if not exact:
            exact_module = self._made(self.point.depth).made
            exact_module.module.double()
            try:
                return self._gradients(exact_module, images.double())[0]
            except NetworkError as error:
                if not isinstance(error.__cause__, RuntimeError):  # some of its tensors are in single precision
                    raise
        return found

    def _gradients(self, made: Made, images: torch.Tensor) -> tuple[Gradients, bool]:
        """Return the gradients, and whether none of them is near the limits of single precision."""
        depth = self.point.depth
        outputs: list[torch.Tensor] = []
        weights: list[list[torch.Tensor]] = [[] for _ in range(depth)]
        seen = set[int]()
        layers = self._module.calls

        def read(output: torch.Tensor) -> torch.Tensor:
            outputs.append(output)
            if len(outputs) == layers[-1]:
                raise _Enough
            return output

        def begin(module: nn.Module, _: Any) -> None:
            new = [p for p in module.parameters(recurse=False) if p.ndim > 1 and p.requires_grad and id(p) not in seen]
            seen.update(map(id, new))
            weights[bisect_left(layers, len(outputs) + 1)] += new

        x = images.detach().requires_grad_()
        hooks = [module.register_forward_pre_hook(begin) for module in made.module.modules()]
        with plain_modes(), torch.enable_grad():
            try:
                self._apply(made, x, read)
            except _Enough:
                pass
            finally:
                for each in hooks:
                    each.remove()
            hidden = [x, *(outputs[call - 1] for call in layers if call <= len(outputs))]
            reached = next((n for n, h in enumerate(hidden[1:]) if self.diverges(h.detach())), len(hidden) - 1)
            hidden, weights = hidden[: reached + 1], weights[:reached]
            last = hidden[-1].flatten(1)
            target = torch.randn(last.shape, generator=generator(self.point.seed, "target"), **DRAWN)
            target = target.mul_(last.shape[1] ** -0.5).to(x)
            wanted = [*hidden[:-1], *(p for of_layer in weights for p in of_layer)]
            by = torch.autograd.grad((last * target).sum(), wanted, allow_unused=True) if reached else ()
        norms = [0.0 if g is None else float(torch.linalg.vector_norm(g, dtype=torch.float64)) for g in by]
        of_weights = iter(norms[reached:])
        by_weights = np.array([math.hypot(0.0, *(next(of_weights) for _ in of_layer)) for of_layer in weights])
        by_layers = np.array([*norms[:reached], float(torch.linalg.vector_norm(target, dtype=torch.float64))])
        fan_in = next((p.numel() / len(p) for of_layer in weights for p in of_layer), float(images.shape[1]))
        seen_by_neurons = math.sqrt(fan_in * float(images.double().square().mean()) * len(images))
        log_d, log_weights = (np.log(np.maximum(norm, _SMALLEST)) for norm in (by_layers, by_weights))
        widths = np.array([h[0].numel() for h in hidden])
        exact = all(SAFE_NORMS[0] < norm < SAFE_NORMS[1] for norm in norms)
        return summary(depth, log_d, log_weights - math.log(seen_by_neurons), widths), exact


class _Enough(BaseException):
    """The module has computed what was wanted of it."""


def _first_tensor(output: Any) -> torch.Tensor | None:
    """Return the first tensor of what a module gives: a tensor, a tuple, or a mapping."""
    if isinstance(output, torch.Tensor):
        return output
    values = output.values() if isinstance(output, Mapping) else output if isinstance(output, tuple | list) else ()
    return next((v for v in values if isinstance(v, torch.Tensor)), None)


@lru_cache(maxsize=16)
def is_nested(custom: Custom, shape: tuple[int, ...], classes: int) -> bool:
    """Return whether a deeper network of a function contains the shallower one, by the outputs of two small ones."""
    if "depth" not in custom.arguments:
        return False
    outputs = []
    try:
        for depth in _NESTED_DEPTHS:
            network = CustomNetwork(Point(1.0, 0.1, depth, 0), custom, shape, classes, reach=depth)
            outputs.append([x for _, x in network.walk(network.tried, until=_NESTED_DEPTHS[0])])
    except NetworkError:  # there may be no network of so few layers
        return False
    return all(a.shape == b.shape and torch.allclose(a, b) for a, b in zip(*outputs, strict=True))
