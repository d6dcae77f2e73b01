r"""Random networks: W ~ N(0, sigma_w^2 / fan_in), b ~ N(0, sigma_b^2).

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

Sources: arXiv:2406.12916 for the architectures; Xiao et al., arXiv:1806.05393, for convolutions with circular
padding, whose critical line is that of a dense network; He et al., arXiv:1512.03385, for residual blocks.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch.nn.functional import conv2d, pad

from probes import products
from probes.point import Point, reach
from probes.seeds import generator

__all__ = [
    "ACTIVATIONS",
    "ARCHITECTURES",
    "Architecture",
    "Conv",
    "Dense",
    "Layer",
    "Network",
    "Residual",
    "circular",
    "wrapped",
]

ARCHITECTURES = ("mlp", "published", "shrinking", "conv", "resnet")

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "erf": torch.erf,
    "arctan": torch.atan,
}
Phi = Callable[[torch.Tensor], torch.Tensor]
Parameters = list[torch.Tensor]  # weight, bias, and again for a layer that has more than one of each

# Beyond this a float32 sum of squares is no longer to be trusted: the network counts as diverged.
LARGEST_ACTIVATION = 1e12

BOUNDED = ("tanh", "erf")  # activations within -1 and 1

READOUT = 0  # the number under which a network's linear read-out is drawn
PUBLISHED_LAST = 400  # width of the last hidden layer of the published network
CHANNELS = 16  # of a convolutional network, unless given
KERNEL = 3


class Layer(ABC):
    """One hidden layer: what it takes, what it gives, how it is drawn and applied."""

    inputs: int
    outputs: int
    size: tuple[int, int] | None = None  # (height, width), of a convolution

    @abstractmethod
    def shapes(self) -> list[tuple[tuple[int, ...], int]]:
        """(shape of the weight, outputs of the bias) of each product in the layer, in the order of use."""

    @abstractmethod
    def decoder_shape(self) -> tuple[tuple[int, ...], int, int]:
        """Of the layer's decoder: shape of the weight, outputs of the bias, and torch's fan_in for the initial draw."""

    @abstractmethod
    def apply(self, x: torch.Tensor, parameters: Parameters, phi: Phi) -> torch.Tensor:
        """Outputs ``[images, outputs]`` from ``x [images, inputs]``; in training with the pack in front of both."""

    def draw(self, point: Point, number: int) -> Parameters:
        """The parameters of hidden layer ``number`` (0: the read-out), on the CPU.

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
    """``phi(x W + b)``."""

    inputs: int
    outputs: int

    def shapes(self) -> list[tuple[tuple[int, ...], int]]:
        """One product."""
        return [((self.inputs, self.outputs), self.outputs)]

    def decoder_shape(self) -> tuple[tuple[int, ...], int, int]:
        """Of torch's Linear, transposed."""
        return (self.outputs, self.inputs), self.inputs, self.outputs

    def apply(self, x: torch.Tensor, parameters: Parameters, phi: Phi) -> torch.Tensor:
        """See `Layer`."""
        if x.ndim == 3:
            return phi(self.affine(x, parameters))
        if phi is torch.tanh:
            return products.affine(x, *parameters, tanh=True)
        return phi(products.affine(x, *parameters))

    @staticmethod
    def affine(x: torch.Tensor, parameters: Parameters) -> torch.Tensor:
        """``x W + b`` of a pack in training: all that there is to a read-out."""
        weight, bias = parameters
        return torch.baddbmm(bias[:, None], x, weight)


