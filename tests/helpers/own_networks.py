"""Networks as users make them, in a file of its own that can be named on a command line."""

import math

import torch
from torch import nn


def mlp(sigma_w, sigma_b, depth, shape, classes):
    """Return a dense network of the width of its input."""
    width, layers = math.prod(shape), [nn.Flatten()]
    for _ in range(depth):
        linear = nn.Linear(width, width)
        nn.init.normal_(linear.weight, std=sigma_w / math.sqrt(width))
        nn.init.normal_(linear.bias, std=sigma_b)
        layers.append(nn.Sequential(linear, nn.Tanh()))
    return nn.Sequential(*layers, nn.Linear(width, classes)), layers[1:]


class Convolutional(nn.Module):
    """A convolutional network with a batch normalisation after every second layer."""

    def __init__(self, sigma_w, sigma_b, depth, shape, classes):
        super().__init__()
        channels = [1 if len(shape) == 2 else shape[0], *[8] * depth]
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in zip(channels, channels[1:], strict=False))
        self.norms = nn.ModuleList(nn.BatchNorm2d(8) if n % 2 else nn.Identity() for n in range(depth))
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=sigma_w / math.sqrt(9 * layer.in_channels))
            nn.init.normal_(layer.bias, std=sigma_b)
        self.readout = nn.Linear(8 * math.prod(shape[-2:]), classes)

    def forward(self, x):
        """Return the logits of images."""
        x = x if x.ndim == 4 else x[:, None]
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = norm(torch.tanh(layer(x)))
        return self.readout(x.flatten(1))


def convolutional(sigma_w, sigma_b, depth, shape, classes):
    """Return a convolutional network and its layers."""
    made = Convolutional(sigma_w, sigma_b, depth, shape, classes)
    return made, list(made.norms)
