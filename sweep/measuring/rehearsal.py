"""A stand-in for the probes, for benchmarks and tests of everything around them.

The module does not import torch, so that a hundred workers fit on a laptop.
"""

import math
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from probes.point import Measurement, Point


@dataclass(frozen=True)
class Rehearsal:
    """Stand-in for the probes that sleeps, and returns the margins of a smooth ridge.

    Give it to `run` or `resume` as ``make``. It makes itself the prober of every trial, with the methods of
    `probes.prober.Prober`. No network is drawn, and none is trained.

    Parameters
    ----------
    seconds:
        The time in seconds that a point takes.
    device:
        The device that is written to the rows.

    Notes
    -----
    The horizon is 40 layers on the ridge sigma_w = 1.1 + 0.5 sigma_b, and falls with the distance of log(sigma_w) from
    it. The margin is log(horizon / depth).
    """

    seconds: float = 0.0
    device: str = "none"

    def __call__(self, images: Any, settings: Any, threads: int, gpus: float) -> "Rehearsal":
        """Return this object, as the prober of a trial; the arguments are those of `make_prober`."""
        return self

    def probe(self, points: Sequence[Point]) -> list[Measurement]:
        """Sleep as long as the points take, and return their measurements."""
        time.sleep(self.seconds * len(points))
        return [self._measure(p, len(points)) for p in points]

    def _measure(self, p: Point, pack: int) -> Measurement:
        horizon = 40 * math.exp(-3 * math.log(p.sigma_w / (1.1 + 0.5 * p.sigma_b)) ** 2)
        margin = math.log(horizon / p.depth)
        return Measurement(p, "ok", "", {"margin": margin, "margin_censored": False, "pack": pack})

    def train(
        self, measured: list[Measurement], saved: Mapping[Point, Any] | None = None, doubtful: Collection[Point] = ()
    ) -> Iterator[Any]:
        """Train nothing, and return an empty iterator."""
        return iter(())
