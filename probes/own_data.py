"""Data sets of the user: arrays, and functions in Python files that return arrays."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from probes.errors import DatasetError
from probes.labels import checked_labels
from probes.layout import is_channels_first
from probes.npz import ARRAYS
from probes.pixels import within_0_and_1
from probes.programs import ProgramError, failure, function_of

Arrays = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]  # in this order


def call(name: str) -> Sequence[Any]:
    """Run the Python file of ``FILE.py:FUNCTION``, call the function and return its four arrays.

    The file may import modules beside it, as a script may.

    Raises
    ------
    DatasetError
        The file or the function does not exist or fails, or the function does not return four values.
    """
    try:
        with function_of(name) as function:
            returned = function()
    except ProgramError as error:
        raise DatasetError(str(error)) from error
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise DatasetError(failure(name, error)) from error
    if not isinstance(returned, list | tuple) or len(returned) != len(ARRAYS):
        raise DatasetError(f"{name!r} must return four arrays ({', '.join(ARRAYS)}), got {type(returned).__name__}")
    return returned


def own_arrays(
    dataset: str, train_images: Any, train_labels: Any, test_images: Any, test_labels: Any, *, layout: str
) -> Arrays:
    """Check a user's arrays and convert them to tensors.

    Parameters
    ----------
    dataset:
        Name of the data set, for error messages.
    train_images, train_labels, test_images, test_labels:
        Arrays of the types and shapes that `load_images` allows.
    layout:
        Layout of images that have channels, one of `probes.layout.LAYOUTS`.

    Returns
    -------
    tuple of four torch.Tensor
        Training images, training labels, test images and test labels: images are float32 in [0, 1], their channels the
        last axis; labels are int64.

    Raises
    ------
    DatasetError
        An array has a type, shape or value that `load_images` does not allow.
    """
    images = {"train_images": _array(dataset, "train_images", train_images)}
    images["test_images"] = _array(dataset, "test_images", test_images)
    for name, array in images.items():
        if array.dtype != np.uint8 and array.dtype.kind != "f":
            raise DatasetError(f"{name} of {dataset!r} must be uint8 or float, got {array.dtype}")
        if array.ndim not in (2, 3, 4) or 0 in array.shape:
            raise DatasetError(
                f"{name} of {dataset!r} must be [N, pixels], [N, height, width], [N, height, width, channels] or "
                f"[N, channels, height, width], got shape {list(array.shape)}"
                + ("; volumes are not supported" if array.ndim > 4 else "")
            )
    train, test = images.values()
    if train.shape[1:] != test.shape[1:] or train.dtype.kind != test.dtype.kind:
        told = " and ".join(f"{list(a.shape)} {a.dtype}" for a in (train, test))
        raise DatasetError(f"train_images and test_images of {dataset!r} differ in image shape or type: {told}")
    channels_first = train.ndim == 4 and is_channels_first(dataset, train.shape, layout)
    labels = [
        checked_labels(dataset, name, _array(dataset, name, values), len(of))
        for name, values, of in (("train_labels", train_labels, train), ("test_labels", test_labels, test))
    ]
    made = [x.movedim(1, 3) if channels_first else x for x in within_0_and_1(dataset, images)]
    return made[0], labels[0], made[1], labels[1]


def _array(dataset: str, name: str, values: Any) -> np.ndarray:
    if np.ma.is_masked(values):
        raise DatasetError(f"{name} of {dataset!r} must have no masked values: replace them (`filled`)")
    try:
        return np.asarray(values)
    except Exception as error:  # a ragged list, a tensor on a GPU
        raise DatasetError(f"{name} of {dataset!r} is not an array: {' '.join(str(error).split())[:200]}") from error
