"""The settings of a training, and its outcome."""

import math
from dataclasses import dataclass, field

import numpy as np

from probes.datasets import Images
from probes.layers import Parameters

OPTIMIZERS = ("sgd", "adam")
AUTO_PATIENCE = "auto"
TEST_CHUNK = 500  # test images that are classified at a time
TEST_IMAGES = 2000  # the accuracy's standard error is then at most 0.011
SEEN_IMAGES = 96_000  # images shown in all epochs, unless their number is given: 15 epochs of 6,400


@dataclass(frozen=True)
class TrainingSettings:
    """The settings by which networks are trained.

    Attributes
    ----------
    epochs:
        Number of epochs, at most. None means as many as show `SEEN_IMAGES` images.
    images:
        Number of training images, at most; fewer if the data set has fewer.
    optimizer:
        ``sgd`` (plain) or ``adam`` (with torch's defaults).
    lr:
        Learning rates. With several, each network is trained with each, and the best one counts.
    batch:
        Number of images in a batch.
    level:
        Test accuracy above which a training ends early; None means no training does.
    patience:
        Number of epochs without progress after which a training ends early; None means no training does, and ``auto``
        that hopeless ones do: `probes.training.ending.is_over` says what progress is.

    Raises
    ------
    ValueError
        A value is not allowed.
    """

    epochs: int | None = None
    images: int = 6400
    optimizer: str = "sgd"
    lr: tuple[float, ...] = (0.01,)
    batch: int = 64
    level: float | None = None
    patience: int | str | None = None

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"`optimizer` must be one of {', '.join(OPTIMIZERS)}, got {self.optimizer!r}")
        if not self.lr or len(set(self.lr)) < len(self.lr) or not all(math.isfinite(r) and r > 0 for r in self.lr):
            raise ValueError(f"`lr` must be positive numbers, each once, got {self.lr}")
        if self.patience not in (None, AUTO_PATIENCE) and not (isinstance(self.patience, int) and self.patience > 0):
            raise ValueError(f"`patience` must be {AUTO_PATIENCE} or a positive whole number, got {self.patience!r}")

    def max_epochs(self, images: Images) -> int:
        """Return the largest number of epochs of a training on a data set."""
        return self.epochs or math.ceil(SEEN_IMAGES / min(self.images, len(images.train)))


@dataclass(frozen=True)
class TrainingCurve:
    """The outcome of training one point's network, with one entry per epoch of each learning rate.

    Attributes
    ----------
    lr, epoch:
        Learning rate and epoch, counted from 1, of each entry; ``[entries]``.
    accuracy:
        Accuracy on the test images after the epoch, from 0 to 1; ``[entries]``.
    loss:
        Mean cross entropy of the training images during the epoch, in nats; infinite where it is not a number;
        ``[entries]``.
    seconds:
        Time that the training took: its share of the pack's time, in proportion to the depths of the networks.
    trained:
        Parameters at the end by layer number (0 is the read-out; of a user's network, each has its own number), for the
        best learning rate; empty unless the training was asked to keep them.
    """

    lr: np.ndarray
    epoch: np.ndarray
    accuracy: np.ndarray
    loss: np.ndarray
    seconds: float
    trained: dict[int, Parameters] = field(default_factory=dict)

    @property
    def best(self) -> int:
        """Index of the entry with the highest accuracy, the first of several."""
        return int(self.accuracy.argmax())


def chance(images: Images) -> float:
    """Return the test accuracy of always answering the commonest class of the training images."""
    commonest = images.train_labels.bincount().argmax()
    return float((images.test_labels[:TEST_IMAGES] == commonest).float().mean())
