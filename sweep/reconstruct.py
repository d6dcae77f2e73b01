"""What networks of a sweep make of images: measured anew, since a sweep stores no images."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from .frame import POINT, Results, point_of
from .settings import probe_settings, sweep_images
from .spec import SpecError

__all__ = ["Tiles", "reconstructions"]

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
    from probes.decoders import train_decoders
    from probes.measure import Prober

    spec = results.spec
    measured = results.points[results.points["status"] == "ok"]
    if not len(measured):
        raise SpecError(f"{results.home.place!r} must hold measured networks for reconstructions, got none")
    chosen = _three(measured, sigma_b, depth, spec.sigma_b, spec.depth)
    images = sweep_images(spec)
    prober = Prober(images, probe_settings(spec))
    layers = sorted({round(n) for n in np.geomspace(1, int(chosen["depth"].min()), _LAYERS)})
    rows = []
    for row in chosen[list(POINT)].to_dict("records"):
        cascade = prober.cascade(prober.network(point_of({str(k): v for k, v in row.items()})))
        train_decoders(cascade.prepare(), steps=prober.steps, precision=prober.settings.precision)
        found = cascade.reconstructions()[:, 0].cpu().numpy()
        flat = [found[n - 1] if n <= len(found) else np.full(images.pixels, np.nan) for n in layers]
        rows.append([images.test[0].numpy(), *flat])
    tiles = np.array(rows).reshape(len(rows), len(layers) + 1, *_shown(images.shape))
    if len(images.shape) == 3:  # channels first; two or four of them are no colours
        tiles = np.moveaxis(tiles, 2, -1) if images.shape[0] == 3 else tiles.mean(2)
    return Tiles(tiles, chosen, ["image", *map(str, layers)])


def _shown(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape if len(shape) > 1 else (1, *shape)


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
