r"""The layers of random networks: weights have variance sigma_w^2 / fan_in, and biases are normal with sigma_b^2.

=========  ============================================================  ====================================
symbol     meaning                                                       shape
=========  ============================================================  ====================================
x          inputs of a layer: the activations of the layer before it,
           for the first one the images                                  ``[images, inputs]``
phi        activation, elementwise
W          weight of a dense layer                                       ``[inputs, outputs]``
           weight of a convolution                                       ``[out, in, kernel, kernel]``
b          bias                                                          ``[outputs]`` or ``[out]``
fan_in     number of values that one output is a weighted sum of:
           ``inputs``, or ``in x kernel^2`` for a convolution            scalar
output     of a dense layer, ``phi(x W + b)``                            ``[images, outputs]``
           of a convolution, ``phi(W * x + b)``                          ``[images, outputs]``
           of a residual block, ``phi(x + W2 * phi(W1 * x + b1) + b2)``  ``[images, outputs]``
=========  ============================================================  ====================================

Here ``*`` is a convolution with circular padding and stride 1. Whatever the kind of the layer, its inputs and outputs
are flat; for convolutions they are in the order (channels, height, width). In training, all tensors have the pack as an
additional first axis. `probes.initialisations` says how weights are distributed.

References
----------
Xiao et al., arXiv:1806.05393, for convolutions with circular padding, whose critical line is that of a dense network;
He et al., arXiv:1512.03385, for residual blocks.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import conv2d, pad, pixel_shuffle, pixel_unshuffle

from probes import products
from probes.activations import DECLARED
from probes.initialisations import INITIALISATIONS, NORMAL
from probes.point import Point
from probes.seeds import DRAWN, generator

Phi = Callable[[torch.Tensor], torch.Tensor]
Parameters = list[torch.Tensor]  # weight and bias of a layer; those of both convolutions of a residual block

ACTIVATIONS: dict[str, Phi] = {name: activation.phi for name, activation in DECLARED.items()}
KERNEL_SIZE = 3  # height and width of the kernel of a convolution


class Layer(ABC):
    """A hidden layer: its shapes, how its parameters are drawn, and how it is applied.

    Attributes
    ----------
    inputs, outputs:
        Number of values that the layer takes and gives for one image.
    size:
        (height, width) of the images that a convolution gives; None for a dense layer.
    stride:
        Number of times that the images which a convolution takes are as high, and as wide, as those that it gives.
    """

    inputs: int
    outputs: int
    size: tuple[int, int] | None = None
    stride: int = 1

    @abstractmethod
    def shapes(self) -> list[tuple[tuple[int, ...], int]]:
        """Return the shape of the weight and the length of the bias of each product in the layer, in order of use."""

    @abstractmethod
    def decoder_shape(self) -> tuple[tuple[int, ...], int, int]:
        """Return the shapes of a decoder of the layer.

        Returns
        -------
        tuple of (tuple of int, int, int)
            Shape of the decoder's weight, length of its bias, and the fan_in by which torch scales its initial values.
        """

    @abstractmethod
    def apply(self, x: torch.Tensor, parameters: Parameters, phi: Phi) -> torch.Tensor:
        """Return the outputs of the layer.

        Parameters
        ----------
        x:
            Inputs, ``[images, inputs]``, or in training ``[pack, images, inputs]``.
        parameters:
            Parameters as `draw` returns them; in training with the pack in front.
        phi:
            Activation.

        Returns
        -------
        torch.Tensor
            Outputs ``[images, outputs]``, or in training ``[pack, images, outputs]``.
        """

    def draw(self, point: Point, number: int, initialise: str = NORMAL) -> Parameters:
        """Draw the parameters of hidden layer ``number`` (0 is the read-out) on the CPU.

        Every layer has its own generator, so that a deeper network contains the shallower one. Standard normal numbers
        are drawn, made into weights of variance 1 by one of `INITIALISATIONS`, and then scaled, so that the parameters
        of points with the same seed differ only in scale.
        """
        unit_weights = INITIALISATIONS[initialise]
        random = generator(point.seed, "network", number)
        drawn = []
        for shape, outputs in self.shapes():
            fan_in = math.prod(shape) // outputs
            weight = unit_weights(torch.randn(shape, generator=random, **DRAWN))
            drawn.append(weight.mul_(point.sigma_w / math.sqrt(fan_in)))
            drawn.append(torch.randn(outputs, generator=random, **DRAWN).mul_(point.sigma_b))
        return drawn


@dataclass(frozen=True)
class Dense(Layer):
    """A dense layer, ``phi(x W + b)``."""

    inputs: int
    outputs: int

    def shapes(self) -> list[tuple[tuple[int, ...], int]]:
        """Return the shapes of the weight and the bias of the only product."""
        return [((self.inputs, self.outputs), self.outputs)]

    def decoder_shape(self) -> tuple[tuple[int, ...], int, int]:
        """Return the shapes of torch's Linear from outputs to inputs, with the weight transposed."""
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
        """Return ``x W + b``, without activation, for a pack in training; a read-out is no more than this."""
        weight, bias = parameters
        return torch.baddbmm(bias[:, None], x, weight)


