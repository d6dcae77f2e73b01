"""What is measured (Point) and what came of it (Measurement): frozen, validated once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

MAX_SIGMA = 20.0  # far beyond every phase boundary; keeps quadrature and float32 meaningful
MAX_DEPTH = 2000
MAX_SEED = 2**53 - 1  # exact in JSON, in double precision and in every dataframe
REACH = 3  # the direct probe follows a network to this multiple of its depth in search of its horizon
_NESTED = ("mlp", "conv", "resnet")  # architectures in which a deeper network contains the shallower one


def nested(architecture: str) -> bool:
    """Whether a deeper network of this architecture contains the shallower one."""
    return architecture in _NESTED


def reach(architecture: str, depth: int, widths: Sequence[int] | None = None) -> int:
    """How deep networks can be that begin with one of ``depth``: where its horizon is looked for."""
    if not nested(architecture):
        return depth
    return min(REACH * depth, len(widths)) if widths else REACH * depth


@dataclass(frozen=True, order=True)
class Point:
    """One random network: standard deviations (never variances), hidden layers, seed.

    Raises
    ------
    ValueError
        A value outside its range: ``0 < sigma_w <= 20``, ``0 <= sigma_b <= 20``, ``1 <= depth <= 2000``,
        ``0 <= seed < 2**53``.
    """

    sigma_w: float
    sigma_b: float
    depth: int
    seed: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.sigma_w) and 0 < self.sigma_w <= MAX_SIGMA):
            raise ValueError(f"`sigma_w` must be above 0 and at most {MAX_SIGMA:g}, got {self.sigma_w}")
        if not (math.isfinite(self.sigma_b) and 0 <= self.sigma_b <= MAX_SIGMA):
            raise ValueError(f"`sigma_b` must be from 0 to {MAX_SIGMA:g}, got {self.sigma_b}")
        if not 1 <= self.depth <= MAX_DEPTH:
            raise ValueError(f"`depth` must be from 1 to {MAX_DEPTH}, got {self.depth}")
        if not 0 <= self.seed <= MAX_SEED:
            raise ValueError(f"`seed` must be from 0 to {MAX_SEED}, got {self.seed}")


@dataclass(frozen=True)
class Measurement:
    """What was measured at a point.

    Attributes
    ----------
    status:
        ``ok``; ``diverged`` (activations left the finite range: the layers from there on count as
        retaining nothing); ``failed`` (``error`` says why; no values).
    values:
        One number per statistic, keyed by the column names of the ``points`` table. A statistic that was
        not asked for is absent.
    profiles:
        Statistic -> float64 array of shape ``[depth]``: its value after each layer 1..depth.
    curves:
        ``accuracy`` and ``loss`` per epoch, shape ``[epochs]``, where the network was trained.
    """

    point: Point
    status: str
    error: str = ""
    values: dict[str, float | int | bool] = field(default_factory=dict)
    profiles: dict[str, np.ndarray] = field(default_factory=dict)
    curves: dict[str, np.ndarray] = field(default_factory=dict)
