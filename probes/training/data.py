"""Training and test images of a pack."""

from collections.abc import Iterable

import torch

from probes.datasets import Images
from probes.seeds import generator
from probes.training.settings import TEST_CHUNK, TEST_IMAGES, TrainingSettings


class TrainingData:
    """Images and labels on their device, and the order in which they are shown."""

    def __init__(self, images: Images, settings: TrainingSettings, device: torch.device) -> None:
        self._x, self._y = (t[: settings.images].to(device) for t in (images.train, images.train_labels))
        self._test = [t[:TEST_IMAGES].to(device) for t in (images.test, images.test_labels)]
        self._batch = settings.batch

    def batches(self, epoch: int) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        """Of an epoch, counted from 0: the same for every network."""
        order = torch.randperm(len(self._x), generator=generator(0, "training order", epoch)).to(self._x.device)
        return ((self._x[chosen], self._y[chosen]) for chosen in order.split(self._batch))

    def test_chunks(self) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        """Of the test images."""
        x, y = self._test
        return zip(x.split(TEST_CHUNK), y.split(TEST_CHUNK), strict=True)

    @property
    def images(self) -> int:
        """How many are trained on."""
        return len(self._x)

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return -(-len(self._x) // self._batch)

    @property
    def test_images(self) -> int:
        """How many are tested on."""
        return len(self._test[0])
