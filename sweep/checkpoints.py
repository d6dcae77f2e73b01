"""Trainings under way: what they need to go on after a fault, one file a point beside the results.

Not Tune's checkpoints, which end with its trials: a sweep whose driver was killed starts new ones. A worker whose disk
the driver does not share keeps its checkpoints for itself.
"""

import contextlib
import hashlib
import io
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from probes.point import Point

from .store import filesystem, write_whole

__all__ = ["Checkpoints"]

_FOLDER = "checkpoints"


def _put(data: bytes, file: Any) -> None:
    file.write(data)


class Checkpoints:
    """Those of one sweep, beside its results: a local path or a URI, see `Store`."""

    def __init__(self, uri: str | Path) -> None:
        self._fs, root = filesystem(uri)
        self._root = f"{root}/{_FOLDER}"

    def _path(self, point: Point) -> str:
        return f"{self._root}/{hashlib.blake2b(repr(point).encode(), digest_size=16).hexdigest()}.pt"

    def save(self, states: Mapping[Point, Any]) -> None:
        """Write the state of every point (`Training.state`), each whole or not at all."""
        import torch

        self._fs.create_dir(self._root, recursive=True)
        for point, state in states.items():
            buffer = io.BytesIO()
            torch.save(state, buffer)
            data = buffer.getvalue()
            write_whole(self._fs, self._path(point), partial(_put, data))

    def load(self, points: Iterable[Point]) -> dict[Point, Any]:
        """The states of those points that have any; one that cannot be read is none."""
        import torch

        found = {}
        for point in points:
            with contextlib.suppress(Exception):  # whatever is wrong with it, the training can begin anew
                data = self._fs.open_input_file(self._path(point)).readall()
                found[point] = torch.load(io.BytesIO(data), weights_only=True)
        return found

    def forget(self, points: Iterable[Point]) -> None:
        """Remove the states of points that are done."""
        for point in points:
            with contextlib.suppress(OSError, pa.ArrowException):
                self._fs.delete_file(self._path(point))

    def clear(self) -> None:
        """Remove all."""
        with contextlib.suppress(OSError, pa.ArrowException):
            if self._fs.get_file_info(self._root).type == fs.FileType.Directory:
                self._fs.delete_dir(self._root)
