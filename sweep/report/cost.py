"""What a sweep cost, and what training every network would have cost."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sweep.errors import SpecError
from sweep.measuring.settings import probe_settings, sweep_images
from sweep.report.data import safe_text
from sweep.results.results import Results
from sweep.spec.experiment import Measuring
from sweep.text import duration

MOST_GROUPS = 50  # rows of a table whose length the sweep decides
_KINDS = {"direct": "direct", "cascade": "cascade", "train": "training"}


def cost_data(results: Results) -> dict[str, Any]:
    """Return seconds and operations by what was done, and points and seconds by host and device."""
    points = results.points
    finished = points["finished"]
    measured = {name: points[points[f"{name}_seconds"].notna()] for name in _KINDS}
    kinds = [_cost(_KINDS[name], len(rows), *_sums(rows, name)) for name, rows in measured.items() if len(rows)]
    hosts: list[list[Any]] = []
    for (host, device), rows in points.groupby(["hostname", "device"]):
        seconds = sum(_sums(rows, name)[0] for name in _KINDS)
        hosts.append([safe_text(host), safe_text(device), len(rows), _shown_seconds(seconds), _rate(rows["finished"])])
    return {
        "kinds": kinds + _training_all(results),
        "hosts": sorted(hosts, key=lambda h: -h[2])[:MOST_GROUPS],
        "all_hosts": len(hosts),
        "rate": _rate(finished),
        "elapsed": _shown_seconds(finished.max() - finished.min()) if len(points) else None,
    }


def _sums(rows: pd.DataFrame, name: str) -> tuple[float, float]:
    """Return seconds and operations of a probe or of training."""
    return float(rows[f"{name}_seconds"].sum()), float(rows[f"{name}_flops"].sum())


def _cost(name: str, count: int, seconds: float, flops: float) -> list[Any]:
    """Return a row of the table of costs: what, points, seconds of each, seconds of all, operations."""
    return [name, count, _shown_seconds(seconds / count), _shown_seconds(seconds), float(f"{flops:.3g}") or None]


def _shown_seconds(seconds: float) -> str | None:
    """Return how long something took as it is shown."""
    if not math.isfinite(seconds):
        return None
    return f"{seconds:.2g} s" if seconds < 10 else duration(seconds)


def _rate(finished: pd.Series) -> float | None:
    """Return points a second, from the first to the last."""
    took = float(finished.max() - finished.min())
    return float(f"{(len(finished) - 1) / took:.3g}") if took > 0 else None


def _training_all(results: Results) -> list[list[Any]]:
    """Return the row of what training all points costs, unless all were trained or it cannot be told."""
    spec, points = results.spec, results.points
    trained = points["train_seconds"].notna()
    if len(points) == 0 or trained.all():
        return []
    if trained.any():
        how, cost = "extrapolated from those", _extrapolated(points, points[trained])
    else:
        how, cost = "estimated at the probes' operations a second", _estimated(spec, points)
    return [_cost(f"training of all, {how}", len(points), *cost)] if cost else []


def _extrapolated(points: pd.DataFrame, trained: pd.DataFrame) -> tuple[float, float] | None:
    """Return seconds and operations from those of some points: a training takes as long as it has layers."""
    share = points["depth"].sum() / trained["depth"].sum()
    seconds, flops = _sums(trained, "train")
    return share * seconds, share * flops


def _estimated(spec: Measuring, points: pd.DataFrame) -> tuple[float, float] | None:
    """Return seconds and operations by the cost of an epoch; None where the images are not on this machine."""
    from probes.cost import cost

    if Path(spec.dataset).suffix:
        return None
    settings = probe_settings(spec)
    try:
        images = sweep_images(replace(spec, download=False))
    except SpecError:
        return None
    depth, count = np.unique(points["depth"].to_numpy(), return_counts=True)
    epochs = settings.training.rounds(images) * len(spec.lr)
    flops = float(sum(n * epochs * cost(settings, images, int(d)).epoch for d, n in zip(depth, count, strict=True)))
    done = [_sums(points, name) for name in ("direct", "cascade")]
    speed = sum(f for _, f in done) / max(sum(s for s, _ in done), 1e-9)
    return flops / speed if speed else math.nan, flops
