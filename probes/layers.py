r"""The layers of random networks: W ~ N(0, sigma_w^2 / fan_in), b ~ N(0, sigma_b^2).

=========  ============================================================  ====================================
symbol     meaning                                                       shape
=========  ============================================================  ====================================
x          activations of a layer; layer 0 is the image                  ``[images, inputs]``
weight     of a dense layer, applied as ``x @ weight + bias``            ``[inputs, outputs]``
           of a convolution                                              ``[out, in, kernel, kernel]``
bias       of either                                                     ``[outputs]`` or ``[out]``
fan_in     numbers that one output is the weighted sum of                scalar
=========  ============================================================  ====================================

Whatever a layer's kind, activations are flat (``channels x height x width`` for a convolution). In training all tensors
carry the pack as an additional first axis.

Sources: Xiao et al., arXiv:1806.05393, for convolutions with circular padding, whose critical line is that of a dense
network; He et al., arXiv:1512.03385, for residual blocks.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import conv2d, pad

from probes import products
from probes.point import Point
from probes.seeds import generator

Phi = Callable[[torch.Tensor], torch.Tensor]
Parameters = list[torch.Tensor]  # weight, bias, and again for a layer that has more than one of each

ACTIVATIONS: dict[str, Phi] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "erf": torch.erf,
    "arctan": torch.atan,
}
BOUNDED = ("tanh", "erf")  # activations within -1 and 1
KERNEL = 3


class Layer(ABC):
    """A hidden layer: its shapes, how its parameters are drawn, and how it is applied."""

    inputs: int
    outputs: int
    size: tuple[int, int] | None = None  # (height, width), of a convolution

    @abstractmethod
    def shapes(self) -> list[tuple[tuple[int, ...], int]]:
        """Return (shape of the weight, outputs of the bias) of each product in the layer, in the order of use."""

    @abstractmethod
    def decoder_shape(self) -> tuple[tuple[int, ...], int, int]:
        """Return the decoder's shape of the weight, outputs of the bias, and torch's fan_in for the initial draw."""

    @abstractmethod
    def apply(self, x: torch.Tensor, parameters: Parameters, phi: Phi) -> torch.Tensor:
        """Return outputs ``[images, outputs]`` of ``x [images, inputs]``; in training both begin with the pack."""

    def draw(self, point: Point, number: int) -> Parameters:
        """Draw the parameters of hidden layer ``number`` (0 is the read-out) on the CPU.

        Every layer has its own generator, so a deeper network contains the shallower one; the draw is made in
        units of the standard deviations, so points that share a seed share it up to scale.
        """
        random = generator(point.seed, "network", number)
        drawn = []
        for shape, outputs in self.shapes():
            fan_in = math.prod(shape) // outputs
            drawn.append(torch.randn(shape, generator=random).mul_(point.sigma_w / math.sqrt(fan_in)))
            drawn.append(torch.randn(outputs, generator=random).mul_(point.sigma_b))
        return drawn


@dataclass(frozen=True)
class Dense(Layer):
    """A dense layer, ``phi(x W + b)``."""

    inputs: int
    outputs: int

    def shapes(self) -> list[tuple[tuple[int, ...], int]]:
        """Return the shapes of the only product."""
        return [((self.inputs, self.outputs), self.outputs)]

    def decoder_shape(self) -> tuple[tuple[int, ...], int, int]:
        """Return the shapes of torch's Linear, transposed."""
        return (self.outputs, self.inputs), self.inputs, self.outputs

    def apply(self, x: torch.Tensor, parameters: Parameters, phi: Phi) -> torch.Tensor:
        """Return the outputs of the layer; see `Layer`."""
        if x.ndim == 3:
            return phi(self.affine(x, parameters))
        if phi is torch.tanh:
            return products.affine(x, *parameters, tanh=True)
        return phi(products.affine(x, *parameters))

    @staticmethod
    def affine(x: torch.Tensor, parameters: Parameters) -> torch.Tensor:
        """Return ``x W + b`` of a pack in training, without activation, as a read-out has it."""
        weight, bias = parameters
        return torch.baddbmm(bias[:, None], x, weight)


