"""Ground truth: train a pack of networks of one depth as one batched tensor program.

=========  =================================================================  ==========================
symbol     meaning                                                            shape
=========  =================================================================  ==========================
weight     of one layer of every network in the pack                          ``[pack, fan_in, fan_out]``
bias       of the same                                                        ``[pack, 1, fan_out]``
x          activations                                                        ``[pack, batch, fan_out]``
=========  =================================================================  ==========================

Plain SGD on the cross entropy of a linear read-out of the last hidden layer. The hidden layers start from
the weights that the probe saw. Every network sees the same batches in the same order, so its outcome does not
depend on its pack.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from .datasets import Images
from .networks import ACTIVATIONS, READOUT, draw_layer
from .point import Point
from .seeds import generator

__all__ = ["LEARNING_RATE", "TrainingCurve", "train_pack", "trainable_level"]

BATCH = 64
LEARNING_RATE = 0.01
TEST_IMAGES = 2000  # the accuracy's standard error is then at most 0.011


@dataclass(frozen=True)
class TrainingCurve:
    """Test accuracy (0 to 1) and mean training loss (nats) per epoch, each ``[epochs]``.

    The loss is infinite from the epoch on in which a network's weights stop being finite.
    """

    accuracy: np.ndarray
    loss: np.ndarray


def trainable_level(classes: int) -> float:
    """The accuracy above which a network counts as trained: half way from chance to perfection."""
    chance = 1 / classes
    return chance + (1 - chance) / 2


def train_pack(
    points: Sequence[Point],
    images: Images,
    *,
    width: int,
    activation: str,
    epochs: int,
    train_images: int,
    device: torch.device | str = "cpu",
) -> list[TrainingCurve]:
    """Train one network per point; all points must have the same depth.

    Raises
    ------
    ValueError
        Points of different depths.
    """
    depths = {p.depth for p in points}
    if len(depths) != 1:
        raise ValueError(f"`points` must share one depth, got {sorted(depths)}")
    phi = ACTIVATIONS[activation]
    widths = [images.pixels, *[width] * depths.pop()]
    layers = [_stacked(points, i + 1, widths[i], widths[i + 1], device) for i in range(len(widths) - 1)]
    layers.append(_stacked(points, READOUT, width, images.classes, device))
    parameters = [p for layer in layers for p in layer]
    sgd = torch.optim.SGD(parameters, lr=LEARNING_RATE)

    def logits(x: torch.Tensor) -> torch.Tensor:
        x = x.expand(len(points), -1, -1)
        for weight, bias in layers[:-1]:
            x = phi(torch.baddbmm(bias, x, weight))
        return torch.baddbmm(layers[-1][1], x, layers[-1][0])

    x, y = (t[:train_images].to(device) for t in (images.train, images.train_labels))
    x_test, y_test = (t[:TEST_IMAGES].to(device) for t in (images.test, images.test_labels))
    accuracy, loss = [], []
    for epoch in range(epochs):
        order = torch.randperm(len(x), generator=generator(0, "training order", epoch)).to(device)
        total = torch.zeros(len(points), dtype=torch.float64, device=device)
        for chosen in order.split(BATCH):
            out = logits(x[chosen]).flatten(0, 1)
            losses = cross_entropy(out, y[chosen].repeat(len(points)), reduction="none").view(len(points), -1)
            sgd.zero_grad()
            losses.mean(1).sum().backward()
            sgd.step()
            total += losses.detach().sum(1)
        with torch.no_grad():
            right = torch.stack([(logits(a).argmax(2) == b).sum(1) for a, b in _chunks(x_test, y_test)])
        accuracy.append((right.sum(0) / len(x_test)).cpu().numpy())
        loss.append(torch.nan_to_num(total / len(x), nan=torch.inf).cpu().numpy())
    return [
        TrainingCurve(a.astype(np.float64), b) for a, b in zip(np.stack(accuracy, 1), np.stack(loss, 1), strict=True)
    ]


def _chunks(x: torch.Tensor, y: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(zip(x.split(500), y.split(500), strict=True))


def _stacked(
    points: Sequence[Point], layer: int, fan_in: int, fan_out: int, device: torch.device | str
) -> tuple[torch.Tensor, torch.Tensor]:
    drawn = [draw_layer(p, layer, fan_in, fan_out, device) for p in points]
    weight = torch.stack([w for w, _ in drawn]).requires_grad_()
    bias = torch.stack([b for _, b in drawn])[:, None].clone().requires_grad_()
    return weight, bias
