"""Reconstructions for the report."""

import base64
import io
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

_PAINTED, _OPERATIONS = 64, 2e12  # networks whose reconstructions are shown, and what they may take: 20 s of a core


def reconstruction_data(spec: Experiment, shown: pd.DataFrame, count: int | None) -> dict[str, Any]:
    """Return reconstructions of ``count`` of the points shown; of as many as take some twenty seconds, if it is None.

    Their places ``at`` in the table, layers, and images as URIs, the image itself first; ``why_not`` there are none.
    """
    from sweep.measuring.reconstruct import Painter, some_layers, spread

    none: dict[str, Any] = {"at": [], "layers": [], "images": []}
    chosen = list(islice(spread(shown, spec), _PAINTED if count is None else count))
    if not chosen:
        return none
    try:
        painter = Painter(spec)
    except SpecError as error:
        return {**none, "why_not": safe_text(error)}
    if count is None:
        chosen = _affordable(chosen, painter)
        if not chosen:
            return {**none, "why_not": "it would take long (--reconstructions N does it)"}
    layers = [some_layers(point.depth) for _, point in chosen]
    images = []
    with progress_bar("reconstructions", len(chosen)) as step:
        for (_, point), at in zip(chosen, layers, strict=True):
            images.append([_picture(image) for image in painter.images(point, at)])
            step()
    return {"at": [at for at, _ in chosen], "layers": layers, "images": images}


def _affordable(chosen: list[tuple[int, "Point"]], painter: "Painter") -> list[tuple[int, "Point"]]:
    """Return those of the points, in their order, whose operations together are not too many."""
    spent, affordable = 0.0, []
    for at, point in chosen:
        cost = painter.cost(point.depth)
        if spent + cost <= _OPERATIONS:
            spent += cost
            affordable.append((at, point))
    return affordable


def _picture(image: np.ndarray) -> str:
    """A PNG as a URI, stretched over the image's range."""
    from matplotlib.image import imsave

    from sweep.plots.gallery import stretched

    out = io.BytesIO()
    nothing: dict[str, Any] = {"Software": None}
    imsave(out, stretched(image, 0), cmap="gray", vmin=0, vmax=1, format="png", metadata=nothing)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
