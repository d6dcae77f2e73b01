"""A network that a function of the user has made, walked through layer by layer."""

import math
import queue
import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from torch import nn

from probes.custom.decoding import MAX_DECODED, decoded_layers, hidden_calls
from probes.custom.function import CONVOLUTIONS, Custom, NetworkError
from probes.custom.module import OwnModule
from probes.custom.quick import QuickProducts
from probes.gradients import MAX_IMAGES, MIN_IMAGES, SAFE_NORMS, Gradients, summary
from probes.layers import Layer
from probes.networks import LARGEST_ACTIVATION
from probes.point import REACH, Point
from probes.seeds import DRAWN, generator
from probes.threads import plain_modes
from probes.time_limit import interrupt

_NESTED_DEPTHS = 2, 4  # of the networks that tell whether a deeper one contains a shallower one
KEPT_OUTPUT_BYTES = 2**28  # of the outputs of the last layers that were walked through
_AHEAD, _AHEAD_BYTES = 8, 2**26  # layers, and bytes of them, that are computed before they are asked for
_LEAVING_TIME_S = 5.0  # for which a module that is no longer needed is waited for
_GRADIENT_BYTES = 2**27  # of what autograd keeps, about
_TRACED = 4  # times as many bytes as the outputs of layers, that autograd keeps of what leads to them
_SMALLEST = torch.finfo(torch.float64).tiny  # a gradient that has vanished altogether counts as this


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
        module, calls = self._own
        self.tried = module.tried
        self.convolutional = any(isinstance(m, CONVOLUTIONS) for m in module.made.module.modules())
        self._outputs = [module.shapes[call - 1] for call in calls]
        self.reach = reach or point.depth * (REACH if is_nested(custom, shape, classes) else 1)
        self._recent: deque[tuple[int, torch.Tensor]] = deque()
        self._recent_bytes = 0
        self._inputs = self.tried

    @cached_property
    def _own(self) -> tuple[OwnModule, list[int]]:
        """The module of this network, and the calls of its hidden layers; made anew if it is needed once forgotten."""
        return self._made(self.point.depth)

    @cached_property
    def _layers(self) -> Mapping[int, Layer]:
        """The layers that a cascade decodes."""
        layers = decoded_layers(self._shape, self._outputs)
        if not layers:
            raise NetworkError(
                f"`network` {self._custom.name} has no layer that a cascade decodes: it, and the images, may have at "
                f"most {MAX_DECODED} values (`probe` direct has no such limit)"
            )
        return layers

    @property
    def undecoded(self) -> list[int]:
        """The numbers of the hidden layers that are too large for a cascade, and left out of it."""
        return [number for number in range(1, self.point.depth + 1) if not self.decodes(number)]

    def decodes(self, number: int) -> bool:
        """Return whether a cascade decodes a hidden layer; it leaves out what has more than `MAX_DECODED` values."""
        return number in self._layers

    def layer(self, number: int) -> Layer:
        """Return a hidden layer as its decoder sees it."""
        return self._layers[number]

    def bounds(self, x: torch.Tensor) -> bool:
        """Return whether activations ``[images, outputs]`` lie between -1 and 1."""
        return bool(x.abs().amax() <= 1)

    @cached_property
    def _deeper_module(self) -> tuple[OwnModule, list[int]]:
        """The module that contains this network and goes on to its reach; made when a walk comes so far."""
        return self._made(self.reach)

    def _made(self, depth: int) -> tuple[OwnModule, list[int]]:
        """Return the module of a depth, and the numbers of the calls, from 1, that are the hidden layers 1, 2, ..."""
        module = OwnModule(self._custom, self.point, self._shape, self._classes, depth, self._device)
        count, name = len(module.shapes), self._custom.name
        if "depth" not in self._custom.arguments and depth != count:
            raise NetworkError(f"`depth` must be {count}, the number of layers of `network` {name}, got {depth}")
        if count < depth:
            raise NetworkError(f"`network` {name} has {count} layers at depth {depth}: name more with `layers`")
        return module, hidden_calls(count, depth)

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
        while self._recent_bytes > KEPT_OUTPUT_BYTES and len(self._recent) > 1:
            self._recent_bytes -= self._recent.popleft()[1].nbytes

    def _from_images(self, start: int, until: int) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield the number and the activations of the hidden layers after ``start`` and up to ``until``."""
        depth = self.point.depth
        if start < depth:
            yield from self._run(*self._own, start, min(until, depth))
        if until > depth:
            yield from self._run(*self._deeper_module, max(start, depth), until)

    def _run(self, module: OwnModule, hidden: list[int], start: int, until: int) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield the number and the activations of hidden layers, as the module computes them.

        The module runs in a thread of its own, which is a few layers ahead and then waits in the hook of a layer.
        """
        ahead = layers_ahead(4 * len(self._inputs) * max(module.sizes))
        wanted = {call: number for number, call in enumerate(hidden[:until], 1) if number > start}
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
                with plain_modes(), torch.no_grad(), QuickProducts():
                    module.apply(self._inputs, read)
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
            thread.join(_LEAVING_TIME_S)
            if thread.is_alive():  # in a layer that takes long, or for ever
                interrupt(thread, _Enough)

    @property
    def call_count(self) -> int:
        """The number of times that layers are called, of which some may be no hidden layers."""
        return len(self._own[0].shapes)

    def forget(self) -> None:
        """Free the modules and what is kept of their outputs, until they are needed again."""
        self._recent.clear()
        self._inputs = self.tried
        for name in ("_own", "_deeper_module"):
            self.__dict__.pop(name, None)

    def diverges(self, x: torch.Tensor) -> bool:
        """Return whether activations are not finite or exceed `LARGEST_ACTIVATION`."""
        low, high = map(float, x.aminmax())
        return not -LARGEST_ACTIVATION <= low <= high <= LARGEST_ACTIVATION  # true of a NaN, too

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
        module, _ = self._own
        images = images[: gradient_images(module.sizes)]
        found, exact = self._gradients(module, images)
        if not exact:
            exact_module, _ = self._made(self.point.depth)
            exact_module.made.module.double()
            try:
                return self._gradients(exact_module, images.double())[0]
            except NetworkError as error:
                if not isinstance(error.__cause__, RuntimeError):  # some of its tensors are in single precision
                    raise
        return found

    def _gradients(self, module: OwnModule, images: torch.Tensor) -> tuple[Gradients, bool]:
        """Return the gradients, and whether none of them is near the limits of single precision."""
        depth = self.point.depth
        outputs: list[torch.Tensor] = []
        weights: list[list[torch.Tensor]] = [[] for _ in range(depth)]
        seen = set[int]()
        layers = hidden_calls(len(module.shapes), depth)

        def read(output: torch.Tensor) -> torch.Tensor:
            outputs.append(output)
            if len(outputs) == layers[-1]:
                raise _Enough
            return output

        def begin(part: nn.Module, _: Any) -> None:
            new = [p for p in part.parameters(recurse=False) if p.ndim > 1 and p.requires_grad and id(p) not in seen]
            seen.update(map(id, new))
            weights[bisect_left(layers, len(outputs) + 1)] += new

        x = images.detach().requires_grad_()
        hooks = [part.register_forward_pre_hook(begin) for part in module.made.module.modules()]
        with plain_modes(), torch.enable_grad():
            try:
                module.apply(x, read)
            except _Enough:
                pass
            finally:
                for each in hooks:
                    each.remove()
            hidden = [x, *(outputs[call - 1] for call in layers if call <= len(outputs))]
            reached = next((n for n, h in enumerate(hidden[1:]) if self.diverges(h.detach())), len(hidden) - 1)
            hidden, weights = hidden[: reached + 1], weights[:reached]
            last = hidden[-1].flatten(1)
            if not last.requires_grad:
                raise NetworkError(f"`network` {self._custom.name} has a layer that no gradient passes through")
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


