"""Data sets of images as float tensors: digits, MNIST, FashionMNIST, CIFAR10 (grey or RGB), noise, .npz."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from probes.downloads import DOWNLOADS, read_downloaded
from probes.errors import DatasetError
from probes.file_kinds import kind_of
from probes.labels import numbered_labels
from probes.layout import AUTO, check_layout
from probes.npz import read_npz
from probes.own_data import Arrays, call, own_arrays
from probes.programs import is_program
from probes.seeds import DRAWN, generator
from probes.threads import safe_in_forks

DATASETS = ("digits", *DOWNLOADS, "noise")
FROM_PYTHON_PREFIX = "python:"  # prefix of the names of data sets that were given as arrays from Python
_GREY = "cifar10"  # the data set that is made grey, as in the paper
MIN_IMAGES = 2  # training images, and test images; a standard deviation needs two
_LUMA = torch.tensor([0.299, 0.587, 0.114], **DRAWN)  # weights of red, green and blue in grey, ITU-R 601
_NOISE_SIZE, _NOISE_IMAGES = 16, (4096, 1024)  # height and width; numbers of training and test images
_DIGITS_TRAIN = 1437  # training images: four fifths of all 1797
_MAX_RESIZED_BYTES = 2**32


@dataclass(frozen=True)
class Images:
    """A data set, shuffled once by a fixed permutation so that any first N images are a fair sample.

    Attributes
    ----------
    name:
        Name of the data set, or the path that it was loaded from.
    train, test:
        Training images ``[N, pixels]`` and test images ``[M, pixels]``, float32 in [0, 1].
    train_labels, test_labels:
        Their labels ``[N]`` and ``[M]``, int64 in 0..``classes`` - 1.
    shape:
        Shape of one image before it was flattened: (height, width), (channels, height, width) or (pixels,).
    classes:
        Number of classes: of different labels among those of training and test images.
    """

    name: str
    train: torch.Tensor
    train_labels: torch.Tensor
    test: torch.Tensor
    test_labels: torch.Tensor
    shape: tuple[int, ...]
    classes: int
    _content: str = field(init=False, default="", repr=False, compare=False)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of images and labels, 32 hexadecimal digits, that identifies the data, whatever the name.

        It is that of the data as loaded: making images grey or resizing them may round otherwise on another machine.
        The layout of the arrays does not matter; labels count as they were given, not as they were numbered anew.
        """
        return self._content or _fingerprint(self.train, self.train_labels, self.test, self.test_labels)

    @property
    def pixels(self) -> int:
        """The number of values in one image."""
        return int(self.train.shape[1])


