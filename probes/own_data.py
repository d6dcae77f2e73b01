"""Data sets of the user: arrays, and functions in Python files that return arrays."""

import re
import sys
from collections.abc import Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import torch

from probes.errors import DatasetError
from probes.labels import checked_labels
from probes.layout import is_channels_first
from probes.npz import ARRAYS
from probes.pixels import within_0_and_1

Arrays = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]  # in this order
_PROGRAM = re.compile(r"(.+\.py):(\w+)", re.DOTALL)


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
