"""Random networks: which layers they are made of, and what they make of images.

Source: arXiv:2406.12916 for the architectures.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from probes.layers import ACTIVATIONS, BOUNDED, Conv, Dense, Layer, Parameters, Residual
from probes.point import Point, reach

ARCHITECTURES = ("mlp", "published", "shrinking", "conv", "resnet")

# Beyond this a float32 sum of squares is no longer to be trusted: the network counts as diverged.
LARGEST_ACTIVATION = 1e12

READOUT = 0  # the number under which a network's linear read-out is drawn
PUBLISHED_LAST = 400  # width of the last hidden layer of the published network
CHANNELS = 16  # of a convolutional network, unless given


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
