"""What networks of a sweep make of images: measured anew, since a sweep stores no images."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from sweep.errors import SpecError
from sweep.measuring.memory import check_memory
from sweep.measuring.settings import probe_settings, sweep_images
from sweep.results.results import Results
from sweep.spec.columns import POINT
from sweep.spec.experiment import Experiment
from sweep.spec.options import AXES
from sweep.spec.rows import point_of

if TYPE_CHECKING:
    from probes import Images, Point

_LAYERS = 8


class Tiles(NamedTuple):
    """Images ``[rows, columns, height, width(, 3)]``, the points of the rows, and names of the columns."""

    images: np.ndarray
    points: pd.DataFrame
    columns: list[str]


def reconstructions(results: Results, sigma_b: float, depth: int) -> Tiles:
    """The first test image, reconstructed from a few layers of three measured networks near a sigma_b and a depth.

    They are those of the smallest, the best and the largest sigma_w of their neighbourhood: ordered, critical, chaotic.
    Their cascades are trained anew, as the sweep's settings say.

    Raises
    ------
    SpecError
        No measured networks, or a data set that cannot be loaded.
    """
    measured = results.points[results.points["status"] == "ok"]
    if not len(measured):
        raise SpecError(f"{results.files.location!r} must hold measured networks for reconstructions, got none")
    chosen = _three(measured, sigma_b, depth, results.spec.sigma_b, results.spec.depth)
    painter = Painter(results.spec)
    layers = some_layers(int(chosen["depth"].min()))
    rows = [painter.images(point_of(row), layers) for row in _records(chosen)]
    return Tiles(np.array(rows), chosen, ["image", *map(str, layers)])


def some_layers(depth: int) -> list[int]:
    """Up to eight layers of a network, evenly on a log scale."""
    return sorted({round(n) for n in np.geomspace(1, depth, _LAYERS)})


class Painter:
    """Draws networks of a sweep again, and has them give a test image back.

    Raises
    ------
    SpecError
        A data set that cannot be loaded, or networks that are too large for this machine.
    """

    def __init__(self, spec: Experiment) -> None:
        from probes.prober import Prober

        spec = replace(spec, download=False)
        self._settings = replace(probe_settings(spec), probe="both")
        self._images: Images = sweep_images(spec)
        check_memory(spec, self._images)
        self._prober = Prober(self._images, self._settings)

    def cost(self, depth: int) -> float:
        """Floating point operations of a network of this depth."""
        from probes.cost import cost

        return cost(self._settings, self._images, depth).cascade

    def images(self, point: "Point", layers: Sequence[int]) -> np.ndarray:
        """``[1 + layers, height, width(, 3)]``: the first test image, and what is left of it after these layers."""
        from probes.decoders import train_decoders
        from probes.pictures import as_shown

        prober = self._prober
        cascade = prober.cascade(prober.network(point))
        train_decoders(cascade.prepare(), steps=prober.steps, precision=prober.settings.precision)
        seen = cascade.reconstructions()[:, 0].cpu().numpy()
        flat = [seen[n - 1] if n <= len(seen) else np.full(self._images.pixels, np.nan) for n in layers]
        return as_shown(np.array([self._images.test[0].numpy(), *flat]), self._images.shape)


def _records(points: pd.DataFrame) -> list[dict[str, float]]:
    return points[list(POINT)].astype({"depth": int, "seed": int}).to_dict("records")  # type: ignore[return-value]


def spread(points: pd.DataFrame, spec: Experiment) -> Iterator[tuple[int, "Point"]]:
    """Measured points, and their places in the table: the deepest horizon first, then always the one farthest off."""
    measured = np.flatnonzero((points["status"] == "ok") & np.isfinite(points["margin"]))
    some, records = points.iloc[measured], _records(points.iloc[measured])
    ends = {a: np.array(getattr(spec, a), dtype=float) for a in AXES}
    scaled = [np.log if a == "depth" else np.asarray for a in AXES]
    x = np.stack([(f(some[a]) - f(ends[a][0])) / (np.ptp(f(ends[a])) or 1) for f, a in zip(scaled, AXES, strict=True)])
    away = np.full(len(some), np.inf)
    best = int(np.argmax(some["margin"] + np.log(some["depth"]))) if len(some) else -1
    while len(some) and away[best] > 0:
        yield int(measured[best]), point_of(records[best])
        away = np.minimum(away, ((x - x[:, [best]]) ** 2).sum(0))
        away[best] = 0.0
        best = int(np.argmax(away))


def _three(
    points: pd.DataFrame, sigma_b: float, depth: int, sigma_bs: tuple[float, float], depths: tuple[int, int]
) -> pd.DataFrame:
    """The ends in sigma_w and the largest horizon among the nearest tenth (at least twelve) of the points."""
    away = (points["sigma_b"] - sigma_b).abs() / ((sigma_bs[1] - sigma_bs[0]) or 1)
    away += 3 * np.log(points["depth"] / depth).abs() / (np.log(depths[1] / depths[0]) or 1)
    near = points.loc[away.nsmallest(max(12, len(points) // 10), keep="all").index].sort_values("sigma_w")
    reach = near["margin"] + np.log(near["depth"])
    best = near.loc[reach.idxmax()]
    rows = pd.DataFrame([near.iloc[0], best, near.iloc[-1]]).drop_duplicates(list(POINT))
    return rows.astype({"depth": int, "seed": int}).sort_values("sigma_w")
