"""Ground truth: train a pack of networks of one depth as one batched tensor program.

==========  ================================================================  ==========================
symbol      meaning                                                           shape
==========  ================================================================  ==========================
parameters  of one layer of every network in the pack, see `networks`         ``[pack, ...]``
x           activations                                                       ``[pack, batch, width]``
==========  ================================================================  ==========================

Plain SGD on the cross entropy of a linear read-out of the last hidden layer. The hidden layers start from
the weights that the probe saw. Every network sees the same batches in the same order, so its outcome does not
depend on its pack.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from .datasets import Images
from .networks import ACTIVATIONS, READOUT, Architecture, Layer, Parameters
from .point import Point
from .seeds import generator

__all__ = ["LEARNING_RATE", "TrainingCurve", "train_pack", "trainable_level"]

BATCH = 64
LEARNING_RATE = 0.01
TEST_CHUNK = 500
TEST_IMAGES = 2000  # the accuracy's standard error is then at most 0.011


@dataclass(frozen=True)
class TrainingCurve:
    """Test accuracy (0 to 1) and mean training loss (nats) per epoch, each ``[epochs]``.

    The loss is infinite from the epoch on in which a network's weights stop being finite. ``trained`` are the
    parameters in the end, by layer number (0: the read-out).
    """

    accuracy: np.ndarray
    loss: np.ndarray
    trained: dict[int, Parameters]


def trainable_level(classes: int) -> float:
    """The accuracy above which a network counts as trained: half way from chance to perfection."""
    chance = 1 / classes
    return chance + (1 - chance) / 2


def train_pack(
    points: Sequence[Point],
    images: Images,
    *,
    architecture: Architecture,
    activation: str,
    epochs: int,
    train_images: int,
    device: torch.device | str = "cpu",
    progress: Callable[[int], None] | None = None,
) -> list[TrainingCurve]:
    """Train one network per point; all points must have the same depth. ``progress`` is told each epoch that is done.

    Raises
    ------
    ValueError
        Points of different depths.
    """
    depths = {p.depth for p in points}
    if len(depths) != 1:
        raise ValueError(f"`points` must share one depth, got {sorted(depths)}")
    phi, depth = ACTIVATIONS[activation], depths.pop()
    layers = {n: architecture.layer(n, depth) for n in range(1, depth + 1)}
    readout = architecture.readout(depth)
    parameters = {n: _stacked(points, n, layer, device) for n, layer in {**layers, READOUT: readout}.items()}
    sgd = torch.optim.SGD([p for some in parameters.values() for p in some], lr=LEARNING_RATE)

    def logits(x: torch.Tensor) -> torch.Tensor:
        x = x.expand(len(points), -1, -1)
        for number, layer in layers.items():
            x = layer.apply(x, parameters[number], phi)
        return readout.affine(x, parameters[READOUT])

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
        if progress:
            progress(epoch + 1)
    return [
        TrainingCurve(a.astype(np.float64), b, {n: [p[i].detach() for p in some] for n, some in parameters.items()})
        for i, (a, b) in enumerate(zip(np.stack(accuracy, 1), np.stack(loss, 1), strict=True))
    ]


def _chunks(x: torch.Tensor, y: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(zip(x.split(TEST_CHUNK), y.split(TEST_CHUNK), strict=True))


def _stacked(points: Sequence[Point], number: int, layer: Layer, device: torch.device | str) -> Parameters:
    drawn = zip(*(layer.draw(p, number) for p in points), strict=True)
    return [torch.stack(same).to(device).requires_grad_() for same in drawn]