@dataclass(frozen=True)
class _Convolutional(Layer):
    """Base of convolutional layers: stride 1 and circular padding, so that all positions are alike."""

    channels_in: int
    channels_out: int
    height: int
    width: int

    @property
    def size(self) -> tuple[int, int]:  # type: ignore[override]
        """The height and the width of an image."""
        return self.height, self.width

    def decoder_shape(self) -> tuple[tuple[int, ...], int, int]:
        """Return the shapes of torch's ConvTranspose2d, written as a convolution."""
        return (self.channels_in, self.channels_out, KERNEL, KERNEL), self.channels_in, self.channels_in * KERNEL**2

    @property
    def inputs(self) -> int:  # type: ignore[override]
        """The number of values that the layer takes."""
        return self.channels_in * self.height * self.width

    @property
    def outputs(self) -> int:  # type: ignore[override]
        """The number of values that the layer gives."""
        return self.channels_out * self.height * self.width

    def _unflatten(self, x: torch.Tensor) -> torch.Tensor:
        """Return images ``[images, channels, height, width]``; networks of a pack are groups of channels."""
        if x.ndim == 2:
            return x.view(len(x), -1, self.height, self.width)
        return x.transpose(0, 1).reshape(x.shape[1], -1, self.height, self.width)

    @staticmethod
    def _flatten(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        return x.flatten(1) if like.ndim == 2 else x.view(len(x), len(like), -1).transpose(0, 1)


@dataclass(frozen=True)
class Conv(_Convolutional):
    """A convolutional layer, ``phi(W * x + b)``."""

    def shapes(self) -> list[tuple[tuple[int, ...], int]]:
        """Return the shapes of the only product."""
        return [((self.channels_out, self.channels_in, KERNEL, KERNEL), self.channels_out)]

    def apply(self, x: torch.Tensor, parameters: Parameters, phi: Phi) -> torch.Tensor:
        """Return the outputs of the layer; see `Layer`."""
        return self._flatten(phi(circular(self._unflatten(x), *parameters)), x)


@dataclass(frozen=True)
class Residual(_Convolutional):
    """A residual block, ``phi(x + W2 * phi(W1 * x + b1) + b2)``; channels that are added skip zeros."""

    def shapes(self) -> list[tuple[tuple[int, ...], int]]:
        """Return the shapes of both products."""
        first = (self.channels_out, self.channels_in, KERNEL, KERNEL)
        second = (self.channels_out, self.channels_out, KERNEL, KERNEL)
        return [(first, self.channels_out), (second, self.channels_out)]

    def apply(self, x: torch.Tensor, parameters: Parameters, phi: Phi) -> torch.Tensor:
        """Return the outputs of the layer; see `Layer`."""
        inner = phi(circular(self._unflatten(x), *parameters[:2]))
        out = self._flatten(circular(inner, *parameters[2:]), x)
        # Channels come first in the flat layout, so missing ones are missing at the end.
        return phi(out + pad(x, (0, self.outputs - self.inputs)))


def circular(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Return the convolution of images with circular padding.

    ``x [images, in, height, width]``, ``weight [out, in, kernel, kernel]``, ``bias [out]``; or, for a pack, ``x``
    with ``pack x in`` channels and ``weight``, ``bias`` with the pack in front.
    """
    groups = 1 if weight.ndim == 4 else len(weight)
    if weight.ndim == 5:
        weight, bias = weight.flatten(0, 1), bias.flatten()
    return conv2d(wrapped(x, weight.shape[-1] // 2), weight, bias, groups=groups)


def wrapped(x: torch.Tensor, edge: int) -> torch.Tensor:
    """Continue images ``[..., height, width]`` periodically by ``edge`` on all four sides."""
    return pad(x, (edge,) * 4, mode="circular")
