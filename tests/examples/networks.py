"""Networks of one's own: `sweep probe --network tests/examples/networks.py:pre_norm --sigma-w 1.5 --sigma-b 0.1 --depth 20`."""

import math

import torch
from torch import nn


def initialised(module: nn.Module, sigma_w: float, sigma_b: float) -> nn.Module:
    """Draw weights with standard deviation sigma_w / sqrt(fan_in), and biases with sigma_b, of all dense and convolutional layers."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.normal_(layer.weight, std=sigma_w / math.sqrt(layer.weight[0].numel()))
            if layer.bias is not None:
                nn.init.normal_(layer.bias, std=sigma_b)
    return module


def mlp(sigma_w, sigma_b, depth, shape, classes, width=100):
    """A tanh network; its layers are the modules Tanh, and the last module is the read-out."""
    sizes = [math.prod(shape), *[width] * depth]
    hidden = [m for n_in, n_out in zip(sizes, sizes[1:]) for m in (nn.Linear(n_in, n_out), nn.Tanh())]
    return initialised(nn.Sequential(*hidden, nn.Linear(width, classes)), sigma_w, sigma_b)
