"""What points cost and how fast devices are, by a guess before anything was measured."""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from sweep.execution.capacity import Capacity
from sweep.measuring.settings import probe_settings
from sweep.spec.experiment import Measuring

if TYPE_CHECKING:
    from probes import Images

_CORE_FLOPS, _GPU_FLOPS = 100e9, 10e12  # a second, of well filled matrix products in float32


def cost_of_depth(spec: Measuring, images: "Images") -> Callable[[int], float]:
    """What a probe of a depth costs, in floating point operations."""
    from probes.cost import cost

    settings = probe_settings(spec)
    return lambda depth: cost(settings, images, depth).probes


def cost_of_point(spec: Measuring, images: "Images") -> Callable[[int], float]:
    """Roughly, floating point operations of a point of a depth, with its training."""
    from probes.cost import cost

    settings = probe_settings(spec)
    epochs = 0 if spec.train == "none" else len(spec.lr) * settings.training.rounds(images)

    @cache
    def of_depth(depth: int) -> float:
        found = cost(settings, images, depth)
        return found.probes + epochs * found.epoch

    return of_depth


def guessed_speeds(capacity: Capacity) -> dict[str, float]:
    """A guess of what a trial of each kind does in a second, until it has been measured."""
    return {k: _GPU_FLOPS * min(1.0, capacity.gpus) if k == "gpu" else _CORE_FLOPS for k in capacity.kinds}
