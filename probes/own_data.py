"""Data sets of the user: arrays, and functions in Python files that return arrays."""

import re
import sys
from collections.abc import Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import torch

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
Arrays = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
_PROGRAM = re.compile(r"(.+\.py):(\w+)", re.DOTALL)
_MAX_CLASSES = 10_000


class DatasetError(ValueError):
    """An error in a data set, or in reading one; the message is one line."""


def is_program(name: str) -> bool:
    """Return whether the name of a data set has the form ``FILE.py:FUNCTION``."""
    return _PROGRAM.fullmatch(name) is not None


def call(name: str) -> Sequence[Any]:
    """Run the Python file of ``FILE.py:FUNCTION``, call the function and return its four arrays.

    The file may import modules beside it, as a script may.

    Raises
    ------
    DatasetError
        The file or the function does not exist or fails, or the function does not return four values.
    """
    match = _PROGRAM.fullmatch(name)
    assert match is not None
    path, function = Path(match[1]).absolute(), match[2]
    if not path.is_file():
        raise DatasetError(f"{name!r}: there is no file {match[1]!r}")
    sys.path.insert(0, str(path.parent))
    try:
        spec = spec_from_file_location(f"_data_of_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        returned = getattr(module, function)()
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise DatasetError(f"{name!r} failed: {reason[:300]}") from error
    finally:
        sys.path.remove(str(path.parent))
    if not isinstance(returned, list | tuple) or len(returned) != len(ARRAYS):
        raise DatasetError(f"{name!r} must return four arrays ({', '.join(ARRAYS)}), got {type(returned).__name__}")
    return returned


def own_arrays(dataset: str, train_images: Any, train_labels: Any, test_images: Any, test_labels: Any) -> Arrays:
    """Check a user's arrays and convert them to tensors.

    Parameters
    ----------
    dataset:
        Name of the data set, for error messages.
    train_images, train_labels, test_images, test_labels:
        Arrays of the types and shapes that `load_images` allows.

    Returns
    -------
    tuple of four torch.Tensor
        Training images, training labels, test images and test labels: images are float32 in [0, 1], of unchanged shape;
        labels are int64.

    Raises
    ------
    DatasetError
        An array has a type, shape or value that `load_images` does not allow.
    """
    images = [_array(dataset, name, x) for name, x in (("train_images", train_images), ("test_images", test_images))]
    for array, label in zip(images, ("train_images", "test_images"), strict=True):
        if array.dtype != np.uint8 and array.dtype.kind != "f":
            raise DatasetError(f"{label} of {dataset!r} must be uint8 or float, got {array.dtype}")
        if array.ndim not in (2, 3, 4) or 0 in array.shape:
            raise DatasetError(
                f"{label} of {dataset!r} must be [N, pixels], [N, height, width] or [N, height, width, channels], "
                f"got shape {list(array.shape)}"
            )
    if images[0].shape[1:] != images[1].shape[1:] or images[0].dtype.kind != images[1].dtype.kind:
        raise DatasetError(f"train_images and test_images of {dataset!r} differ in image shape or type")
    train, test = _within_0_and_1(dataset, images)
    labels = [
        _labels(dataset, name, _array(dataset, name, values), n)
        for name, values, n in (("train_labels", train_labels, len(train)), ("test_labels", test_labels, len(test)))
    ]
    return train, labels[0], test, labels[1]


def _array(dataset: str, name: str, values: Any) -> np.ndarray:
    try:
        return np.asarray(values)
    except Exception as error:  # a ragged list, a tensor on a GPU
        raise DatasetError(f"{name} of {dataset!r} is not an array: {' '.join(str(error).split())[:200]}") from error


def _within_0_and_1(dataset: str, images: list[np.ndarray]) -> list[torch.Tensor]:
    if images[0].dtype == np.uint8:
        return [torch.from_numpy(a.astype(np.float32) / 255) for a in images]
    if not all(np.isfinite(a).all() for a in images):
        raise DatasetError(f"the images of {dataset!r} must be finite, got NaN or infinity")
    low, high = (float(f([f(a) for a in images])) for f in (np.min, np.max))
    if low < 0 or high > 1:
        span = high - low or 1.0
        if not np.isfinite(span):
            raise DatasetError(f"the images of {dataset!r} span {low:g} to {high:g}, more than a float can hold")
        images = [(a.astype(np.float64) - low) / span for a in images]
    return [torch.from_numpy(np.array(a, dtype=np.float32)) for a in images]  # copies: the user may change the arrays


def _labels(dataset: str, name: str, array: np.ndarray, count: int) -> torch.Tensor:
    if array.dtype.kind not in "iu" or array.shape not in ((count,), (count, 1)):
        raise DatasetError(
            f"{name} of {dataset!r} must be {count} integers, got {array.dtype} of shape {list(array.shape)}"
        )
    if array.min() < 0 or array.max() >= _MAX_CLASSES:
        raise DatasetError(
            f"{name} of {dataset!r} must be from 0 to {_MAX_CLASSES - 1}, got {array.min()} to {array.max()}"
        )
    return torch.from_numpy(array.reshape(count).astype(np.int64))
