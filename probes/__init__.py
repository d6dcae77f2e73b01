"""Probes of the trainability of random deep networks: numerics only (torch, numpy, scipy)."""

from .datasets import Images, load_images
from .meanfield import MeanField, critical_sigma_w, mean_field
from .measure import ProbeSettings, measure
from .point import Measurement, Point

__all__ = [
    "Images",
    "MeanField",
    "Measurement",
    "Point",
    "ProbeSettings",
    "critical_sigma_w",
    "load_images",
    "mean_field",
    "measure",
]
