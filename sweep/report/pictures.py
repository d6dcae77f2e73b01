"""Pictures of reconstructions for the report."""

import base64
import io
import logging
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sweep.errors import SpecError
from sweep.monitor.screen import progress_bar
from sweep.report.data import safe_text
from sweep.spec.experiment import Experiment

if TYPE_CHECKING:
    from probes import Point
    from sweep.measuring.reconstruct import Painter

# Networks that are measured again if their number is not given, and their operations: 20 s on one core.
_MAX_NETWORKS, _MAX_OPERATIONS = 64, 2e12


def reconstruction_data(spec: Experiment, shown: pd.DataFrame, count: int | None) -> dict[str, Any]:
    """Measure some of the points shown once more and return their reconstructions.

    Parameters
    ----------
    spec:
        The sweep's specification.
    shown:
        The points that the report shows one by one.
    count:
        How many of them to measure again; if None, as many as take about twenty seconds.

    Returns
    -------
    dict
        ``at``: rows of these points in ``shown``; ``layers``: the layers reconstructed from; ``images``: data URIs of
        the original image and of the reconstructions; ``why_not``: the reason, if there are none.
    """
    from sweep.measuring.reconstruct import Painter, some_layers, spread

    none: dict[str, Any] = {"at": [], "layers": [], "images": []}
    chosen = list(islice(spread(shown, spec), _MAX_NETWORKS if count is None else count))
    if not chosen:
        return none
    try:
        painter = Painter(spec)
    except SpecError as error:
        logging.getLogger(__name__).warning("the report has no reconstructions: %s", error)
        return {**none, "why_not": safe_text(error)}
    if count is None:
        chosen = _affordable(chosen, painter)
        if not chosen:
            return {
                **none,
                "why_not": "measuring them would take long; sweep report --reconstructions N does it for N networks",
            }
    layers = [some_layers(point.depth) for _, point in chosen]
    images = []
    with progress_bar("reconstructions", len(chosen)) as step:
        for (_, point), point_layers in zip(chosen, layers, strict=True):
            images.append([_picture(image) for image in painter.images(point, point_layers)])
            step()
    return {"at": [at for at, _ in chosen], "layers": layers, "images": images}


def _affordable(chosen: list[tuple[int, "Point"]], painter: "Painter") -> list[tuple[int, "Point"]]:
    """Return the points, in their order, whose reconstructions together take no more than the allowed operations."""
    spent, affordable = 0.0, []
    for at, point in chosen:
        cost = painter.cost(point)
        if spent + cost <= _MAX_OPERATIONS:
            spent += cost
            affordable.append((at, point))
    return affordable


def _picture(image: np.ndarray) -> str:
    """Return an image as the data URI of a PNG, its values stretched from black to white."""
    from matplotlib.image import imsave

    from sweep.plots.gallery import stretched

    out = io.BytesIO()
    metadata: dict[str, Any] = {"Software": None}
    imsave(out, stretched(image, 0), cmap="gray", vmin=0, vmax=1, format="png", metadata=metadata)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
