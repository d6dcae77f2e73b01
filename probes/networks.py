"""Random networks: their layers and their activations.

References
----------
arXiv:2406.12916 for the architectures.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch

from probes.activations import DECLARED
from probes.further import OWN_SETTINGS, RATE
from probes.initialisations import INITIALISATIONS, NORMAL
from probes.layers import ACTIVATIONS, Conv, Dense, Layer, Parameters, Residual
from probes.point import Point, reach

ARCHITECTURES = ("mlp", "published", "shrinking", "conv", "resnet")

# Beyond this a sum of squares in float32 cannot be trusted, and the network counts as diverged.
LARGEST_ACTIVATION = 1e12

READOUT = 0  # the layer number of a network's linear read-out
PUBLISHED_LAST = 400  # width of the last hidden layer of the published network
CHANNELS = 16  # of a convolutional network without a `width`


@dataclass(frozen=True)
class Architecture:
    """The kind and sizes of the layers that a network is made of, and how their parameters are drawn.

    Attributes
    ----------
    name:
        One of `ARCHITECTURES`. ``mlp``: hidden layers of one width, or of ``widths``. ``published``: the network of the
        paper's code, with one width and a last hidden layer of 400. ``shrinking``: widths that fall linearly from the
        input to the classes. ``conv``: 3 x 3 convolutions. ``resnet``: blocks of two such convolutions with a skip
        connection; a block is one layer.
    shape:
        Shape of an image: (pixels,), (height, width) or (channels, height, width).
    classes:
        Number of classes, which is the number of outputs of the read-out.
    width:
        Width of the hidden layers (their channels for ``conv`` and ``resnet``). None means the number of pixels, or 16
        channels.
    widths:
        Widths of the hidden layers 1, 2, ...; a network cannot have more layers than these. For ``mlp`` and ``conv``
        only.
    initialise:
        How the weights of the hidden layers are drawn, one of `probes.initialisations.INITIALISATIONS`.
    residual_scale:
        Factor of what a block of ``resnet`` adds to its input.

    Raises
    ------
    ValueError
        A name is unknown, the images are flat and the layers are convolutions, or the architecture has no ``widths`` or
        no ``residual_scale``.
    """

    name: str
    shape: tuple[int, ...]
    classes: int
    width: int | None = None
    widths: tuple[int, ...] | None = None
    initialise: str = NORMAL
    residual_scale: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in ARCHITECTURES:
            raise ValueError(f"`architecture` must be one of {', '.join(ARCHITECTURES)}, got {self.name!r}")
        if self.initialise not in INITIALISATIONS:
            raise ValueError(f"`initialise` must be one of {', '.join(INITIALISATIONS)}, got {self.initialise!r}")
        if self.convolutional and len(self.shape) < 2:
            raise ValueError(
                f"`architecture` must be a dense one (mlp, published, shrinking) for images without height and width, "
                f"got {self.name!r}"
            )
        if self.widths is not None and self.name not in ("mlp", "conv"):
            raise ValueError(f"`widths` must be left out with architecture {self.name!r}, got {self.widths}")
        if self.residual_scale != 1 and self.name != "resnet":
            raise ValueError(f"`residual_scale` must be left out with architecture {self.name!r}")

    def of(self, point: Point) -> "Architecture":
        """Return the architecture of a point's network: with the width and the residual scale of the point, if any.

        Raises
        ------
        ValueError
            The width of the point is not a positive whole number, or the architecture has no residual scale.
        """
        own: dict[str, Any] = {name: value for name, value in point.extra if name in OWN_SETTINGS and name != RATE}
        if "width" in own and not (isinstance(own["width"], int) and own["width"] > 0):
            raise ValueError(f"`width` must be a positive whole number, got {own['width']}")
        return replace(self, **own) if own else self

    @property
    def convolutional(self) -> bool:
        """Whether the layers are convolutions."""
        return self.name in ("conv", "resnet")

    @property
    def uniform(self) -> bool:
        """Whether all hidden layers but the first are alike, in networks of any depth."""
        return self.name in ("mlp", "conv", "resnet") and self.widths is None

    @property
    def pixels(self) -> int:
        """Number of values in one image."""
        return math.prod(self.shape)

    @property
    def base_width(self) -> int:
        """Width (or number of channels) of a hidden layer, unless ``widths`` or the architecture say otherwise."""
        return self.width or (CHANNELS if self.convolutional else self.pixels)

    def reach(self, depth: int) -> int:
        """Return the last layer to which a network of ``depth`` is followed; see `probes.point.reach`."""
        return reach(self.name, depth, self.widths)

    def layer(self, number: int, depth: int) -> Layer:
        """Return hidden layer ``number`` = 1, 2, ... of a network of ``depth``.

        Raises
        ------
        ValueError
            The architecture has no such layer.
        """
        if not 1 <= number <= self.reach(depth):
            raise ValueError(f"`depth` must be at most {self.reach(depth)} for these widths, got {max(number, depth)}")
        before, after = (self._width(n, depth) for n in (number - 1, number))
        if not self.convolutional:
            return Dense(before, after)
        height, width = self.shape[-2:]
        if self.name == "conv":
            return Conv(before, after, height, width)
        return Residual(before, after, height, width, self.residual_scale)

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
        """Return the linear layer from the last hidden layer to the classes."""
        return Dense(self.layer(depth, depth).outputs, self.classes)

    def draw(self, point: Point, number: int) -> Parameters:
        """Draw the parameters of hidden layer ``number`` of a point's network, or of the read-out (0), on the CPU.

        Those of the read-out are normal, whatever the initialisation of the hidden layers.
        """
        if number == READOUT:
            return self.readout(point.depth).draw(point, READOUT)
        return self.layer(number, point.depth).draw(point, number, self.initialise)


class Walkable(Protocol):
    """A network that can be walked through, layer by layer.

    Attributes
    ----------
    point:
        The point that it is the network of.
    """

    point: Point

    @property
    def reach(self) -> int:
        """The last layer that can be walked to, which may lie beyond the depth."""

    @property
    def convolutional(self) -> bool:
        """Whether its layers are convolutions."""

    def walk(self, x: torch.Tensor, start: int = 0, until: int | None = None) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield the number and the activations of each hidden layer after ``start``, see `Network.walk`."""