@dataclass(frozen=True)
class _Convolutional(Layer):
    """The base of convolutional layers, with stride 1 and circular padding, so that all positions are alike."""

    channels_in: int
    channels_out: int
    height: int
    width: int

    @property
    def size(self) -> tuple[int, int]:  # type: ignore[override]
        """The height and the width of an image."""
        return self.height, self.width

    def decoder_shape(self) -> tuple[tuple[int, ...], int, int]:
        """Return the shapes of torch's ConvTranspose2d from outputs to inputs, written as a convolution."""
        return (
            (self.channels_in, self.channels_out, KERNEL_SIZE, KERNEL_SIZE),
            self.channels_in,
            self.channels_in * KERNEL_SIZE**2,
        )

    @property
    def inputs(self) -> int:  # type: ignore[override]
        """The number of values that the layer takes."""
        return self.channels_in * self.height * self.width

    @property
    def outputs(self) -> int:  # type: ignore[override]
        """The number of values that the layer gives."""
        return self.channels_out * self.height * self.width

    def _unflatten(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``x`` as ``[images, channels, height, width]``, the channels of a pack's networks side by side."""
        if x.ndim == 2:
            return x.view(len(x), -1, self.height, self.width)
        return x.transpose(0, 1).reshape(x.shape[1], -1, self.height, self.width)

    @staticmethod
    def _flatten(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Return ``x [images, channels, height, width]`` flat, with a pack in front if ``like`` has one."""
        return x.flatten(1) if like.ndim == 2 else x.view(len(x), len(like), -1).transpose(0, 1)


@dataclass(frozen=True)
class Conv(_Convolutional):
    """A convolutional layer, ``phi(W * x + b)``."""

    def shapes(self) -> list[tuple[tuple[int, ...], int]]:
        """Return the shapes of the weight and the bias of the only product."""
        return [((self.channels_out, self.channels_in, KERNEL_SIZE, KERNEL_SIZE), self.channels_out)]

    def apply(self, x: torch.Tensor, parameters: Parameters, phi: Phi) -> torch.Tensor:
        """Return the outputs of the layer; see `Layer`."""
        return self._flatten(_activated(circular(self._unflatten(x), *parameters), phi), x)


@dataclass(frozen=True)
class Residual(_Convolutional):
    """A residual block, ``phi(x + scale (W2 * phi(W1 * x + b1) + b2))``.

    If the block has more output than input channels, the x that is added is 0 in the additional ones.
    """

    scale: float = 1.0

    def shapes(self) -> list[tuple[tuple[int, ...], int]]:
        """Return the shapes of the weights and the biases of both convolutions."""
        first = (self.channels_out, self.channels_in, KERNEL_SIZE, KERNEL_SIZE)
        second = (self.channels_out, self.channels_out, KERNEL_SIZE, KERNEL_SIZE)
        return [(first, self.channels_out), (second, self.channels_out)]

    def apply(self, x: torch.Tensor, parameters: Parameters, phi: Phi) -> torch.Tensor:
        """Return the outputs of the layer; see `Layer`."""
        inner = _activated(circular(self._unflatten(x), *parameters[:2]), phi)
        out = self._flatten(circular(inner, *parameters[2:]), x)
        out = out if self.scale == 1 else out.mul_(self.scale)
        # Channels come first in the flat order, so the values of additional channels are at the end.
        return _activated(out + pad(x, (0, self.outputs - self.inputs)), phi)


def _activated(z: torch.Tensor, phi: Phi) -> torch.Tensor:
    """Return ``phi(z)``, which may take the place of z."""
    return products.quick_tanh_(z) if phi is torch.tanh else phi(z)


def circular(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Return the convolution of images with circular padding, plus a bias.

    Parameters
    ----------
    x:
        Images ``[images, in, height, width]``; for a pack ``[images, pack x in, height, width]``.
    weight, bias:
        Parameters ``[out, in, kernel, kernel]`` and ``[out]``; for a pack with the pack in front.

    Returns
    -------
    torch.Tensor
        Images ``[images, out, height, width]``; for a pack ``[images, pack x out, height, width]``.
    """
    groups = 1 if weight.ndim == 4 else len(weight)
    if weight.ndim == 5:
        weight, bias = weight.flatten(0, 1), bias.flatten()
    return conv2d(wrapped(x, weight.shape[-1] // 2), weight, bias, groups=groups)


def folded(x: torch.Tensor, size: tuple[int, int] | None, stride: int) -> torch.Tensor:
    """Return flat images ``[images, numbers]`` with the channels of ``stride x stride`` positions as those of one.

    ``size`` is the height and the width of the result, None if it is no image. `unfolded` is the inverse.
    """
    if size is None or stride == 1:
        return x
    return pixel_unshuffle(x.view(len(x), -1, *(stride * side for side in size)), stride).flatten(1)


def unfolded(x: torch.Tensor, stride: int) -> torch.Tensor:
    """Return images ``[images, channels, height, width]`` that were `folded` as they were."""
    return x if stride == 1 else pixel_shuffle(x, stride)


def wrapped(x: torch.Tensor, edge: int) -> torch.Tensor:
    """Continue images ``[..., height, width]`` periodically by ``edge`` on all four sides."""
    out: torch.Tensor = _Wrapped.apply(x, edge)
    return out


class _Wrapped(torch.autograd.Function):
    """Circular padding, whose gradient takes less time than that of torch's, which copies an image for each edge."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, edge: int) -> torch.Tensor:
        """Return ``x``, continued by ``edge`` on all four sides."""
        ctx.edge = edge
        return pad(x, (edge,) * 4, mode="circular")

    @staticmethod
    def backward(ctx: Any, d: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Return the gradient by ``x``: every pixel gets that of its copies, too."""
        edge, (height, width) = ctx.edge, d.shape[-2:]
        rows = d[..., edge : height - edge, :].clone()
        rows[..., :edge, :] += d[..., height - edge :, :]
        rows[..., -edge:, :] += d[..., :edge, :]
        rows[..., edge : 2 * edge] += rows[..., width - edge :]
        rows[..., width - 2 * edge : width - edge] += rows[..., :edge]
        return rows[..., edge : width - edge], None
