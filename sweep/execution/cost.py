"""Estimates of the cost of points and of the speed of devices, made before anything has been measured."""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from sweep.execution.capacity import Capacity
from sweep.spec.space import Space

if TYPE_CHECKING:
    from probes import Images, Point, ProbeSettings
    from probes.point import Extra

_CORE_FLOPS, _GPU_FLOPS = 100e9, 10e12  # per second, in large matrix products in float32


def typical_extra(spec: Space, settings: "ProbeSettings") -> "Extra":
    """Return the values of further axes of a typical point: their middle.

    There are none for networks of the user, whose function may make no network there, and knows values for which it
    does.
    """
    return () if settings.network is not None else spec.middle_extra


def cost_of_depth(settings: "ProbeSettings", images: "Images") -> Callable[[int], float]:
    """Return a function that maps a depth to the floating point operations of probing one network of it."""
    from probes.cost import cost

    return lambda depth: cost(settings, images, depth).probes


def cost_of_point(settings: "ProbeSettings", images: "Images") -> "Callable[[Point], float]":
    """Return a function that maps a point to its approximate floating point operations.

    Training is included where the settings ask for it, with all learning rates and epochs, as if all were trained.
    """
    from probes.cost import cost

    training = settings.training
    epochs = 0 if settings.train == "none" else len(training.lr) * training.max_epochs(images)

    @cache
    def of_depth(settings: "ProbeSettings", depth: int) -> float:
        costs = cost(settings, images, depth)
        return costs.probes + epochs * costs.epoch

    return lambda point: of_depth(settings.at(point.extra), point.depth)


def guessed_speeds(capacity: Capacity) -> dict[str, float]:
    """Return a guess of the floating point operations per second of a trial, for each kind of trial."""
    return {k: _GPU_FLOPS * min(1.0, capacity.gpus) if k == "gpu" else _CORE_FLOPS for k in capacity.kinds}