@dataclass(frozen=True)
class _Convolutional(Layer):
    """What convolutional layers share: stride 1, circular padding, so every position is like every other."""

    channels_in: int
    channels_out: int
    height: int
    width: int

    @property
    def size(self) -> tuple[int, int]:  # type: ignore[override]
        """(height, width)."""
        return self.height, self.width

    def decoder_shape(self) -> tuple[tuple[int, ...], int, int]:
        """Of torch's ConvTranspose2d, written as a convolution."""
        return (self.channels_in, self.channels_out, KERNEL, KERNEL), self.channels_in, self.channels_in * KERNEL**2

    @property
    def inputs(self) -> int:  # type: ignore[override]
        """Numbers that it takes."""
        return self.channels_in * self.height * self.width

    @property
    def outputs(self) -> int:  # type: ignore[override]
        """Numbers that it gives."""
        return self.channels_out * self.height * self.width

    def _unflatten(self, x: torch.Tensor) -> torch.Tensor:
        """``[images, channels, height, width]``; the networks of a pack side by side as groups of channels."""
        if x.ndim == 2:
            return x.view(len(x), -1, self.height, self.width)
        return x.transpose(0, 1).reshape(x.shape[1], -1, self.height, self.width)

    @staticmethod
    def _flatten(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        return x.flatten(1) if like.ndim == 2 else x.view(len(x), len(like), -1).transpose(0, 1)


@dataclass(frozen=True)
class Conv(_Convolutional):
    """``phi(W * x + b)``."""

    def shapes(self) -> list[tuple[tuple[int, ...], int]]:
        """One product."""
        return [((self.channels_out, self.channels_in, KERNEL, KERNEL), self.channels_out)]

    def apply(self, x: torch.Tensor, parameters: Parameters, phi: Phi) -> torch.Tensor:
        """See `Layer`."""
        return self._flatten(phi(circular(self._unflatten(x), *parameters)), x)


@dataclass(frozen=True)
class Residual(_Convolutional):
    """``phi(x + W2 * phi(W1 * x + b1) + b2)``; where channels are added, the skipped input has zeros there."""

    def shapes(self) -> list[tuple[tuple[int, ...], int]]:
        """Two products."""
        first = (self.channels_out, self.channels_in, KERNEL, KERNEL)
        second = (self.channels_out, self.channels_out, KERNEL, KERNEL)
        return [(first, self.channels_out), (second, self.channels_out)]

    def apply(self, x: torch.Tensor, parameters: Parameters, phi: Phi) -> torch.Tensor:
        """See `Layer`."""
        inner = phi(circular(self._unflatten(x), *parameters[:2]))
        out = self._flatten(circular(inner, *parameters[2:]), x)
        # Channels come first in the flat layout, so missing ones are missing at the end.
        return phi(out + pad(x, (0, self.outputs - self.inputs)))


def circular(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Convolution with circular padding.

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


@dataclass(frozen=True)
class Architecture:
    """Which layers a network is made of.

    Attributes
    ----------
    name:
        One of `ARCHITECTURES`. ``mlp``: hidden layers of one width, or of ``widths``. ``published``: that of the
        paper's code, one width and at last 400. ``shrinking``: widths falling linearly from the input to the classes.
        ``conv``: 3 x 3 convolutions. ``resnet``: blocks of two of them, with a skip connection; a block is one layer.
    shape:
        Of an image: (pixels,), (height, width) or (channels, height, width).
    classes:
        Of the read-out.
    width:
        Of the hidden layers (channels, for ``conv`` and ``resnet``); None: the input's dimension (16 channels).
    widths:
        Of hidden layer 1, 2, ...: a network can be no deeper than that. ``mlp`` and ``conv`` only.

    Raises
    ------
    ValueError
        An unknown name, flat images for a convolution, ``widths`` where they make no sense.
    """

    name: str
    shape: tuple[int, ...]
    classes: int
    width: int | None = None
    widths: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.name not in ARCHITECTURES:
            raise ValueError(f"`architecture` must be one of {', '.join(ARCHITECTURES)}, got {self.name!r}")
        if self.convolutional and len(self.shape) < 2:
            raise ValueError(
                f"`architecture` must be a dense one for images without height and width, got {self.name!r}"
            )
        if self.widths is not None and self.name not in ("mlp", "conv"):
            raise ValueError(f"`widths` must be left out with architecture {self.name!r}, got {self.widths}")

    @property
    def convolutional(self) -> bool:
        """Whether its layers are convolutions."""
        return self.name in ("conv", "resnet")

    @property
    def uniform(self) -> bool:
        """Whether all hidden layers but the first are alike, in networks of any depth."""
        return self.name in ("mlp", "conv", "resnet") and self.widths is None

    @property
    def pixels(self) -> int:
        """Numbers in one image."""
        return math.prod(self.shape)

    @property
    def base_width(self) -> int:
        """Width, or channels, of an ordinary hidden layer."""
        return self.width or (CHANNELS if self.convolutional else self.pixels)

    def reach(self, depth: int) -> int:
        """How deep networks can be that begin with this one of ``depth``: where its horizon is looked for."""
        return reach(self.name, depth, self.widths)

    def layer(self, number: int, depth: int) -> Layer:
        """Hidden layer ``number`` = 1, 2, ... of a network of ``depth``.

        Raises
        ------
        ValueError
            There is none.
        """
        if not 1 <= number <= self.reach(depth):
            raise ValueError(f"`depth` must be at most {self.reach(depth)} for these widths, got {max(number, depth)}")
        before, after = (self._width(n, depth) for n in (number - 1, number))
        if not self.convolutional:
            return Dense(before, after)
        kind = Conv if self.name == "conv" else Residual
        return kind(before, after, *self.shape[-2:])

    def _width(self, number: int, depth: int) -> int:
        if number == 0:
            return (self.shape[0] if len(self.shape) == 3 else 1) if self.convolutional else self.pixels
        if self.widths:
            return self.widths[number - 1]
        if self.name == "published" and number == depth:
            return PUBLISHED_LAST
        if self.name == "shrinking":
            return round(self.base_width + (self.classes - self.base_width) * number / (depth + 1))
        return self.base_width

    def readout(self, depth: int) -> Dense:
        """The linear layer from the last hidden one to the classes."""
        return Dense(self.layer(depth, depth).outputs, self.classes)


class Network:
    """One network on its device, drawn layer by layer as it is walked through.

    Parameters
    ----------
    point, architecture, activation:
        What it is.
    device:
        Where it is applied.
    trained:
        Parameters by layer number (0: the read-out) that replace the drawn ones.

    Raises
    ------
    ValueError
        The architecture has fewer layers than the point.
    """

    def __init__(
        self,
        point: Point,
        architecture: Architecture,
        activation: str,
        device: torch.device | str = "cpu",
        trained: dict[int, Parameters] | None = None,
    ) -> None:
        architecture.layer(point.depth, point.depth)
        self.point, self.architecture = point, architecture
        self._phi = ACTIVATIONS[activation]
        self.bounded = activation in BOUNDED  # whether hidden activations lie within -1 and 1
        self._device = device
        self._trained = trained

    def parameters(self, number: int) -> Parameters:
        """Of hidden layer ``number``, or of the read-out (0)."""
        if self._trained is not None:
            return self._trained[number]
        layer = self.layer(number)
        return [p.to(self._device) for p in layer.draw(self.point, number)]

    def layer(self, number: int) -> Layer:
        """Hidden layer ``number``, or the read-out (0)."""
        depth = self.point.depth
        return self.architecture.readout(depth) if number == READOUT else self.architecture.layer(number, depth)

    def walk(self, x: torch.Tensor, start: int = 0, until: int | None = None) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield (layer, activations ``[images, outputs]``) for each layer after ``start``, whose outputs ``x`` are.

        Ends after layer ``until`` (None: the network's reach), or before a layer whose activations are not finite or
        exceed `LARGEST_ACTIVATION`. The products of a point never depend on which other points are measured: the
        chaotic phase would amplify any difference in rounding.
        """
        for number in range(start + 1, (until or self.architecture.reach(self.point.depth)) + 1):
            x = self.layer(number).apply(x, self.parameters(number), self._phi)
            if not self.bounded and not bool(x.abs().amax() <= LARGEST_ACTIVATION):  # also true for NaN
                return
            yield number, x

    def classify(self, x: torch.Tensor) -> torch.Tensor:
        """``tanh`` of the read-out ``[images, classes]`` of the last hidden layer's outputs, as the paper has it."""
        return self.architecture.readout(self.point.depth).apply(x, self.parameters(READOUT), torch.tanh)
