"""Texts that `sweep probe` prints."""

import json
from typing import TYPE_CHECKING

import numpy as np

from sweep.spec.rows import point_values, row
from sweep.text import finite

if TYPE_CHECKING:
    from probes import Measurement

_BARS = "▁▂▃▄▅▆▇█"
_MAX_LINES = 16


def point_json(m: "Measurement") -> str:
    """Return the row of the ``points`` table as JSON, with the profiles under ``profiles``; infinity is null."""
    flat = {k: finite(v) if isinstance(v, float) else v for k, v in row(m).items() if not k.startswith("profile_")}
    return json.dumps({**flat, "profiles": {name: [finite(x) for x in v] for name, v in m.profiles.items()}})


def point_text(m: "Measurement") -> str:
    """Return the profiles as a small table and as sparklines, and the values."""
    place = point_values(m.point).items()
    values = (f"{name} = {value:g}" if isinstance(value, float) else f"{name} = {value}" for name, value in place)
    lines = [f"{', '.join(values)}: {m.status}"]
    if m.status == "failed":
        return f"{lines[0]}\n{m.error}"
    names = list(m.profiles)
    lines.append("".join([f"{'layer':>6}", *(f"{n:>27}" for n in names)]))
    for layer in _layers(m):
        lines.append("".join([f"{layer:>6}", *(f"{m.profiles[n][layer - 1]:>27.4f}" for n in names)]))
    lines.append("")
    lines += [f"{n:>25}  {_sparkline(m.profiles[n])}" for n in names]
    lines.append("")
    for name, value in m.values.items():
        if not name.endswith("_censored"):
            beyond = " or more" if m.values.get(f"{name}_censored") else ""
            shown = f"{value:.4g}" if isinstance(value, float) else str(value)
            lines.append(f"{name:>25}  {shown}{beyond}")
    verdict = "trainable" if m.values["margin"] >= 0 else "not trainable"
    lines.append(f"{'predicted':>25}  {verdict}")
    return "\n".join(lines)


def _layers(m: "Measurement") -> list[int]:
    """Return up to 16 layers to show, evenly spaced among those that every probe decoded."""
    decoded = np.flatnonzero(np.all([np.isfinite(v) for v in m.profiles.values()], axis=0)) + 1
    return sorted({int(decoded[round(i)]) for i in np.linspace(0, len(decoded) - 1, _MAX_LINES)})


def _sparkline(values: np.ndarray) -> str:
    """Return a bar for each layer; layers that were not decoded are interpolated."""
    layers, decoded = np.arange(len(values)), np.isfinite(values)
    values = np.interp(layers, layers[decoded], values[decoded])
    low, high = float(values.min()), float(values.max())
    scale = (len(_BARS) - 1) / (high - low or 1)
    return "".join(_BARS[round((v - low) * scale)] for v in values)
