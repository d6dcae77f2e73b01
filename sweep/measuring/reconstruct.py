"""Reconstructions of a test image by networks of a sweep.

A sweep stores no images, so that the networks are drawn and their cascades are trained again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from sweep.errors import SpecError
from sweep.measuring.memory import check_memory, largest
from sweep.measuring.settings import probe_settings, sweep_images
from sweep.results.results import Results
from sweep.spec.columns import POINT
from sweep.spec.experiment import Experiment
from sweep.spec.rows import point_of

if TYPE_CHECKING:
    from probes import Images, Point

_MAX_LAYERS = 8


class Tiles(NamedTuple):
    """A grid of images, with a row for each network and a column for each layer.

    Attributes
    ----------
    images:
        ``[rows, columns, height, width(, 3)]``
    points:
        The points of the rows, a row of a sweep's table for each.
    columns:
        Titles of the columns: ``image`` for the original, then the numbers of the layers.
    """

    images: np.ndarray
    points: pd.DataFrame
    columns: list[str]


def reconstructions(results: Results, sigma_b: float, depth: int) -> Tiles:
    """Return the first test image as reconstructed from some layers of three networks.

    The networks are chosen among the measured ones near ``sigma_b`` and ``depth``: the one with the smallest sigma_w,
    the one with the largest horizon and the one with the largest sigma_w. In general, these are ordered, critical and
    chaotic.
    Their cascades are trained again, with the settings of the sweep.

    Raises
    ------
    SpecError
        There are no measured networks, the data set cannot be loaded, or the networks are too large for this machine.
    """
    measured = results.points[results.points["status"] == "ok"]
    if not len(measured):
        raise SpecError(f"{results.files.location!r} must hold measured networks for reconstructions, got none")
    chosen = _three_points(measured, sigma_b, depth, results.spec.sigma_b, results.spec.depth)
    painter = Painter(results.spec)
    layers = some_layers(int(chosen["depth"].min()))
    further = results.spec.further_names
    rows = [painter.images(point_of(row, further), layers) for row in _records(chosen, further)]
    return Tiles(np.array(rows), chosen, ["image", *map(str, layers)])


def some_layers(depth: int) -> list[int]:
    """Return up to eight layers of a network of this depth, spaced evenly on a logarithmic scale."""
    return sorted({round(n) for n in np.geomspace(1, depth, _MAX_LAYERS)})


class Painter:
    """Maker of reconstructions: draws networks of a sweep again, and trains their cascades.

    Raises
    ------
    SpecError
        The data set cannot be loaded, the networks are too large for this machine, or a function of the user makes
        them.
    """

    def __init__(self, spec: Experiment) -> None:
        from probes.prober import Prober

        if spec.network is not None:
            raise SpecError("reconstructions are of built-in networks only: no function of yours is run for a picture")
        spec = replace(spec, download=False)
        self._settings = replace(probe_settings(spec), probe="both")
        self._images: Images = sweep_images(spec)
        check_memory(largest(self._settings, self._images, spec), self._images, spec.depth[1])
        self._prober = Prober(self._images, self._settings)

    def cost(self, point: "Point") -> float:
        """Return the floating point operations that the reconstructions of a point's network take."""
        from probes.cost import cost

        return cost(self._settings.at(point.extra), self._images, point.depth).cascade

    def images(self, point: "Point", layers: Sequence[int]) -> np.ndarray:
        """Return the first test image and its reconstructions from some layers of a point's network.

        Parameters
        ----------
        point:
            The point whose network is drawn.
        layers:
            Numbers of layers, counted from 1.

        Returns
        -------
        array
            ``[1 + layers, height, width(, 3)]``; NaN for layers that the cascade does not reach.
        """
        from probes.decoders import train_decoders
        from probes.pictures import as_shown

        prober = self._prober
        cascade = prober.cascade(prober.network(point))
        train_decoders(cascade.prepare(), steps=prober.steps, precision=prober.settings.precision)
        decoded = cascade.reconstructions()[:, 0].cpu().numpy()
        flat = [decoded[n - 1] if n <= len(decoded) else np.full(self._images.pixels, np.nan) for n in layers]
        return as_shown(np.array([self._images.test[0].numpy(), *flat]), self._images.shape)


def _records(points: pd.DataFrame, further: Sequence[str]) -> list[dict[str, float]]:
    return points[[*POINT, *further]].astype({"depth": int, "seed": int}).to_dict("records")  # type: ignore[return-value]


def spread(points: pd.DataFrame, spec: Experiment) -> Iterator[tuple[int, "Point"]]:
    """Yield measured points that are spread over the axes, each with the number of its row in the table.

    The first one has the largest horizon. Each further one is the point that is farthest from all those before it, with
    every axis scaled to length 1 and depths on a logarithmic scale.
    """
    measured = np.flatnonzero((points["status"] == "ok") & np.isfinite(points["margin"]))
    table, records = points.iloc[measured], _records(points.iloc[measured], spec.further_names)
    scales = {a.name: np.log if a.log or a.name == "depth" else np.asarray for a in spec.axes.values()}
    ends = {name: scale(np.array(spec.range_of(name), dtype=float)) for name, scale in scales.items()}
    x = np.stack([(scale(table[a]) - ends[a][0]) / (np.ptp(ends[a]) or 1) for a, scale in scales.items()])
    distance = np.full(len(table), np.inf)  # squared, from the nearest point chosen so far
    best = int(np.argmax(table["margin"] + np.log(table["depth"]))) if len(table) else -1
    while len(table) and distance[best] > 0:
        yield int(measured[best]), point_of(records[best], spec.further_names)
        distance = np.minimum(distance, ((x - x[:, [best]]) ** 2).sum(0))
        distance[best] = 0.0
        best = int(np.argmax(distance))


def _three_points(
    points: pd.DataFrame, sigma_b: float, depth: int, sigma_bs: tuple[float, float], depths: tuple[int, int]
) -> pd.DataFrame:
    """Return the points of smallest sigma_w, largest horizon and largest sigma_w near a sigma_b and a depth.

    They are chosen among the nearest tenth of the points, or the nearest twelve if these are more.
    """
    distance = (points["sigma_b"] - sigma_b).abs() / ((sigma_bs[1] - sigma_bs[0]) or 1)
    distance += 3 * np.log(points["depth"] / depth).abs() / (np.log(depths[1] / depths[0]) or 1)
    near = points.loc[distance.nsmallest(max(12, len(points) // 10), keep="all").index].sort_values("sigma_w")
    log_horizon = near["margin"] + np.log(near["depth"])  # up to a constant
    best = near.loc[log_horizon.idxmax()]
    rows = pd.DataFrame([near.iloc[0], best, near.iloc[-1]]).drop_duplicates(list(POINT))
    return rows.astype({"depth": int, "seed": int}).sort_values("sigma_w")
