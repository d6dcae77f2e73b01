"""One point, here and now, without Ray."""

import json
from typing import TYPE_CHECKING

from .frame import finite, row
from .settings import probe_settings, sweep_images
from .spec import SweepSpec

if TYPE_CHECKING:
    from probes import Measurement

__all__ = ["as_json", "as_text", "probe"]

_BARS = "▁▂▃▄▅▆▇█"
_MOST_LINES = 16


def probe(spec: SweepSpec) -> "Measurement":
    """Measure the only point of a spec whose axes are all fixed."""
    from probes import Point
    from probes.measure import measure

    from .resources import check_memory

    images = sweep_images(spec)
    check_memory(spec, images)
    point = Point(spec.sigma_w[0], spec.sigma_b[0], spec.depth[0], spec.seed)
    return measure([point], images, probe_settings(spec))[0]


def as_json(m: "Measurement") -> str:
    """The row of the ``points`` table, with the profiles under ``profiles``; infinity as null."""
    flat = {k: finite(v) if isinstance(v, float) else v for k, v in row(m).items() if not k.startswith("profile_")}
    return json.dumps({**flat, "profiles": {name: [finite(x) for x in v] for name, v in m.profiles.items()}})


def as_text(m: "Measurement") -> str:
    """The profile as a small table and sparklines, then the statistics."""
    p = m.point
    lines = [f"sigma_w = {p.sigma_w:g}, sigma_b = {p.sigma_b:g}, depth = {p.depth}, seed = {p.seed}: {m.status}"]
    if m.status == "failed":
        return f"{lines[0]}\n{m.error}"
    names = list(m.profiles)
    lines.append("".join([f"{'layer':>6}", *(f"{n:>27}" for n in names)]))
    step = max(1, -(-p.depth // _MOST_LINES))
    for layer in sorted({1, *range(step, p.depth + 1, step), p.depth}):
        lines.append("".join([f"{layer:>6}", *(f"{m.profiles[n][layer - 1]:>27.4f}" for n in names)]))
    lines.append("")
    lines += [f"{n:>25}  {_sparkline(list(m.profiles[n]))}" for n in names]
    lines.append("")
    for name, value in m.values.items():
        if not name.endswith("_censored"):
            beyond = " or more" if m.values.get(f"{name}_censored") else ""
            shown = f"{value:.4g}" if isinstance(value, float) else str(value)
            lines.append(f"{name:>25}  {shown}{beyond}")
    verdict = "trainable" if m.values["margin"] >= 0 else "not trainable"
    lines.append(f"{'predicted':>25}  {verdict}")
    return "\n".join(lines)


def _sparkline(values: list[float]) -> str:
    low, high = min(values), max(values)
    scale = (len(_BARS) - 1) / (high - low or 1)
    return "".join(_BARS[round((v - low) * scale)] for v in values)
