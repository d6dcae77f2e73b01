"""Figures drawn by matplotlib. Each function takes tables and, if wanted, an ``Axes``, and returns the ``Axes``."""

from sweep.plots.loading import load_matplotlib

load_matplotlib()  # before the modules below import parts of it

from sweep.plots.difference import boundaries  # noqa: E402
from sweep.plots.gallery import reconstructions  # noqa: E402
from sweep.plots.layers import layers  # noqa: E402
from sweep.plots.planes import phase  # noqa: E402
from sweep.plots.points import band, depth, history, profiles  # noqa: E402
from sweep.plots.trained import paper, reliability, roc, truth  # noqa: E402

__all__ = [
    "band",
    "boundaries",
    "depth",
    "history",
    "layers",
    "paper",
    "phase",
    "profiles",
    "reconstructions",
    "reliability",
    "roc",
    "truth",
]
