"""Data of a user's own: arrays, and functions that return them."""

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
_MOST_CLASSES = 10_000


class DatasetError(ValueError):
    """A data set that cannot be read or makes no sense; the message is one line."""


def is_program(name: str) -> bool:
    """Tell whether the name of a data set is ``FILE.py:FUNCTION``."""
    return _PROGRAM.fullmatch(name) is not None


def call(name: str) -> Sequence[Any]:
    """Return the four arrays that the function ``FILE.py:FUNCTION`` returns.

    The file may import others beside it, as if it was run as a script.

    Raises
    ------
    DatasetError
        There is no such function, it fails, or it returns something else.
    """
    found = _PROGRAM.fullmatch(name)
    assert found is not None
    path, function = Path(found[1]).absolute(), found[2]
    if not path.is_file():
        raise DatasetError(f"{name!r}: there is no file {found[1]!r}")
    sys.path.insert(0, str(path.parent))
    try:
        spec = spec_from_file_location(f"_data_of_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        returned = getattr(module, function)()
    except (Exception, SystemExit) as error:  # of the user's own code
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise DatasetError(f"{name!r} failed: {reason[:300]}") from error
    finally:
        sys.path.remove(str(path.parent))
    if not isinstance(returned, list | tuple) or len(returned) != len(ARRAYS):
        raise DatasetError(f"{name!r} must return {', '.join(ARRAYS)}, got {type(returned).__name__}")
    return returned


def own_arrays(where: str, train_images: Any, train_labels: Any, test_images: Any, test_labels: Any) -> Arrays:
    """Return images as floats in [0, 1] and labels as integers; ``where`` says whose they are.

    Raises
    ------
    DatasetError
        Other types, shapes or values than `load_images` allows.
    """
    images = [_array(where, name, x) for name, x in (("train_images", train_images), ("test_images", test_images))]
    for array, label in zip(images, ("train_images", "test_images"), strict=True):
        if array.dtype != np.uint8 and array.dtype.kind != "f":
            raise DatasetError(f"{label} of {where!r} must be uint8 or float, got {array.dtype}")
        if array.ndim not in (2, 3, 4) or 0 in array.shape:
            raise DatasetError(
                f"{label} of {where!r} must be [N, pixels], [N, height, width] or [N, height, width, channels], "
                f"got shape {list(array.shape)}"
            )
    if images[0].shape[1:] != images[1].shape[1:] or images[0].dtype.kind != images[1].dtype.kind:
        raise DatasetError(f"train_images and test_images of {where!r} differ in image shape or type")
    train, test = _within_0_and_1(where, images)
    labels = [
        _labels(where, name, _array(where, name, values), n)
        for name, values, n in (("train_labels", train_labels, len(train)), ("test_labels", test_labels, len(test)))
    ]
    return train, labels[0], test, labels[1]


def _array(where: str, name: str, values: Any) -> np.ndarray:
    try:
        return np.asarray(values)
    except Exception as error:  # a ragged list, a tensor on a GPU
        raise DatasetError(f"{name} of {where!r} is no array: {' '.join(str(error).split())[:200]}") from error


def _within_0_and_1(where: str, images: list[np.ndarray]) -> list[torch.Tensor]:
    if images[0].dtype == np.uint8:
        return [torch.from_numpy(a.astype(np.float32) / 255) for a in images]
    if not all(np.isfinite(a).all() for a in images):
        raise DatasetError(f"the images of {where!r} must be finite, got NaN or infinity")
    low, high = (float(f([f(a) for a in images])) for f in (np.min, np.max))
    if low < 0 or high > 1:
        span = high - low or 1.0
        if not np.isfinite(span):
            raise DatasetError(f"the images of {where!r} span {low:g} to {high:g}, more than a float holds")
        images = [(a.astype(np.float64) - low) / span for a in images]
    return [torch.from_numpy(np.array(a, dtype=np.float32)) for a in images]  # copies: users may change theirs


def _labels(where: str, name: str, array: np.ndarray, count: int) -> torch.Tensor:
    if array.dtype.kind not in "iu" or array.shape not in ((count,), (count, 1)):
        raise DatasetError(
            f"{name} of {where!r} must be {count} integers, got {array.dtype} of shape {list(array.shape)}"
        )
    if array.min() < 0 or array.max() >= _MOST_CLASSES:
        raise DatasetError(
            f"{name} of {where!r} must be from 0 to {_MOST_CLASSES - 1}, got {array.min()} to {array.max()}"
        )
    return torch.from_numpy(array.reshape(count).astype(np.int64))
