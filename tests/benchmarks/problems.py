"""Functions with an exactly known boundary, at 0, of standard deviation 1 over their domains so that noise compares.

`PROBLEMS` are those of the comparison with other methods. `OUTCOMES` are observed in the ways that real outcomes come:
as a yes or no, as a share of several such draws, as a jump, with outliers, with whole numbers on an axis.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from scipy.special import ndtr
from scipy.stats import qmc

from probes.meanfield import mean_field
from sweep.levelset.domain import Axis

__all__ = ["DRAWS", "OUTCOMES", "PROBLEMS", "Problem"]

_TEST = 4096  # places that the misclassified area is counted at
_XI_MOST = 200.0  # layers; beyond, nobody could tell
_HUGE = 1e3  # values from which on are outliers
DRAWS = 8  # yes-or-no observations of a point where their share is observed


@dataclass(frozen=True)
class Problem:
    """A function ``raw [n, axes] -> [n]`` over a domain.

    ``draws`` says that what is observed are not values of the function with noise, but the share of yes among so many
    draws of yes or no, where yes has probability ``Phi(raw)``.
    """

    name: str
    axes: list[Axis]
    raw: Callable[[np.ndarray], np.ndarray]
    draws: int = 0

    def observed(self, points: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
        """Values as they are observed at ``points [n, axes]``."""
        if self.draws:
            return rng.binomial(self.draws, ndtr(self.raw(points))) / self.draws
        return self(points) + noise * rng.standard_normal(len(points))

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Without noise."""
        return self.raw(points) / self._scale

    @cached_property
    def places(self) -> np.ndarray:
        """``[4096, axes]`` places, evenly spread over the domain; an integer axis is taken as continuous."""
        u = qmc.Sobol(len(self.axes), scramble=True, rng=np.random.default_rng(99)).random(_TEST)
        return np.stack([_continuous(a).from_unit(u[:, i]) for i, a in enumerate(self.axes)], 1)

    @cached_property
    def _scale(self) -> float:
        values = self.raw(self.places)
        return float(values[np.abs(values) < _HUGE].std())

    @cached_property
    def truth(self) -> np.ndarray:
        """``[4096]``: whether the function is positive there."""
        return self.raw(self.places) > 0

    def error(self, predict: Callable[[np.ndarray], np.ndarray]) -> float:
        """Misclassified share of the domain."""
        return float(np.mean((predict(self.places) > 0) != self.truth))

    def crossings(self, lines: int = 20, steps: int = 4001) -> list[tuple[np.ndarray, float]]:
        """Where the function is 0 along the first axis, on a few lines: (the other coordinates, the crossing)."""
        sobol = qmc.Sobol(max(1, len(self.axes) - 1), scramble=True, rng=np.random.default_rng(98))
        u = sobol.random(1 << math.ceil(math.log2(lines)))[:lines]
        others = np.stack([_continuous(a).from_unit(u[:, i]) for i, a in enumerate(self.axes[1:])], 1)
        x = np.linspace(self.axes[0].low, self.axes[0].high, steps)
        found = []
        for other in others:
            y = self.raw(np.column_stack([x, np.broadcast_to(other, (steps, len(other)))]))
            for i in np.flatnonzero((y[:-1] > 0) != (y[1:] > 0)):
                found.append((other, float(x[i] + (x[i + 1] - x[i]) * y[i] / (y[i] - y[i + 1]))))
        return found


def _continuous(axis: Axis) -> Axis:
    return Axis(axis.name, axis.low, axis.high, log=axis.log)


@cache
def _log_xi(sigma_w: float, sigma_b: float) -> float:
    return math.log(min(mean_field(sigma_w, sigma_b).xi_c, _XI_MOST))


def _mean_field(points: np.ndarray) -> np.ndarray:
    """log(6 xi_c / depth) for tanh, over (sigma_w, sigma_b, depth)."""
    return math.log(6) + np.array([_log_xi(w, b) for w, b, _ in points]) - np.log(points[:, 2])


