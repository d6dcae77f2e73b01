"""Labels of a user's images: what they must be, and their numbers from 0."""

import logging

import numpy as np
import torch

from probes.errors import DatasetError

_MAX_CLASSES = 10_000
_HINTS = {  # by the kind of the type of labels
    "f": "labels.astype(int) makes whole numbers integers",
    "b": "labels.astype(int) makes them integers",
    **dict.fromkeys("USO", "np.unique(labels, return_inverse=True)[1] numbers the classes of training and test labels"),
}


def checked_labels(dataset: str, name: str, array: np.ndarray, count: int) -> torch.Tensor:
    """Return the labels of ``count`` images as int64.

    Raises
    ------
    DatasetError
        They are not that many integers from 0.
    """
    if array.dtype.kind not in "iu" or array.shape not in ((count,), (count, 1)):
        hint = _HINTS.get(array.dtype.kind, "")
        if array.ndim == 2 and array.shape[1] > 1:
            hint = "labels.argmax(axis=1) makes one-hot labels integers"
        elif array.shape[:1] != (count,):
            hint = "one for each image, along the first axis of the images"
        got = f"{array.dtype} of shape {list(array.shape)}"
        raise DatasetError(f"{name} of {dataset!r} must be {count} integers, got {got}" + (hint and f"; {hint}"))
    if array.min() < 0 or array.max() >= _MAX_CLASSES:
        raise DatasetError(
            f"{name} of {dataset!r} must be from 0 to {_MAX_CLASSES - 1}, got {array.min()} to {array.max()}"
        )
    return torch.from_numpy(array.reshape(count).astype(np.int64))


def numbered_labels(dataset: str, train: torch.Tensor, test: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Return training and test labels as numbers from 0 without a gap, and the number of classes.

    A warning is logged if they are numbered anew, or if test images have labels that no training image has.
    """
    log = logging.getLogger(__name__)
    labels = torch.unique(torch.cat([train, test]))
    if unknown := sorted({*test.tolist()} - {*train.tolist()}):
        log.warning("no training image of %r has the label %s, which test images have", dataset, _listed(unknown))
    if labels[-1] >= len(labels):
        log.warning(
            "the labels of %r (%d: %s) are numbered anew, from 0 to %d in this order",
            *(dataset, len(labels), _listed(labels.tolist()), len(labels) - 1),
        )
        train, test = torch.searchsorted(labels, train), torch.searchsorted(labels, test)
    return train, test, len(labels)


def _listed(numbers: list[int]) -> str:
    """Return a list of numbers, without those in the middle if they are many."""
    shown = [*map(str, numbers)] if len(numbers) <= 6 else [*map(str, numbers[:3]), "...", str(numbers[-1])]
    return ", ".join(shown)