@safe_in_forks
def load_images(
    name: str,
    *,
    data_dir: str | Path = "data",
    download: bool = False,
    resize: int | None = None,
    layout: str = AUTO,
    run_code: bool = False,
) -> Images:
    """Load a data set by its name, from an ``.npz`` file, or by calling a function in a Python file.

    Parameters
    ----------
    name:
        One of `DATASETS`; the path of an ``.npz`` file that holds the arrays ``train_images``, ``train_labels``,
        ``test_images`` and ``test_labels``; or ``FILE.py:FUNCTION``, a function without arguments that returns these
        four arrays in this order.
    data_dir:
        Folder of the data sets that torchvision downloads.
    download:
        Whether torchvision may download a data set that is not there.
    resize:
        Height and width in pixels to which all images are pooled or enlarged; None leaves them as they are.
    layout:
        Layout of your own images, where they have channels: ``channels-last`` (``[N, height, width, channels]``),
        ``channels-first`` (``[N, channels, height, width]``), or ``auto`` to recognise it by their shape.
    run_code:
        Whether the Python file of ``FILE.py:FUNCTION`` may be run. Do not allow it for a name that somebody else wrote.

    Returns
    -------
    Images
        The data set, shuffled.

    Raises
    ------
    DatasetError
        The data set is unknown, cannot be read or is not valid, or it is a Python file and ``run_code`` is false. The
        message is one line.

    Notes
    -----
    Images are ``[N, pixels]``, ``[N, height, width]``, ``[N, height, width, channels]`` or ``[N, channels, height,
    width]``. They are uint8, and are then divided by 255, or float: these are left alone if all are within [0, 1], and
    otherwise mapped to it by the smallest and the largest value of all images; a fill value that would squeeze all
    others is refused. Labels are integers from 0, and are numbered anew if some numbers are not used.

    What is decided here (a layout that was recognised, labels that were numbered anew) is logged as a warning.
    """
    check_layout(layout)
    if name == "digits":
        arrays = _digits()
    elif name == "noise":
        _check_size(name, sum(_NOISE_IMAGES), 1, resize or _NOISE_SIZE)
        arrays = _noise(resize or _NOISE_SIZE)
    elif name in DOWNLOADS:
        arrays = read_downloaded(name, Path(data_dir), download)
    elif name.endswith(".npz"):
        arrays = own_arrays(name, *read_npz(Path(name)), layout=layout)
    elif is_program(name):
        if not run_code:
            raise DatasetError(
                f"{name!r} is a program, which is run only if you name it yourself: repeat it with --dataset "
                f"(in Python, load_images needs run_code=True)"
            )
        arrays = own_arrays(name, *call(name), layout=layout)
    elif name.startswith(FROM_PYTHON_PREFIX):
        raise DatasetError(
            f"{name.removeprefix(FROM_PYTHON_PREFIX)!r} was given from Python and is not stored: "
            "give it again, as `images`"
        )
    else:
        kind = kind_of(Path(name)) if name else None
        raise DatasetError(
            f"`dataset` must be one of {', '.join(DATASETS)}, the path of an .npz file or FILE.py:FUNCTION, "
            f"got {name!r}" + (f", which is {kind}" if kind else "")
        )
    return _images(name, arrays, resize)


@safe_in_forks
def images_of(
    train_images: Any,
    train_labels: Any,
    test_images: Any,
    test_labels: Any,
    *,
    name: str = "images",
    resize: int | None = None,
    layout: str = AUTO,
) -> Images:
    """Make a data set of arrays.

    Parameters
    ----------
    train_images, train_labels, test_images, test_labels:
        Arrays of the types and shapes that `load_images` allows in an ``.npz`` file.
    name:
        Name of the data set.
    resize:
        Height and width in pixels to which all images are pooled or enlarged; None leaves them as they are.
    layout:
        Layout of images that have channels, as in `load_images`.

    Returns
    -------
    Images
        The data set, shuffled.

    Raises
    ------
    DatasetError
        An array is not valid. The message is one line.
    """
    check_layout(layout)
    arrays = own_arrays(name, train_images, train_labels, test_images, test_labels, layout=layout)
    return _images(name, arrays, resize)


def _images(name: str, arrays: Arrays, resize: int | None) -> Images:
    """Return the data set of some arrays, with their fingerprint."""
    content = _fingerprint(*arrays, grey=name == _GREY)
    if name == _GREY:
        arrays = (arrays[0] @ _LUMA, arrays[1], arrays[2] @ _LUMA, arrays[3])
    images = _prepare(name, *arrays, resize=resize)
    object.__setattr__(images, "_content", content)
    return images


def _fingerprint(*arrays: torch.Tensor, grey: bool = False) -> str:
    """Return the hash of images and labels in this order; ``grey`` tells the grey data set from the coloured one."""
    hashed = hashlib.blake2b(b"grey" if grey else b"", digest_size=16)
    for array in arrays:
        array = array if array.is_floating_point() else array.long()
        hashed.update(f"{array.dtype} {tuple(array.shape)}".encode())
        hashed.update(array.contiguous().numpy().data)
    return hashed.hexdigest()


def _digits() -> Arrays:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.from_numpy(digits.images).float() / 16
    labels = torch.from_numpy(digits.target)
    n = _DIGITS_TRAIN
    return images[:n], labels[:n], images[n:], labels[n:]


