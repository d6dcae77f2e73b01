"""Figures by matplotlib: each function takes tables and an ``Axes``, and returns it."""

from sweep.plots.difference import boundaries
from sweep.plots.gallery import reconstructions
from sweep.plots.planes import phase
from sweep.plots.points import band, depth, history, profiles
from sweep.plots.trained import paper, roc, truth

__all__ = ["band", "boundaries", "depth", "history", "paper", "phase", "profiles", "reconstructions", "roc", "truth"]
