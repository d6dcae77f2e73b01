"""How much would be learnt about the level sets by one more observation."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Targets", "expected_gain"]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(2)


@dataclass(frozen=True)
class Targets:
    """Places ``x [places, axes]`` in the unit cube to be known better, their levels and weights ``[places]``."""

    x: np.ndarray
    level: np.ndarray
    weight: np.ndarray
    ridge: bool = False


def expected_gain(explained: np.ndarray, z2: np.ndarray) -> np.ndarray:
    """The integral over t of the module's docstring, from rho^2 ``[candidates, places]`` and z^2 ``[places]``."""
    half = 0.5 * np.arcsin(explained.astype(np.float32))  # single precision: a ranking needs no more
    z2 = z2.astype(np.float32)
    found = np.zeros_like(half)
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        found += np.float32(weight) * np.exp(-z2 / (1 + np.sin(half * np.float32(1 + node))))
    return found * half
