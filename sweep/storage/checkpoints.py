"""Checkpoints of trainings, with which they go on after a fault: one file per point, beside the results.

They are not Tune's checkpoints, which belong to its trials: a sweep whose driver was killed starts new trials. A worker
on a machine that does not share the driver's disk keeps its checkpoints on its own. If the storage fails, checkpoints
are lost, but no training fails.
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
from sweep.errors import SpecError
from sweep.storage.files import filesystem_at, write_whole
from sweep.text import one_line

_FOLDER = "checkpoints"
_CHECKPOINT_NAME = re.compile(r"[0-9a-f]{32}\.pt(\.[0-9a-f]{8}\.tmp)?")


class Checkpoints:
    """The checkpoints of one sweep.

    Parameters
    ----------
    directory:
        Where the results of the sweep are: a path or a URI, as for `Store`.
    """

    def __init__(self, directory: str | Path) -> None:
        self._directory = directory
        self._warned = False

    @cached_property
    def _folder(self) -> tuple[fs.FileSystem, str]:
        filesystem, root = filesystem_at(self._directory)
        return filesystem, f"{root}/{_FOLDER}"

    @staticmethod
    def _name(point: Point) -> str:
        return f"{hashlib.blake2b(repr(point).encode(), digest_size=16).hexdigest()}.pt"

    def save(self, states: Mapping[Point, Any]) -> None:
        """Write the state of each point's training (`Training.state`), each file whole or not at all.

        If the storage fails, a warning is logged the first time, and no error is raised.
        """
        import torch

        try:
            filesystem, root = self._folder
            filesystem.create_dir(root, recursive=True)
            for point, state in states.items():
                buffer = io.BytesIO()
                torch.save(state, buffer)
                write_whole(filesystem, f"{root}/{self._name(point)}", buffer.getvalue())
        except (OSError, SpecError, pa.ArrowException) as error:
            if not self._warned:
                logging.getLogger(__name__).warning("checkpoints of trainings cannot be saved: %s", one_line(error))
            self._warned = True

    def load(self, points: Iterable[Point]) -> dict[Point, Any]:
        """Return the saved states of those points that have one that can be read."""
        import torch

        states = {}
        for point in points:
            with contextlib.suppress(Exception):  # whatever is wrong with the file, the training can begin anew
                filesystem, root = self._folder
                with filesystem.open_input_file(f"{root}/{self._name(point)}") as file:
                    states[point] = torch.load(io.BytesIO(file.readall()), weights_only=True)
        return states

    def forget(self, points: Iterable[Point]) -> None:
        """Remove the states of points whose training is finished."""
        for point in points:
            with contextlib.suppress(OSError, SpecError, pa.ArrowException):
                filesystem, root = self._folder
                filesystem.delete_file(f"{root}/{self._name(point)}")

    def clear(self) -> None:
        """Remove all checkpoints, and their folder if nothing else is in it."""
        with contextlib.suppress(OSError, SpecError, pa.ArrowException, UnicodeError):
            filesystem, root = self._folder
            entries = filesystem.get_file_info(fs.FileSelector(root, allow_not_found=True))
            paths = [info.path for info in entries if info.is_file and _CHECKPOINT_NAME.fullmatch(info.base_name)]
            for path in paths:
                filesystem.delete_file(path)
            if isinstance(filesystem, fs.LocalFileSystem):
                Path(root).rmdir()
            elif len(paths) == len(entries):
                filesystem.delete_dir(root)
