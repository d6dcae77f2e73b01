"""Data sets that torchvision downloads."""

import gzip
from pathlib import Path

import numpy as np
import torch

from probes.errors import DatasetError
from probes.file_kinds import GZIP, PICKLE, kind_of, kind_of_bytes
from probes.own_data import Arrays

DOWNLOADS = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "cifar10": "CIFAR10", "cifar10-rgb": "CIFAR10"}
_MNIST_MAGIC = b"\0\0\x08"  # unsigned bytes


def read_downloaded(name: str, data_dir: Path, download: bool) -> Arrays:
    """Return the arrays of one of `DOWNLOADS` from the folder of torchvision's data sets.

    Raises
    ------
    DatasetError
        The data set is not there, or cannot be read.
    """
    from torchvision import datasets

    dataset = getattr(datasets, DOWNLOADS[name])
    folder = data_dir / getattr(dataset, "base_folder", f"{dataset.__name__}/raw")
    try:
        if not download and (folder / "train-images-idx3-ubyte.gz").exists():
            return _packed_mnist(folder)
        sets = [dataset(str(data_dir), train=train, download=download) for train in (True, False)]
    except Exception as error:  # errors of many kinds, as in `read_npz`; also the refusal of a pickle
        reason = " ".join(str(error).split()) or type(error).__name__
        hint = "" if download else "; --download fetches it"
        if (foreign := _foreign_file(folder)) is not None:
            reason, hint = f"{str(foreign)!r} is {kind_of(foreign)}", "; without that file, --download fetches it"
        raise DatasetError(f"{name} cannot be read from {str(data_dir)!r}: {reason}{hint}") from error
    out: list[torch.Tensor] = []
    for part in sets:
        images = torch.as_tensor(part.data, device="cpu").float() / 255
        out += [images, torch.as_tensor(part.targets, device="cpu")]
    return out[0], out[1], out[2], out[3]


def _foreign_file(folder: Path) -> Path | None:
    """Return what stands in the place of one of torchvision's files but is something else."""
    for path in sorted((*folder.glob("*-ubyte*"), *folder.glob("*batch*"))):
        if kind_of(path) not in (None, GZIP if path.suffix == ".gz" else PICKLE):
            return path
    return None


def _packed_mnist(folder: Path) -> Arrays:
    """Read MNIST from its packed files: torchvision would first unpack them there."""

    def read(name: str, header: int) -> torch.Tensor:
        with gzip.open(folder / name, "rb") as file:
            data = file.read()
        if not data.startswith(_MNIST_MAGIC):
            raise ValueError(f"{name} holds {kind_of_bytes(data[:1024]) or 'something else'}")
        shape = np.frombuffer(data[: min(header, len(data) // 4 * 4)], ">i4")[1:].astype(int)
        if len(data) != header + shape.prod():
            raise ValueError(f"{name} is not complete")
        return torch.from_numpy(np.frombuffer(data, np.uint8, offset=header).reshape(shape).copy())

    out: list[torch.Tensor] = []
    for part in ("train", "t10k"):
        out += [
            read(f"{part}-images-idx3-ubyte.gz", 16).float() / 255,
            read(f"{part}-labels-idx1-ubyte.gz", 8),
        ]
    return out[0], out[1], out[2], out[3]
