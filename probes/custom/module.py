"""A module that a function of the user has made, whose layers are read by hooks."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from probes.custom.function import FORWARD, Custom, Made, NetworkError, kind_of, tried_images
from probes.point import Point
from probes.seeds import derive


class OwnModule:
    """A module that a function of the user has made for a point, and which was tried with a few images.

    Parameters
    ----------
    custom, point, shape, classes:
        The function, the point, the shape of an image and the number of classes.
    depth:
        The depth that the function is asked for; by default that of the point.
    device:
        Device of the module.

    Attributes
    ----------
    made:
        The module and its layers.
    tried:
        The images ``[n, pixels]`` that it was tried with.
    shapes:
        Shape of what each call of a layer gives for an image, in the order of the calls.

    Raises
    ------
    NetworkError
        There is no module, or what it returns has another shape than logits.
    """

    def __init__(
        self,
        custom: Custom,
        point: Point,
        shape: tuple[int, ...],
        classes: int,
        depth: int | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self._custom, self._point, self._shape, self._classes = custom, point, shape, classes
        self.tried = tried_images(shape).to(device)
        self.made: Made = custom.make(point, depth or point.depth, shape, classes)
        with custom.running(derive(point.seed, FORWARD)):  # a module on the device "meta" raises an exception
            self.made.module.to(device)
        self.shapes = self._try()

    @property
    def sizes(self) -> list[int]:
        """The number of values that each call of a layer gives for an image."""
        return [math.prod(shape) for shape in self.shapes]

    def _try(self) -> list[tuple[int, ...]]:
        images = self.tried
        outputs: list[torch.Tensor] = []

        def read(output: torch.Tensor) -> torch.Tensor:
            outputs.append(output)
            return output

        name = self._custom.name
        with torch.no_grad():
            logits = self.apply(images, read)
        self._custom.check_logits(logits, len(images), self._classes)
        if outputs and outputs[-1].shape == logits.shape and torch.equal(outputs[-1], logits):
            outputs.pop()
        if not outputs:
            raise NetworkError(
                f"`network` {name} has no hidden layers: none of those found is called before the read-out"
            )
        if any(len(output) != len(images) for output in outputs):
            raise NetworkError(f"`network` {name} has a layer whose outputs do not begin with the axis of the images")
        return [tuple(output.shape[1:]) for output in outputs]

    def apply(self, images: torch.Tensor, read: Callable[[torch.Tensor], torch.Tensor]) -> Any:
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

        hooks = [layer.register_forward_hook(hook) for layer in dict.fromkeys(self.made.layers)]
        try:
            with self._custom.running(derive(self._point.seed, FORWARD)):
                return self.made.module(images.view(-1, *self._shape))
        finally:
            for each in hooks:
                each.remove()


def _first_tensor(output: Any) -> torch.Tensor | None:
    """Return the first tensor of what a module gives: a tensor, a tuple, or a mapping."""
    if isinstance(output, torch.Tensor):
        return output
    values = output.values() if isinstance(output, Mapping) else output if isinstance(output, tuple | list) else ()
    return next((v for v in values if isinstance(v, torch.Tensor)), None)