def _noise(size: int) -> Arrays:
    random = generator(0, "noise", size)
    train, test = (torch.rand(n, size, size, generator=random, **DRAWN) for n in _NOISE_IMAGES)
    labels = [torch.randint(10, (n,), generator=random, device="cpu") for n in _NOISE_IMAGES]
    return train, labels[0], test, labels[1]


def _prepare(
    name: str,
    train: torch.Tensor,
    train_labels: torch.Tensor,
    test: torch.Tensor,
    test_labels: torch.Tensor,
    *,
    resize: int | None,
) -> Images:
    """Check, resize, flatten and shuffle the images of a data set; flat images are (channels, height, width)."""
    for label, part in (("training", train), ("test", test)):
        if len(part) < MIN_IMAGES:
            raise DatasetError(f"{name!r} has {len(part)} {label} images; at least {MIN_IMAGES} are needed")
    for label, part, its_labels in (("training", train, train_labels), ("test", test, test_labels)):
        if len(part) != len(its_labels):
            raise DatasetError(f"{name!r} has {len(part)} {label} images and {len(its_labels)} labels for them")
    if resize is not None:
        train, test = (_resized(name, part, resize) for part in (train, test))
    if train.ndim == 4:
        train, test = train.movedim(3, 1), test.movedim(3, 1)
    shape = tuple(train.shape[1:])
    if train[0].numel() < 2:
        raise DatasetError(f"the images of {name!r} have a single pixel; at least 2 are needed")
    for label, part in (("training", train), ("test", test)):
        if bool((part == part[0]).all()):
            raise DatasetError(f"the {label} images of {name!r} are all the same: there is nothing to reconstruct")
    counts = len(train), len(test)
    orders = [torch.randperm(n, generator=generator(0, "images", n), device="cpu") for n in counts]
    train_labels, test_labels, classes = numbered_labels(name, train_labels.long(), test_labels.long())
    return Images(
        name=name,
        train=train.flatten(1)[orders[0]].contiguous(),
        train_labels=train_labels[orders[0]],
        test=test.flatten(1)[orders[1]].contiguous(),
        test_labels=test_labels[orders[1]],
        shape=shape,
        classes=classes,
    )


def _check_size(name: str, count: int, channels: int, size: int) -> None:
    """Raise DatasetError if the images would take more than `_MAX_RESIZED_BYTES` in all."""
    if (needed := 4 * count * channels * size**2) > _MAX_RESIZED_BYTES:
        raise DatasetError(
            f"{count} images of {name!r} at {size} x {size} take {needed / 2**30:.0f} GiB; "
            f"at most {_MAX_RESIZED_BYTES / 2**30:.0f} GiB are allowed: choose a smaller --resize"
        )


def _resized(name: str, images: torch.Tensor, size: int) -> torch.Tensor:
    """Return images resized to ``[N, size, size]``, or ``[N, size, size, channels]`` if they have channels.

    Smaller images are averages over pixels; larger ones are interpolated bilinearly.
    """
    from torch.nn.functional import adaptive_avg_pool2d, interpolate

    if images.ndim == 2:
        side = round(images.shape[1] ** 0.5)
        if side * side != images.shape[1]:
            raise DatasetError(f"--resize needs square images; those of {name!r} are flat, {images.shape[1]} numbers")
        images = images.view(len(images), side, side)
    _check_size(name, len(images), images.shape[3] if images.ndim == 4 else 1, size)
    channels_first = images.unsqueeze(1) if images.ndim == 3 else images.movedim(3, 1)
    if size <= min(channels_first.shape[2:]):
        out = adaptive_avg_pool2d(channels_first, size)
    else:
        out = interpolate(channels_first, (size, size), mode="bilinear", align_corners=False)
    return out.squeeze(1) if images.ndim == 3 else out.movedim(1, 3)
