"""How networks are trained, and the outcome of a training."""

import math
from dataclasses import dataclass, field

import numpy as np

from probes.datasets import Images
from probes.layers import Parameters

OPTIMIZERS = ("sgd", "adam")
TEST_CHUNK = 500
TEST_IMAGES = 2000  # the accuracy's standard error is then at most 0.011
SEEN_IMAGES = 96_000  # in all epochs together, unless their number is given: 15 epochs of 6,400


@dataclass(frozen=True)
class TrainingSettings:
    """How networks are trained.

    Attributes
    ----------
    epochs:
        At most; None: as many as show `SEEN_IMAGES` images.
    images:
        Training images used, at most as many as there are.
    optimizer:
        ``sgd`` (plain) or ``adam`` (torch's defaults).
    lr:
        Learning rates; with several, the network is trained with each, and the best counts.
    batch:
        Images a step.
    level:
        Test accuracy at which a network is done; None: none is, so that the best accuracy becomes known.
    patience:
        Epochs without progress (of the best accuracy by 0.005 or of the lowest loss by 0.1 %) after which a network has
        stalled and is given up; None: never.

    Raises
    ------
    ValueError
        A value that is not allowed.
    """

    epochs: int | None = None
    images: int = 6400
    optimizer: str = "sgd"
    lr: tuple[float, ...] = (0.01,)
    batch: int = 64
    level: float | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"`optimizer` must be one of {', '.join(OPTIMIZERS)}, got {self.optimizer!r}")
        if not self.lr or len(set(self.lr)) < len(self.lr) or not all(math.isfinite(r) and r > 0 for r in self.lr):
            raise ValueError(f"`lr` must be positive numbers, each once, got {self.lr}")

    def rounds(self, images: Images) -> int:
        """Epochs on these images."""
        return self.epochs or math.ceil(SEEN_IMAGES / min(self.images, len(images.train)))


@dataclass(frozen=True)
class TrainingCurve:
    """What became of one point's network, or of its networks, one a learning rate, after each epoch.

    Attributes
    ----------
    lr, epoch:
        Of each entry; ``[entries]``, like the others.
    accuracy:
        On the test images, 0 to 1.
    loss:
        Mean over the training images, in nats; infinite once the weights are no longer finite.
    seconds:
        That the training took: its share of the pack's time, by the depths of the networks trained in it.
    trained:
        Parameters in the end by layer number (0: the read-out), if they were to be kept: of the best learning rate.
    """

    lr: np.ndarray
    epoch: np.ndarray
    accuracy: np.ndarray
    loss: np.ndarray
    seconds: float
    trained: dict[int, Parameters] = field(default_factory=dict)

    @property
    def best(self) -> int:
        """The entry with the highest accuracy, the first of several."""
        return int(self.accuracy.argmax())


def chance(images: Images) -> float:
    """Test accuracy of always answering the commonest class of the training images."""
    commonest = images.train_labels.bincount().argmax()
    return float((images.test_labels[:TEST_IMAGES] == commonest).float().mean())