def _at_depth(depth: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda p: _mean_field(np.column_stack([p, np.full(len(p), depth)]))


def _band(p: np.ndarray) -> np.ndarray:
    """A wavy band, 0.1 wide."""
    return 0.05 - np.abs(p[:, 0] - 0.5 - 0.2 * np.sin(2 * np.pi * p[:, 1]))


def _two(p: np.ndarray) -> np.ndarray:
    """Two regions that do not touch, one of them small."""
    large = np.exp(-((p[:, 0] - 0.3) ** 2 + (p[:, 1] - 0.35) ** 2) / 0.08)
    small = np.exp(-((p[:, 0] - 0.8) ** 2 + (p[:, 1] - 0.8) ** 2) / 0.015)
    return large + small - 0.5


def _reentrant(p: np.ndarray) -> np.ndarray:
    """A boundary that lines of constant y cross up to three times."""
    u, v = p[:, 0] - 0.5, p[:, 1] - 0.5
    return v - 0.35 * np.sin(7 * u) * np.exp(-2 * u * u) + 4 * u * v * v


def _ball(p: np.ndarray) -> np.ndarray:
    """An ellipsoid."""
    return 1 - ((p[:, 0] - 0.5) / 0.3) ** 2 - ((p[:, 1] - 0.45) / 0.4) ** 2 - ((p[:, 2] - 0.5) / 0.25) ** 2


def _slab(p: np.ndarray) -> np.ndarray:
    """A bent slab, 0.1 to 0.2 wide."""
    return 0.05 + 0.05 * p[:, 2] - np.abs(p[:, 0] - 0.4 - 0.2 * p[:, 1] ** 2 - 0.1 * np.sin(3 * p[:, 2]))


def _valley(p: np.ndarray) -> np.ndarray:
    """A curved valley and a hill; the boundary has two parts."""
    x, y = p[:, 0], p[:, 1]
    return 4 * (np.sin(4 * x + 0.5) * np.cos(3 * y) + 0.6 * x - 0.2)


def _bean(p: np.ndarray) -> np.ndarray:
    """Half of the square of distance from a bent line, less a constant, in three dimensions."""
    x, y, z = p[:, 0], p[:, 1], p[:, 2]
    return 3 * (0.5 - 5 * (x - 0.3 - 0.4 * y * y) ** 2 - 3 * (z - 0.5) ** 2)


def _jump(p: np.ndarray) -> np.ndarray:
    """-1 below a curve, +1 above it."""
    return np.where(p[:, 1] > 0.45 + 0.25 * np.sin(5 * p[:, 0]) * p[:, 0], 1.0, -1.0)


def _jump_in_space(p: np.ndarray) -> np.ndarray:
    """-1 within a ball beside the middle, +1 outside."""
    return np.where(((p - [0.4, 0.55, 0.5]) ** 2).sum(1) > 0.16, 1.0, -1.0)


def _with_outliers(p: np.ndarray) -> np.ndarray:
    """A smooth function, and 1e4 on 4.5 % of the domain."""
    smooth = np.sin(5 * p[:, 0]) + 1.5 * p[:, 1] - 0.9
    return np.where((p[:, 0] - 0.75) ** 2 + (p[:, 1] - 0.3) ** 2 < 0.0144, 1e4, smooth)


def _irrelevant_axis(p: np.ndarray) -> np.ndarray:
    """An ellipsoid in four dimensions, of which the third says nothing."""
    return 1 - ((p[:, 0] - 0.45) / 0.35) ** 2 - ((p[:, 1] - 0.5) / 0.45) ** 2 - ((p[:, 3] - 0.55) / 0.3) ** 2


def _whole_depth(p: np.ndarray) -> np.ndarray:
    """log(horizon / depth), where the horizon is longest near a bent line in the plane."""
    return 1.6 - np.log(p[:, 2] / 12) - 9 * np.abs(p[:, 0] - 0.35 - 0.3 * p[:, 1] ** 2) / (0.4 + p[:, 0])


def _saddle(p: np.ndarray) -> np.ndarray:
    """A smooth function, whose boundary has two branches."""
    return (p[:, 0] - 0.4) * (p[:, 1] - 0.55) + 0.15 * np.sin(6 * p[:, 0]) - 0.03


_PLANE = [Axis("x", 0, 1), Axis("y", 0, 1)]
_CUBE = [*_PLANE, Axis("z", 0, 1)]
_SIGMAS = [Axis("sigma_w", 0.5, 2.5), Axis("sigma_b", 0.05, 1.0)]

PROBLEMS = [
    Problem("mean field, depth 20", _SIGMAS, _at_depth(20)),
    Problem("mean field, depth 60", _SIGMAS, _at_depth(60)),
    Problem("narrow band", _PLANE, _band),
    Problem("two regions", _PLANE, _two),
    Problem("re-entrant", _PLANE, _reentrant),
    Problem("mean field, depths 5-60", [*_SIGMAS, Axis("depth", 5, 60, log=True, integer=True)], _mean_field),
    Problem("ellipsoid", _CUBE, _ball),
    Problem("slab", _CUBE, _slab),
]

OUTCOMES = [
    Problem("yes or no (2-D)", _PLANE, _valley, draws=1),
    Problem("yes or no, steep (2-D)", _PLANE, lambda p: 5 * _valley(p), draws=1),
    Problem("yes or no (3-D)", _CUBE, _bean, draws=1),
    Problem(f"share of {DRAWS} draws (2-D)", _PLANE, _valley, draws=DRAWS),
    Problem("jump (2-D)", _PLANE, _jump),
    Problem("jump (3-D)", _CUBE, _jump_in_space),
    Problem("outliers of 1e4 (2-D)", _PLANE, _with_outliers),
    Problem("irrelevant axis (4-D)", [*_CUBE, Axis("w", 0, 1)], _irrelevant_axis),
    Problem("integer depth (3-D)", [*_PLANE, Axis("depth", 5, 60, log=True, integer=True)], _whole_depth),
    Problem("saddle (2-D)", _PLANE, _saddle),
]
