"""Reconstructions for the report."""

import base64
import io
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd

from sweep.errors import SpecError
from sweep.report.data import safe_text
from sweep.spec.spec import SweepSpec

__all__ = ["reconstruction_data"]

_PAINTED, _OPERATIONS = 64, 2e12  # networks whose reconstructions are shown, and what they may take: 20 s of a core


def reconstruction_data(spec: SweepSpec, shown: pd.DataFrame, count: int | None) -> dict[str, Any]:
    """Of some of the points shown: their places ``at`` in the table, layers, and images as URIs, the image first."""
    from rich.console import Console
    from rich.progress import track

    from sweep.measuring.reconstruct import Painter, some_layers, spread

    chosen = list(islice(spread(shown, spec), _PAINTED if count is None else count))
    if not chosen:
        return {"at": [], "layers": [], "images": []}
    try:
        painter = Painter(spec)
    except SpecError as error:
        return {"at": [], "layers": [], "images": [], "why_not": safe_text(error)}
    if count is None:
        spent, affordable = 0.0, []
        for at, point in chosen:
            if spent + (cost := painter.cost(point.depth)) <= _OPERATIONS:
                spent += cost
                affordable.append((at, point))
        if not (chosen := affordable):
            return {"at": [], "layers": [], "images": [], "why_not": "it would take long (--reconstructions N does it)"}
    console = Console(stderr=True)
    layers = [some_layers(point.depth) for _, point in chosen]
    pairs = zip(chosen, layers, strict=True)
    steps = track(
        pairs, "reconstructions", len(chosen), console=console, transient=True, disable=not console.is_terminal
    )
    images = [[_picture(image) for image in painter.images(point, at)] for (_, point), at in steps]
    return {"at": [at for at, _ in chosen], "layers": layers, "images": images}


def _picture(image: np.ndarray) -> str:
    """A PNG as a URI, stretched over the image's range."""
    from matplotlib.image import imsave

    from sweep.plots.gallery import stretched

    out = io.BytesIO()
    nothing: dict[str, Any] = {"Software": None}
    imsave(out, stretched(image, 0), cmap="gray", vmin=0, vmax=1, format="png", metadata=nothing)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
