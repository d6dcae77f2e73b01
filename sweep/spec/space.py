"""The part of a spec that says which axes are searched, and over which ranges."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from probes.further import RATE
from sweep.errors import SpecError
from sweep.spec.axes import Axes, Axis
from sweep.spec.kinds import Interval, Range
from sweep.spec.options import AXES, Part, option
from sweep.spec.ranges import DEPTH, SIGMA_B, SIGMA_W

_DEFAULT_DEPTH = (5, 60)  # unless there are widths to count


@dataclass(frozen=True, kw_only=True)
class Space(Part):
    """The ranges of the axes."""

    title = "Points"

    sigma_w: tuple[float, float] = option(
        (0.5, 2.5), Interval(SIGMA_W), "Range of the standard deviation of the weights, times sqrt(fan_in)."
    )
    sigma_b: tuple[float, float] = option(
        (0.05, 1.0), Interval(SIGMA_B), "Range of the standard deviation of the biases."
    )
    depth: tuple[int, int] = option(
        None,
        Interval(DEPTH),
        "Range of the number of hidden layers; default: 5 60, or the number of widths. LO = HI fixes an axis.",
    )
    replicas: int = option(1, Range(1, 1000), "Number of random networks measured at each place.")
    axis: tuple[str, ...] = option(
        (),
        Axes(),
        "One or two further axes: an argument of the function of --network, or lr (with --train), width or "
        "residual_scale (resnet). log: on a log scale; int: whole numbers. LO = HI fixes an axis.",
    )
    seed: int = option(0, Range(0, 2**31 - 1), "Seed of all random numbers.")

    def _resolve(self) -> None:
        self._default("depth", _DEFAULT_DEPTH, by=None)

    @property
    def axes(self) -> Mapping[str, Axis]:
        """All axes by name: sigma_w, sigma_b, depth, and further ones, sorted by name."""
        return _axes((self.sigma_w, self.sigma_b, self.depth), self.axis)

    @property
    def further_axes(self) -> list[Axis]:
        """The axes beside sigma_w, sigma_b and depth."""
        return [axis for name, axis in self.axes.items() if name not in AXES]

    @property
    def further_names(self) -> list[str]:
        """The names of the axes beside sigma_w, sigma_b and depth, which are columns of all tables."""
        return [axis.name for axis in self.further_axes]

    @property
    def free_axes(self) -> list[str]:
        """The names of the axes that are not fixed."""
        return [name for name, axis in self.axes.items() if axis.is_free]

    @property
    def trains_over_rates(self) -> bool:
        """Whether the learning rate is searched, so that boundaries are those of the truth."""
        return RATE in self.free_axes

    def range_of(self, axis: str) -> tuple[float, float]:
        """Return the ends of the range of an axis."""
        return self.axes[axis].ends

    def place_at(self, /, **values: Any) -> dict[str, Any]:
        """Return a value of every axis: as given, or else the middle of a further axis, and the lower end of others.

        Raises
        ------
        SpecError
            A name is that of no axis.
        """
        if unknown := [name for name in values if name not in self.axes]:
            raise SpecError(f"{unknown[0]!r} must be an axis of the sweep, which are {', '.join(self.axes)}")
        return {
            name: values[name] if name in values else axis.low if name in AXES else axis.middle
            for name, axis in self.axes.items()
        }

    def further_at(self, /, **values: float) -> dict[str, float]:
        """Return a value of every further axis: as given, or else its middle."""
        return {axis.name: values.get(axis.name, axis.middle) for axis in self.further_axes}

    @property
    def middle_extra(self) -> tuple[tuple[str, float], ...]:
        """The middle of each further axis, as `probes.Point` takes it."""
        return tuple(self.further_at().items())


@lru_cache(maxsize=256)  # each row of a sweep asks for them
def _axes(ends: tuple[tuple[float, float], ...], further: tuple[str, ...]) -> Mapping[str, Axis]:
    """Return the axes of a sweep by name, given the ranges of `AXES` and the texts of further axes."""
    usual = (Axis(name, low, high, whole=name == "depth") for name, (low, high) in zip(AXES, ends, strict=True))
    axes = (*usual, *(Axes().parsed("axis", text) for text in further))
    return MappingProxyType({axis.name: axis for axis in axes})
