"""Where more is to be known: places near the boundary, or where the ridge may run, and candidates to be observed there.

Levels are in the units of the posterior here, places in the unit cube.
"""

import math
from dataclasses import dataclass

import numpy as np

from sweep.levelset.domain import Domain
from sweep.levelset.gaussian_process import Posterior

_PLACES = 512  # of the survey and between them
_CANDIDATES = 256
_UNIFORM = 64  # of the candidates anywhere
_NEWTON_STEPS = 2  # of candidates towards the boundary
_RIDGES, _RIDGE_STEPS, _RIDGE_DRAWS = 24, 48, 64


@dataclass(frozen=True)
class Targets:
    """Places ``x [places, axes]`` to be known better, their levels and weights ``[places]``; a ridge has no levels."""

    x: np.ndarray
    level: np.ndarray | None
    weight: np.ndarray


def boundary_targets(posterior: Posterior, domain: Domain, levels: np.ndarray, rng: np.random.Generator) -> Targets:
    """Draw places near the boundaries, weighted by one over their density."""
    mean, deviation = posterior.mean_and_deviation(domain.survey, domain.features_at(domain.survey))
    slope = math.sqrt(posterior.kernel.signal) * np.minimum(1.0, domain.spacing / posterior.kernel.length).max()
    z = (mean[:, None] - levels) / (deviation + slope)[:, None]
    density = (np.exp(-0.5 * z * z) + 1e-3).ravel()
    ends = np.cumsum(density)
    drawn = np.searchsorted(ends, (np.arange(_PLACES) + rng.random(_PLACES)) / _PLACES * ends[-1])
    drawn = np.minimum(drawn, len(density) - 1)
    at, level = drawn // len(levels), drawn % len(levels)
    x = np.abs(domain.survey[at] + domain.spacing * (rng.random((_PLACES, len(domain.axes))) - 0.5))
    return Targets(1 - np.abs(1 - x), levels[level], 1 / density[drawn])


def ridge_targets(posterior: Posterior, domain: Domain, along: int, rng: np.random.Generator) -> Targets:
    """Return where the ridge along an axis may run in a few sections, weighted by how likely it does."""
    steps = np.linspace(0, 1, _RIDGE_STEPS)
    places, weight = [], []
    for other in rng.random((_RIDGES, len(domain.axes) - 1)):
        section = np.insert(np.broadcast_to(other, (_RIDGE_STEPS, len(other))), along, steps, axis=1)
        draws = posterior.sample(section, domain.features_at(section), _RIDGE_DRAWS, rng)
        share = np.bincount(draws.argmax(1), minlength=_RIDGE_STEPS) / _RIDGE_DRAWS
        places.append(section[share > 0])
        weight.append(share[share > 0])
    return Targets(np.vstack(places), None, np.concatenate(weight))


def candidates(posterior: Posterior, domain: Domain, targets: Targets, rng: np.random.Generator) -> np.ndarray:
    """Return up to 256 points that may be observed: among the targets, half of them on the boundary, and anywhere."""
    picks = rng.permutation(len(targets.x))[: _CANDIDATES - _UNIFORM]
    near = targets.x[picks]
    if targets.level is not None:
        near[::2] = _onto_boundary(posterior, domain, near[::2], targets.level[picks[::2]])
    return domain.from_unit(np.vstack([near, rng.random((_UNIFORM, len(domain.axes)))]))


def _onto_boundary(posterior: Posterior, domain: Domain, x: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Move places ``[n, axes]`` to where the mean is ``level [n]``, by Newton's method."""
    shifts = 1e-4 * np.eye(x.shape[1])
    for _ in range(_NEWTON_STEPS):
        beside = np.concatenate([x, *(x + s for s in shifts)])
        around = posterior.mean(beside, domain.features_at(beside)).reshape(len(shifts) + 1, -1)
        slope = ((around[1:] - around[0]) / 1e-4).T
        step = (level - around[0])[:, None] * slope
        step /= np.maximum((slope * slope).sum(1, keepdims=True), 1e-8)
        step *= np.minimum(1, domain.spacing / np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-12))
        x = np.clip(x + step, 0, 1)
    return x
