"""Trainings under way: what they need to go on after a fault, one file a point beside the results.

Not Tune's checkpoints, which end with its trials: a sweep whose driver was killed starts new ones. A worker whose disk
the driver does not share keeps its checkpoints for itself. A storage that fails costs checkpoints, never a training.
"""

import contextlib
import hashlib
import io
import logging
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from probes.point import Point
from sweep.storage.files import filesystem, write_whole
from sweep.text import one_line

_FOLDER = "checkpoints"
_OURS = re.compile(r"[0-9a-f]{32}\.pt(\.[0-9a-f]{8}\.tmp)?")


class Checkpoints:
    """Those of one sweep, beside its results: a local path or a URI, see `Store`."""

    def __init__(self, uri: str | Path) -> None:
        self._uri = uri
        self._complained = False

    @cached_property
    def _place(self) -> tuple[fs.FileSystem, str]:
        where, root = filesystem(self._uri)
        return where, f"{root}/{_FOLDER}"

    @staticmethod
    def _name(point: Point) -> str:
        return f"{hashlib.blake2b(repr(point).encode(), digest_size=16).hexdigest()}.pt"

    def save(self, states: Mapping[Point, Any]) -> None:
        """Write the state of every point (`Training.state`), each whole or not at all, if the storage allows it."""
        import torch

        try:
            where, root = self._place
            where.create_dir(root, recursive=True)
            for point, state in states.items():
                buffer = io.BytesIO()
                torch.save(state, buffer)
                write_whole(where, f"{root}/{self._name(point)}", buffer.getvalue())
        except (OSError, pa.ArrowException) as error:
            if not self._complained:
                logging.getLogger(__name__).warning("no checkpoint of a training: %s", one_line(error))
            self._complained = True

    def load(self, points: Iterable[Point]) -> dict[Point, Any]:
        """The states of those points that have any; one that cannot be read is none."""
        import torch

        found = {}
        for point in points:
            with contextlib.suppress(Exception):  # whatever is wrong with it, the training can begin anew
                where, root = self._place
                with where.open_input_file(f"{root}/{self._name(point)}") as file:
                    found[point] = torch.load(io.BytesIO(file.readall()), weights_only=True)
        return found

    def forget(self, points: Iterable[Point]) -> None:
        """Remove the states of points that are done."""
        for point in points:
            with contextlib.suppress(OSError, pa.ArrowException):
                where, root = self._place
                where.delete_file(f"{root}/{self._name(point)}")

    def clear(self) -> None:
        """Remove all, and the folder unless something else is in it."""
        with contextlib.suppress(OSError, pa.ArrowException, UnicodeError):
            where, root = self._place
            found = where.get_file_info(fs.FileSelector(root, allow_not_found=True))
            ours = [info.path for info in found if info.is_file and _OURS.fullmatch(info.base_name)]
            for path in ours:
                where.delete_file(path)
            if isinstance(where, fs.LocalFileSystem):
                Path(root).rmdir()
            elif len(ours) == len(found):
                where.delete_dir(root)