class Decodable(Walkable, Protocol):
    """A network whose layers a cascade can decode, one from another."""

    def decodes(self, number: int) -> bool:
        """Return whether hidden layer ``number`` is decoded; one that is too large is left out."""

    def layer(self, number: int) -> Layer:
        """Return hidden layer ``number`` as its decoder sees it."""

    def bounds(self, x: torch.Tensor) -> bool:
        """Return whether activations ``x [images, outputs]`` of a hidden layer lie between -1 and 1."""

    def forget(self) -> None:
        """Free what is kept of the network; what is needed again is made anew."""


class Network:
    """One random network, whose parameters are drawn layer by layer each time they are needed, unless it keeps them.

    Parameters
    ----------
    point, architecture, activation:
        The point that the network is drawn for, its layers and its activation.
    device:
        Device on which the network is applied.
    trained:
        Parameters by layer number (0 is the read-out) to use instead of random ones.

    Attributes
    ----------
    point, architecture:
        As given.
    phi:
        Activation of the hidden layers.
    bounded:
        Whether hidden activations lie between -1 and 1.

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
        self.phi = ACTIVATIONS[activation]
        self.bounded = DECLARED[activation].bounded
        self._device = device
        self._trained = trained
        self._kept: dict[int, Parameters] = {}
        self._room = 0  # bytes of parameters that may still be kept

    @property
    def reach(self) -> int:
        """The last layer that can be walked to, see `Architecture.reach`."""
        return self.architecture.reach(self.point.depth)

    @property
    def convolutional(self) -> bool:
        """Whether its layers are convolutions."""
        return self.architecture.convolutional

    def keep(self, limit: int) -> None:
        """Keep the parameters of the hidden layers up to the depth, once drawn, up to ``limit`` bytes."""
        self._kept, self._room = {}, limit

    def forget(self) -> None:
        """Free the parameters that are kept, and keep no more."""
        self.keep(0)

    def parameters(self, number: int) -> Parameters:
        """Return the parameters of hidden layer ``number``, or of the read-out (0), on the device."""
        if self._trained is not None:
            return self._trained[number]
        if number in self._kept:
            return self._kept[number]
        parameters = [p.to(self._device) for p in self.architecture.draw(self.point, number)]
        size = sum(p.nbytes for p in parameters)
        if size <= self._room and number <= self.point.depth:
            self._kept[number] = parameters
            self._room -= size
        return parameters

    def layer(self, number: int) -> Layer:
        """Return hidden layer ``number``, or the read-out (0)."""
        depth = self.point.depth
        return self.architecture.readout(depth) if number == READOUT else self.architecture.layer(number, depth)

    def decodes(self, number: int) -> bool:
        """Return whether a cascade decodes a layer: all of them."""
        return True

    def bounds(self, x: torch.Tensor) -> bool:
        """Return whether hidden activations lie between -1 and 1, whatever they are."""
        return self.bounded

    def walk(self, x: torch.Tensor, start: int = 0, until: int | None = None) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield the number and the activations of each hidden layer after ``start``.

        The walk ends after layer ``until``, or before a layer whose activations are not finite or exceed
        `LARGEST_ACTIVATION`.

        Parameters
        ----------
        x:
            Activations of layer ``start`` (0: images), ``[images, outputs]``.
        start, until:
            The walk covers layers ``start`` + 1 to ``until``; None means the architecture's reach for this depth.

        Yields
        ------
        tuple of (int, torch.Tensor)
            Layer number and its activations ``[images, outputs]``.

        Notes
        -----
        The numbers of a point never depend on which other points are measured: the chaotic phase would amplify any
        difference in rounding.
        """
        for number in range(start + 1, (until or self.reach) + 1):
            x = self.layer(number).apply(x, self.parameters(number), self.phi)
            if self.diverges(x):
                return
            yield number, x

    def diverges(self, x: torch.Tensor) -> bool:
        """Return whether activations are not finite or exceed `LARGEST_ACTIVATION`."""
        return not self.bounded and not bool(x.abs().amax() <= LARGEST_ACTIVATION)  # true of a NaN, too

    def classify(self, x: torch.Tensor) -> torch.Tensor:
        """Return the tanh of the read-out, as in the paper, for outputs of the last hidden layer.

        ``x`` is ``[images, width]``, the result ``[images, classes]``.
        """
        return self.architecture.readout(self.point.depth).apply(x, self.parameters(READOUT), torch.tanh)
