"""The record of an attempt to measure or train a pack that raised an exception."""

from collections.abc import Sequence
from typing import TypeVar

import torch

from probes.point import Measurement, Point

T = TypeVar("T")


class Failure:
    """The kind and message of an error, without the exception, which would keep the tensors of its frames alive."""

    def __init__(self, error: Exception) -> None:
        self._text = " ".join(f"{type(error).__name__}: {error}".split())
        self._out_of_memory = isinstance(error, torch.OutOfMemoryError)

    def measurement_of(self, point: Point) -> Measurement:
        """Return the failed measurement of a point."""
        return Measurement(point, "failed", self._text)

    def split(self, pack: Sequence[T]) -> list[Sequence[T]]:
        """Split a pack that failed into those to try instead: halves if memory ran out, otherwise single members."""
        size = len(pack) // 2 if self._out_of_memory else 1
        return [pack[i : i + size] for i in range(0, len(pack), size)]

    def note_halving(self, measured: Sequence[Measurement]) -> None:
        """Count the failure in ``pack_halved`` of the measurements that were made after it, if memory ran out."""
        if self._out_of_memory:
            for m in measured:
                if m.values:
                    m.values["pack_halved"] += 1
