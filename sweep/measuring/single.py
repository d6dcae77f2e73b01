"""One point, here and now, without Ray."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import click
import numpy as np

from sweep.measuring.settings import probe_settings, sweep_images
from sweep.spec.rows import row
from sweep.spec.spec import SweepSpec
from sweep.text import finite

if TYPE_CHECKING:
    from probes import Measurement
    from probes.pictures import Gallery

__all__ = ["as_json", "as_text", "probe"]

_BARS = "▁▂▃▄▅▆▇█"
_MOST_LINES = 16


def probe(spec: SweepSpec, *, pictures: bool = False) -> "tuple[Measurement, Gallery | None]":
    """Measure the only point of a spec whose axes are all fixed; with ``pictures``, also train it for its gallery.

    The gallery is None where no pictures are wanted, or where the point failed.

    Raises
    ------
    SpecError
        Bad input.
    """
    from probes import Point
    from probes.pictures import gallery
    from probes.prober import Prober
    from sweep.measuring.memory import check_memory

    images = sweep_images(spec)
    check_memory(spec, images)
    point = Point(spec.sigma_w[0], spec.sigma_b[0], spec.depth[0], spec.seed)
    settings = replace(probe_settings(spec), train="none" if pictures else spec.train)
    layers = point.depth if spec.probe != "direct" else 0
    with _bar("cascade", layers) as progress:
        prober = Prober(images, settings, progress=progress)
        (measurement,) = prober.measure([point])
    if not pictures or measurement.status == "failed":
        return measurement, None
    with _bar("training", settings.training.rounds(images)) as progress:
        seen = gallery(prober, point, progress)
    prober.record_training(measurement, seen.curve)
    return measurement, seen


@contextmanager
def _bar(label: str, steps: int) -> Iterator[Callable[[], None]]:
    """A progress bar on a terminal; gives what is to be called for each step that is done."""
    if not (steps and sys.stderr.isatty()):
        yield lambda: None
        return
    with click.progressbar(length=steps, label=label, file=sys.stderr) as bar:
        yield lambda: bar.update(1)


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
    """About 16 layers to show: of those that every probe decoded."""
    decoded = np.flatnonzero(np.all([np.isfinite(v) for v in m.profiles.values()], axis=0)) + 1
    return sorted({int(decoded[round(i)]) for i in np.linspace(0, len(decoded) - 1, _MOST_LINES)})


def _sparkline(values: np.ndarray) -> str:
    """A bar a layer; between layers that were decoded, a straight line."""
    layers, decoded = np.arange(len(values)), np.isfinite(values)
    values = np.interp(layers, layers[decoded], values[decoded])
    low, high = float(values.min()), float(values.max())
    scale = (len(_BARS) - 1) / (high - low or 1)
    return "".join(_BARS[round((v - low) * scale)] for v in values)
