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
from sweep.text import duration

__all__ = ["MOST_GROUPS", "cost_data"]

MOST_GROUPS = 50


def cost_data(results: Results) -> dict[str, Any]:
    """Seconds and operations by what was done; points and seconds by device and host."""
    points = results.points
    kinds = []
    for name in ("direct", "cascade", "train"):
        rows = points[points[f"{name}_seconds"].notna()]
        if len(rows):
            kinds.append(_cost_row({"train": "training"}.get(name, name), len(rows), *_sums(rows, name)))
    kinds += _training_all(results)
    hosts: list[list[Any]] = []
    for (host, device), rows in points.groupby(["hostname", "device"]):
        seconds = sum(_sums(rows, name)[0] for name in ("direct", "cascade", "train"))
        hosts.append([safe_text(host), safe_text(device), len(rows), _shown_seconds(seconds), _rate(rows["finished"])])
    return {
        "kinds": kinds,
        "hosts": sorted(hosts, key=lambda h: -h[2])[:MOST_GROUPS],
        "all_hosts": len(hosts),
        "rate": _rate(points["finished"]),
        "elapsed": _shown_seconds(points["finished"].max() - points["finished"].min()) if len(points) else None,
    }


def _sums(rows: pd.DataFrame, name: str) -> tuple[float, float]:
    """Seconds and operations."""
    return float(rows[f"{name}_seconds"].sum()), float(rows[f"{name}_flops"].sum())


def _cost_row(name: str, count: int, seconds: float, flops: float) -> list[Any]:
    return [name, count, _shown_seconds(seconds / count), _shown_seconds(seconds), float(f"{flops:.3g}") or None]


def _shown_seconds(seconds: float) -> str | None:
    if not math.isfinite(seconds):
        return None
    return f"{seconds:.2g} s" if seconds < 10 else duration(seconds)


def _rate(finished: pd.Series) -> float | None:
    """Points a second, from the first to the last."""
    took = float(finished.max() - finished.min())
    return float(f"{(len(finished) - 1) / took:.3g}") if took > 0 else None


def _training_all(results: Results) -> list[list[Any]]:
    """What training all points costs: by the trainings that there were, else by the operations of one."""
    spec, points = results.spec, results.points
    trained = points[points["train_seconds"].notna()]
    depths = points["depth"].sum()
    if len(trained) and len(trained) < len(points):  # a training takes as long as it has layers
        share = depths / trained["depth"].sum()
        seconds, flops = (share * v for v in _sums(trained, "train"))
        return [_cost_row("training of all, extrapolated from those", len(points), seconds, flops)]
    if len(trained) or not len(points) or Path(spec.dataset).suffix:
        return []
    from probes.cost import cost

    settings = probe_settings(spec)
    try:
        images = sweep_images(replace(spec, download=False))
    except SpecError:  # not on this machine
        return []
    depth, count = np.unique(points["depth"].to_numpy(), return_counts=True)
    epochs = settings.training.rounds(images) * len(spec.lr)
    flops = float(sum(n * epochs * cost(settings, images, int(d)).epoch for d, n in zip(depth, count, strict=True)))
    both = [_sums(points, name) for name in ("direct", "cascade")]
    speed = sum(f for _, f in both) / max(sum(s for s, _ in both), 1e-9)
    seconds = flops / speed if speed else math.nan
    return [_cost_row("training of all, estimated at the probes' operations a second", len(points), seconds, flops)]
