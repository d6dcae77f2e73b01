"""Networks as people make them, for ``--network tests/examples/networks.py:NAME``.

Each function makes a module from images to logits, and names its layers. Their weights are torch's: sigma_w and sigma_b
are those that ``--initialise`` draws them anew with.
"""

import math

import torch
from torch import nn

WIDTH, CHANNELS, HEADS, TOKEN = 64, 16, 4, 8  # of dense layers and tokens; of convolutions; side of a patch


class Residual(nn.Module):
    """A block that adds what its branch computes to what it is given."""

    def __init__(self, branch, scale=1.0):
        super().__init__()
        self.branch, self.scale = branch, scale

    def forward(self, x):
        """Return the sum of the input and the scaled branch."""
        return x + self.scale * self.branch(x)


class Attention(nn.MultiheadAttention):
    """Attention of tokens to each other."""

    def __init__(self):
        super().__init__(WIDTH, HEADS, batch_first=True)

    def forward(self, x):
        """Return what each token ``[N, tokens, WIDTH]`` reads from all tokens."""
        return super().forward(x, x, x, need_weights=False)[0]


class Patches(nn.Module):
    """The patches of an image as tokens, each with its position."""

    def __init__(self, shape):
        super().__init__()
        self.channels, height, width = (1, *shape) if len(shape) == 2 else shape
        self.side = min(TOKEN, max(1, min(height, width) // 4))
        self.pad = -width % self.side, -height % self.side
        count = ((height + self.pad[1]) // self.side) * ((width + self.pad[0]) // self.side)
        self.embedding = nn.Conv2d(self.channels, WIDTH, self.side, stride=self.side)
        self.positions = nn.Parameter(0.02 * torch.randn(count, WIDTH))

    def forward(self, images):
        """Return tokens ``[N, tokens, WIDTH]``."""
        images = images.view(len(images), self.channels, *images.shape[-2:])
        images = nn.functional.pad(images, (0, self.pad[0], 0, self.pad[1]))
        return self.embedding(images).flatten(2).mT + self.positions


class Mean(nn.Module):
    """The mean over tokens."""

    def forward(self, x):
        """Return ``[N, WIDTH]``."""
        return x.mean(1)


def _dense(depth, shape, classes, block):
    sizes = [math.prod(shape), *[WIDTH] * depth]
    layers = [block(a, b) for a, b in zip(sizes, sizes[1:], strict=False)]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(WIDTH, classes)), layers


def tanh_mlp(depth, shape, classes):
    """Return dense layers with tanh; orthogonal with ``--initialise orthogonal``."""
    return _dense(depth, shape, classes, lambda a, b: nn.Sequential(nn.Linear(a, b), nn.Tanh()))


def gelu_mlp(depth, shape, classes):
    """Return dense layers with GELU."""
    return _dense(depth, shape, classes, lambda a, b: nn.Sequential(nn.Linear(a, b), nn.GELU()))


def selu_mlp(depth, shape, classes):
    """Return dense layers with SELU, which normalise themselves at sigma_w = 1 (arXiv:1706.02515)."""
    return _dense(depth, shape, classes, lambda a, b: nn.Sequential(nn.Linear(a, b), nn.SELU()))


def pre_norm_mlp(depth, shape, classes):
    """Return dense layers, each with a layer norm before it."""
    return _dense(depth, shape, classes, lambda a, b: nn.Sequential(nn.LayerNorm(a), nn.Linear(a, b), nn.GELU()))


def post_norm_mlp(depth, shape, classes):
    """Return dense layers, each with a layer norm between it and its activation."""
    return _dense(depth, shape, classes, lambda a, b: nn.Sequential(nn.Linear(a, b), nn.LayerNorm(b), nn.GELU()))


def _first(shape):
    """Return the number of channels of images, and a layer that gives images their channels."""
    channels = 1 if len(shape) == 2 else shape[0]
    return channels, nn.Unflatten(1, (1, shape[0])) if len(shape) == 2 else nn.Identity()


def vgg(depth, shape, classes):
    """Return convolutions in three parts, each of which ends with a pooling (after arXiv:1409.1556)."""
    channels, first = _first(shape)
    layers, side = [], min(shape[-2:])
    for number in range(1, depth + 1):
        block = [nn.Conv2d(channels if number == 1 else CHANNELS, CHANNELS, 3, padding=1), nn.ReLU()]
        if 3 * number // depth > 3 * (number - 1) // depth and side > 1:
            block.append(nn.MaxPool2d(2))
            side //= 2
        layers.append(nn.Sequential(*block))
    return nn.Sequential(first, *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS, classes)), layers


def _resnet(depth, shape, classes, scale):
    channels, first = _first(shape)
    layers = [nn.Conv2d(channels, CHANNELS, 3, padding=1)]
    for _ in range(depth - 1):
        branch = [nn.ReLU(), nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)]
        branch += [nn.ReLU(), nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)]
        layers.append(Residual(nn.Sequential(*branch), scale))
    return nn.Sequential(first, *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS, classes)), layers


def resnet(depth, shape, classes):
    """Return residual blocks of two convolutions, without normalisation."""
    return _resnet(depth, shape, classes, 1.0)


def scaled_resnet(depth, shape, classes):
    """Return residual blocks whose branches are scaled by one over the root of the depth."""
    return _resnet(depth, shape, classes, depth**-0.5)


def _perceptron():
    return nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))


def pre_norm_transformer(depth, shape, classes):
    """Return transformer blocks on patches of the image, with the layer norm within the branches (arXiv:2002.04745)."""

    def block():
        branches = (nn.Sequential(nn.LayerNorm(WIDTH), part) for part in (Attention(), _perceptron()))
        return nn.Sequential(*map(Residual, branches))

    layers = [block() for _ in range(depth)]
    return nn.Sequential(Patches(shape), *layers, nn.LayerNorm(WIDTH), Mean(), nn.Linear(WIDTH, classes)), layers


def post_norm_transformer(depth, shape, classes):
    """Return transformer blocks on patches of the image, with the layer norm after each sum (arXiv:1706.03762)."""

    def block():
        parts = Residual(Attention()), nn.LayerNorm(WIDTH), Residual(_perceptron()), nn.LayerNorm(WIDTH)
        return nn.Sequential(*parts)

    layers = [block() for _ in range(depth)]
    return nn.Sequential(Patches(shape), *layers, Mean(), nn.Linear(WIDTH, classes)), layers
