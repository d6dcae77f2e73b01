"""The positions where the function should be known better, and the candidates for the next observations.

Targets lie near the boundary or where the ridge may run. Levels are in the standardised units of the posterior;
positions are in the unit cube.
"""

import math
from dataclasses import dataclass

import numpy as np

from sweep.levelset.domain import Domain
from sweep.levelset.gaussian_process import Posterior

_BOUNDARY_TARGETS = 512  # positions drawn near the boundary
_MAX_CANDIDATES = 256
_UNIFORM_CANDIDATES = 64  # candidates spread over the whole domain, whatever the model predicts
_NEWTON_STEPS = 2  # that move half of the candidates onto the boundary
# The ridge is searched for on lines along its axis, at so many positions and with so many drawn functions on each.
_RIDGE_SECTIONS, _RIDGE_STEPS, _RIDGE_DRAWS = 24, 48, 64


@dataclass(frozen=True)
class Targets:
    """Positions where the function should be known better.

    Attributes
    ----------
    x:
        ``[targets, axes]``: the positions.
    level:
        ``[targets]``: the level of the boundary near each position; None for a ridge.
    weight:
        ``[targets]``: how much each position counts.
    """

    x: np.ndarray
    level: np.ndarray | None
    weight: np.ndarray


def boundary_targets(posterior: Posterior, domain: Domain, levels: np.ndarray, rng: np.random.Generator) -> Targets:
    """Draw positions near the boundaries, weighted by one over the density that they are drawn from.

    The density is high where the mean is near a level, compared with its uncertainty and with how much the function
    varies between two positions of the survey.
    """
    mean, deviation = posterior.mean_and_deviation(domain.survey, domain.features_at(domain.survey))
    slope = math.sqrt(posterior.kernel.signal) * np.minimum(1.0, domain.spacing / posterior.kernel.length).max()
    z = (mean[:, None] - levels) / (deviation + slope)[:, None]
    density = (np.exp(-0.5 * z * z) + 1e-3).ravel()
    ends = np.cumsum(density)
    drawn = np.searchsorted(
        ends, (np.arange(_BOUNDARY_TARGETS) + rng.random(_BOUNDARY_TARGETS)) / _BOUNDARY_TARGETS * ends[-1]
    )
    drawn = np.minimum(drawn, len(density) - 1)
    origin, level = drawn // len(levels), drawn % len(levels)
    x = np.abs(domain.survey[origin] + domain.spacing * (rng.random((_BOUNDARY_TARGETS, len(domain.axes))) - 0.5))
    return Targets(1 - np.abs(1 - x), levels[level], 1 / density[drawn])


def ridge_targets(posterior: Posterior, domain: Domain, along: int, rng: np.random.Generator) -> Targets:
    """Return positions where the ridge may run, weighted by the probability that it does.

    Functions are drawn from the posterior on random lines parallel to axis number ``along``; on each line the ridge may
    run where a drawn function is largest.
    """
    steps = np.linspace(0, 1, _RIDGE_STEPS)
    positions, weight = [], []
    for other in rng.random((_RIDGE_SECTIONS, len(domain.axes) - 1)):
        section = np.insert(np.broadcast_to(other, (_RIDGE_STEPS, len(other))), along, steps, axis=1)
        draws = posterior.sample(section, domain.features_at(section), _RIDGE_DRAWS, rng)
        share = np.bincount(draws.argmax(1), minlength=_RIDGE_STEPS) / _RIDGE_DRAWS
        positions.append(section[share > 0])
        weight.append(share[share > 0])
    return Targets(np.vstack(positions), None, np.concatenate(weight))


def candidates(posterior: Posterior, domain: Domain, targets: Targets, rng: np.random.Generator) -> np.ndarray:
    """Return up to 256 points ``[n, axes]`` that may be observed next.

    Up to 192 are targets, of which every other one is moved onto the boundary if there are levels; 64 lie anywhere in
    the domain.
    """
    picks = rng.permutation(len(targets.x))[: _MAX_CANDIDATES - _UNIFORM_CANDIDATES]
    near = targets.x[picks]
    if targets.level is not None:
        near[::2] = _onto_boundary(posterior, domain, near[::2], targets.level[picks[::2]])
    return domain.from_unit(np.vstack([near, rng.random((_UNIFORM_CANDIDATES, len(domain.axes)))]))


def _onto_boundary(posterior: Posterior, domain: Domain, x: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Return positions ``[n, axes]`` moved to where the mean equals ``level [n]``, by steps of Newton's method."""
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
