"""Probes that predict whether random deep networks can be trained.

The numerics need torch and numpy alone. Start at ``probes.measure(points, images, settings)``. A public name is
imported when it is first used: mean field theory needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = [
    "Custom",
    "Images",
    "MeanField",
    "Measurement",
    "Point",
    "ProbeSettings",
    "Prober",
    "TrainingSettings",
    "critical_sigma_w",
    "images_of",
    "initialise",
    "load_images",
    "mean_field",
    "measure",
]

if TYPE_CHECKING:
    from probes.critical import critical_sigma_w
    from probes.custom.function import Custom
    from probes.custom.redrawing import initialise
    from probes.datasets import Images, images_of, load_images
    from probes.meanfield import MeanField, mean_field
    from probes.point import Measurement, Point
    from probes.prober import Prober, measure
    from probes.settings import ProbeSettings
    from probes.training.settings import TrainingSettings

_MODULES = {
    "Custom": "custom.function",
    "Images": "datasets",
    "MeanField": "meanfield",
    "Measurement": "point",
    "Point": "point",
    "ProbeSettings": "settings",
    "Prober": "prober",
    "measure": "prober",
    "critical_sigma_w": "critical",
    "TrainingSettings": "training.settings",
    "images_of": "datasets",
    "initialise": "custom.redrawing",
    "load_images": "datasets",
    "mean_field": "meanfield",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"probes.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
