"""Stands in for the probes where only the orchestration is looked at: in benchmarks, tests and dry runs.

Imports no torch, so that a hundred workers fit on a laptop.
"""

import math
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from probes.point import Measurement, Point


@dataclass(frozen=True)
class Rehearsal:
    """Makes probers that take so many seconds a point and find a smooth ridge; see `Prober` for their methods.

    Parameters
    ----------
    seconds:
        That a point takes.
    """

    seconds: float = 0.0
    device: str = "none"

    def __call__(self, images: Any, settings: Any, threads: int, gpus: float) -> "Rehearsal":
        """As `make_prober`."""
        return self

    def probe(self, points: Sequence[Point]) -> list[Measurement]:
        """A horizon of 40 layers on the ridge."""
        time.sleep(self.seconds * len(points))
        return [self._measure(p, len(points)) for p in points]

    def _measure(self, p: Point, pack: int) -> Measurement:
        horizon = 40 * math.exp(-3 * math.log(p.sigma_w / (1.1 + 0.5 * p.sigma_b)) ** 2)
        margin = math.log(horizon / p.depth)
        return Measurement(p, "ok", "", {"margin": margin, "margin_censored": False, "pack": pack})

    def train(
        self, measured: list[Measurement], saved: Mapping[Point, Any] | None = None, doubtful: Collection[Point] = ()
    ) -> Iterator[Any]:
        """Nothing to train."""
        return iter(())