def layers_ahead(layer_bytes: int) -> int:
    """Return how many layers are computed before they are asked for, given the bytes of the largest one's outputs."""
    return max(1, min(_AHEAD, _AHEAD_BYTES // layer_bytes))


def gradient_images(sizes: Sequence[float]) -> int:
    """Return how many images the gradients are computed for, given how many values each layer has for an image."""
    return max(MIN_IMAGES, min(MAX_IMAGES, int(_GRADIENT_BYTES // (8 * _TRACED * sum(sizes)))))


def layer_count(custom: Custom, point: Point, shape: tuple[int, ...], classes: int) -> int:
    """Return the number of layers that the network of a function has at a point.

    Raises
    ------
    NetworkError
        There is no such network.
    """
    return len(OwnModule(custom, point, shape, classes).shapes)


@lru_cache(maxsize=256)
def is_nested(custom: Custom, shape: tuple[int, ...], classes: int) -> bool:
    """Return whether a deeper network of a function contains the shallower one, by the outputs of two small ones."""
    if "depth" not in custom.arguments:
        return False
    outputs, counts = [], []
    try:
        for depth in _NESTED_DEPTHS:
            network = CustomNetwork(custom.tried_point(depth), custom, shape, classes, reach=depth)
            outputs.append([x for _, x in network.walk(network.tried, until=_NESTED_DEPTHS[0])])
            counts.append(network.call_count)
    except NetworkError:  # there may be no network of so few layers
        return False
    if counts[0] == counts[1] or len(outputs[0]) < _NESTED_DEPTHS[0]:  # the depth changes nothing; it diverges at once
        return False
    return all(a.shape == b.shape and torch.allclose(a, b) for a, b in zip(*outputs, strict=False))
