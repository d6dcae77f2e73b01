"""Mean field theory along a range of sigma_b, for the command line."""

import numpy as np

from probes.meanfield import critical_sigma_w, mean_field

from .frame import finite
from .spec import SpecError

__all__ = ["rows", "text"]

_STEPS = 20


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


def text(rows: list[dict[str, float | None]]) -> str:
    """A table with a header; infinite values as ``inf``."""
    names = list(rows[0])
    lines = ["  ".join(f"{n:>16}" for n in names)]
    lines += ["  ".join(f"{'inf' if v is None else format(v, '.6g'):>16}" for v in r.values()) for r in rows]
    return "\n".join(lines)
