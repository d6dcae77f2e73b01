"""The images that the networks of a pack are trained and tested on."""

from collections.abc import Iterable

import torch

from probes.datasets import Images
from probes.seeds import generator
from probes.training.settings import TEST_CHUNK, TEST_IMAGES, TrainingSettings


class TrainingData:
    """Images and labels on one device, and the order in which networks see them."""

    def __init__(self, images: Images, settings: TrainingSettings, device: torch.device) -> None:
        self._x, self._y = (t[: settings.images].to(device) for t in (images.train, images.train_labels))
        self._test = [t[:TEST_IMAGES].to(device) for t in (images.test, images.test_labels)]
        self._batch = settings.batch

    def batches(self, epoch: int) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        """Return the batches (images, labels) of an epoch, counted from 0; they are the same for every network."""
        random = generator(0, "training order", epoch)
        order = torch.randperm(len(self._x), generator=random, device="cpu").to(self._x.device)
        return ((self._x[batch], self._y[batch]) for batch in order.split(self._batch))

    def test_chunks(self) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        """Return the test images and their labels in chunks."""
        x, y = self._test
        return zip(x.split(TEST_CHUNK), y.split(TEST_CHUNK), strict=True)

    @property
    def images(self) -> int:
        """Number of training images."""
        return len(self._x)

    @property
    def steps(self) -> int:
        """Number of batches in an epoch."""
        return -(-len(self._x) // self._batch)

    @property
    def test_images(self) -> int:
        """Number of test images."""
        return len(self._test[0])
