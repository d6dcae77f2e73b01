"""Points, which are the random networks to measure, and their measurements."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MAX_SIGMA = 20.0  # far beyond every phase boundary; quadrature and float32 stay accurate up to here
MAX_DEPTH = 2000
MAX_SEED = 2**53 - 1  # the largest that JSON, double precision and all dataframes hold exactly
REACH = 3  # multiple of its depth to which a network is followed in search of its horizons
_NESTED = ("mlp", "conv", "resnet")  # architectures in which a deeper network contains the shallower one


def nested(architecture: str) -> bool:
    """Return whether a deeper network of an architecture contains the shallower ones."""
    return architecture in _NESTED


def reach(architecture: str, depth: int, widths: Sequence[int] | None = None) -> int:
    """Return the last layer to which the direct probe follows a network of ``depth`` in search of its horizon.

    It is ``REACH * depth``, or less where ``widths`` of fewer hidden layers are given, if deeper networks of the
    architecture contain this one; otherwise it is ``depth``.
    """
    if not nested(architecture):
        return depth
    return min(REACH * depth, len(widths)) if widths else REACH * depth


Extra = tuple[tuple[str, float], ...]  # names and values of further axes, by name


@dataclass(frozen=True, order=True, repr=False)
class Point:
    """A point of the parameter space, which stands for one random network.

    Attributes
    ----------
    sigma_w:
        Standard deviation (never the variance) of the weights, times sqrt(fan_in): above 0, at most 20.
    sigma_b:
        Standard deviation of the biases: from 0 to 20.
    depth:
        Number of hidden layers: from 1 to 2000.
    seed:
        Seed of all random numbers: from 0 to 2**53 - 1.
    extra:
        Names and values of further axes, sorted by name: settings of the point's own (see
        `probes.settings.ProbeSettings.at`), and arguments of a function of the user that makes the networks.

    Raises
    ------
    ValueError
        A value is outside its range, or is not finite.
    """

    sigma_w: float
    sigma_b: float
    depth: int
    seed: int = 0
    extra: Extra = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "extra", sorted_extra(self.extra))
        if not (math.isfinite(self.sigma_w) and 0 < self.sigma_w <= MAX_SIGMA):
            raise ValueError(f"`sigma_w` must be above 0 and at most {MAX_SIGMA:g}, got {self.sigma_w}")
        if not (math.isfinite(self.sigma_b) and 0 <= self.sigma_b <= MAX_SIGMA):
            raise ValueError(f"`sigma_b` must be from 0 to {MAX_SIGMA:g}, got {self.sigma_b}")
        if not 1 <= self.depth <= MAX_DEPTH:
            raise ValueError(f"`depth` must be from 1 to {MAX_DEPTH}, got {self.depth}")
        if not 0 <= self.seed <= MAX_SEED:
            raise ValueError(f"`seed` must be from 0 to {MAX_SEED}, got {self.seed}")
        for name, value in self.extra:
            if not math.isfinite(value):
                raise ValueError(f"`{name}` must be finite, got {value}")

    def __repr__(self) -> str:
        extra = f", extra={self.extra!r}" if self.extra else ""  # of points without it, the text is that of before
        return (
            f"Point(sigma_w={self.sigma_w!r}, sigma_b={self.sigma_b!r}, depth={self.depth!r}, seed={self.seed!r}"
            f"{extra})"
        )


def sorted_extra(extra: Iterable[Sequence[Any]]) -> Extra:
    """Return the names and values of further axes, sorted by name, from any pairs; JSON has lists for tuples."""
    return tuple(sorted((str(name), value) for name, value in extra))


@dataclass(frozen=True)
class Measurement:
    """The results of measuring one point.

    Attributes
    ----------
    point:
        The point that was measured.
    status:
        ``ok``; ``diverged``: activations left the finite range, and the layers from there on count as retaining
        nothing; or ``failed``: ``error`` says why.
    error:
        Type and text of the exception, on one line; empty unless the status is ``failed``.
    values:
        Each statistic by its column name in the ``points`` table. A statistic that the settings do not ask for is
        absent, and a failed point has no values.
    profiles:
        Each statistic that has a value after every layer 1..depth, as a float64 array ``[depth]``; NaN where a layer
        was not decoded.
    curves:
        Where the network was trained: ``lr``, ``epoch``, ``accuracy`` and ``loss``, each ``[entries]``, one entry per
        epoch of each learning rate; see `TrainingCurve`.
    """

    point: Point
    status: str
    error: str = ""
    values: dict[str, float | int | bool] = field(default_factory=dict)
    profiles: dict[str, np.ndarray] = field(default_factory=dict)
    curves: dict[str, np.ndarray] = field(default_factory=dict)
