"""Mean field theory over a range of sigma_b, for the command line, and over a sweep's ranges, for the search."""

from collections.abc import Callable
from typing import Any

import numpy as np

from probes.critical import critical_sigma_w
from probes.meanfield import mean_field
from sweep.errors import SpecError
from sweep.spec.experiment import Experiment
from sweep.text import finite

_ROW_COUNT = 20  # values of sigma_b in a range
_GRID_SIZE = 25  # values of each axis at which the depth scale is computed; it is interpolated in between
_MIN_XI, _MAX_XI = 1e-3, 1000.0  # layers; the depth scale diverges on the critical line, and is 0 where chi_1 is 0


def critical_line_rows(
    sigma_b: tuple[float, float], sigma_w: float | None, activation: str
) -> list[dict[str, float | None]]:
    """Return one row for each of up to 20 values of sigma_b, with the critical sigma_w; None where there is none.

    Parameters
    ----------
    sigma_b:
        Ends of the range of sigma_b, which may be equal.
    sigma_w:
        If it is given, each row also holds q*, chi_1, c* and xi_c (layers) at (sigma_w, sigma_b); None where infinite.
    activation:
        Name of the activation function.

    Raises
    ------
    SpecError
        The range of sigma_b is reversed.
    """
    low, high = sigma_b
    if low > high:
        raise SpecError(f"`sigma_b` must be LO HI with LO <= HI, got {low:g} {high:g}")
    out: list[dict[str, float | None]] = []
    for b in [low] if low == high else np.linspace(low, high, _ROW_COUNT):
        row: dict[str, float | None] = {
            "sigma_b": float(b),
            "critical_sigma_w": finite(critical_sigma_w(float(b), activation)),
        }
        if sigma_w is not None:
            theory = mean_field(sigma_w, float(b), activation)
            row["sigma_w"] = sigma_w
            row |= {name: finite(getattr(theory, name)) for name in ("q_star", "chi_1", "c_star", "xi_c")}
        out.append(row)
    return out


def depth_scale(spec: Experiment) -> Callable[[Any, Any], np.ndarray]:
    """Return a function of (sigma_w, sigma_b) that gives xi_c in layers, at most 1000, within a sweep's ranges."""
    from scipy.interpolate import RegularGridInterpolator

    sides = [
        np.linspace(*ends, _GRID_SIZE) if ends[0] < ends[1] else np.array([ends[0], ends[0] + 1.0])
        for ends in (spec.sigma_w, spec.sigma_b)
    ]
    # 1 / xi_c is smooth but for a kink on the critical line, where it is 0.
    xi = [[mean_field(float(w), float(b), spec.activation).xi_c for b in sides[1]] for w in sides[0]]
    rate = 1 / np.maximum(xi, _MIN_XI)
    interpolate = RegularGridInterpolator(sides, rate)

    def scale(sigma_w: Any, sigma_b: Any) -> np.ndarray:
        sigmas = np.stack(np.broadcast_arrays(sigma_w, sigma_b), -1)
        return np.asarray(1 / np.maximum(interpolate(sigmas), 1 / _MAX_XI))

    return scale
