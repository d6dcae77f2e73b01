"""Figures drawn by matplotlib. Each function takes tables and, if wanted, an ``Axes``, and returns the ``Axes``."""

from sweep.plots.difference import boundaries
from sweep.plots.gallery import reconstructions
from sweep.plots.planes import phase
from sweep.plots.points import band, depth, history, profiles
from sweep.plots.trained import paper, roc, truth

__all__ = ["band", "boundaries", "depth", "history", "paper", "phase", "profiles", "reconstructions", "roc", "truth"]
