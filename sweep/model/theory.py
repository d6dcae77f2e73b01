"""Mean field theory along a range of sigma_b, for the command line, and over a plane, for the search."""

from collections.abc import Callable
from typing import Any

import numpy as np

from probes.meanfield import critical_sigma_w, mean_field
from sweep.errors import SpecError
from sweep.spec.experiment import Experiment
from sweep.text import finite

_STEPS = 20
_GRID = 25  # values of each axis at which the depth scale is worked out; interpolated in between
_XI_MOST = 1000.0  # layers: it diverges on the critical line


def rows(sigma_b: tuple[float, float], sigma_w: float | None, activation: str) -> list[dict[str, float | None]]:
    """One row per sigma_b: the critical sigma_w; with ``sigma_w``, also the quantities at (sigma_w, sigma_b).

    Raises
    ------
    SpecError
        A reversed range.
    """
    low, high = sigma_b
    if low > high:
        raise SpecError(f"`sigma_b` must be LO HI with LO <= HI, got {low:g} {high:g}")
    out: list[dict[str, float | None]] = []
    for b in [low] if low == high else np.linspace(low, high, _STEPS):
        found: dict[str, float | None] = {
            "sigma_b": float(b),
            "critical_sigma_w": critical_sigma_w(float(b), activation),
        }
        if sigma_w is not None:
            theory = mean_field(sigma_w, float(b), activation)
            found["sigma_w"] = sigma_w
            found |= {name: finite(getattr(theory, name)) for name in ("q_star", "chi_1", "c_star", "xi_c")}
        out.append(found)
    return out


def depth_scale(spec: Experiment) -> Callable[[Any, Any], np.ndarray]:
    """``(sigma_w, sigma_b) -> xi_c`` in layers, at most 1000, within a sweep's ranges."""
    from scipy.interpolate import RegularGridInterpolator

    sides = [
        np.linspace(*ends, _GRID) if ends[0] < ends[1] else np.array([ends[0], ends[0] + 1.0])
        for ends in (spec.sigma_w, spec.sigma_b)
    ]
    # 1 / xi_c is smooth but for a kink on the critical line, where it is 0.
    rate = np.array([[1 / mean_field(float(w), float(b), spec.activation).xi_c for b in sides[1]] for w in sides[0]])
    interpolate = RegularGridInterpolator(sides, rate)

    def scale(sigma_w: Any, sigma_b: Any) -> np.ndarray:
        places = np.stack(np.broadcast_arrays(sigma_w, sigma_b), -1)
        return np.asarray(1 / np.maximum(interpolate(places), 1 / _XI_MOST))

    return scale
