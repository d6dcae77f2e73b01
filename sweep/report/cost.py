"""The cost of a sweep, and an estimate of the cost of training all of its networks."""

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
from sweep.spec.experiment import Experiment
from sweep.text import duration

MAX_TABLE_ROWS = 50  # of a table whose length depends on the sweep
_LABELS = {"direct": "direct", "cascade": "cascade", "gradient": "gradients", "train": "training"}


def cost_data(results: Results) -> dict[str, Any]:
    """Return the cost of probes and training in seconds and operations, and points and seconds by host and device."""
    points = results.points
    finished = points["finished"]
    measured = {name: points[points[f"{name}_seconds"].notna()] for name in _LABELS}
    kinds = [_cost(_LABELS[name], len(rows), *_sums(rows, name)) for name, rows in measured.items() if len(rows)]
    hosts: list[list[Any]] = []
    for (host, device), rows in points.groupby(["hostname", "device"]):
        seconds = sum(_sums(rows, name)[0] for name in _LABELS)
        hosts.append([safe_text(host), safe_text(device), len(rows), _shown_seconds(seconds), _rate(rows["finished"])])
    return {
        "kinds": kinds + _training_all(results),
        "hosts": sorted(hosts, key=lambda h: -h[2])[:MAX_TABLE_ROWS],
        "all_hosts": len(hosts),
        "rate": _rate(finished),
        "elapsed": _shown_seconds(finished.max() - finished.min()) if len(points) else None,
    }


def _sums(rows: pd.DataFrame, name: str) -> tuple[float, float]:
    """Return the seconds and operations of a probe (or of training, "train"), summed over rows."""
    return float(rows[f"{name}_seconds"].sum()), float(rows[f"{name}_flops"].sum())


def _cost(name: str, count: int, seconds: float, flops: float) -> list[Any]:
    """Return a row of the table of costs: name, points, time per point, time of all, operations."""
    return [name, count, _shown_seconds(seconds / count), _shown_seconds(seconds), float(f"{flops:.3g}") or None]


def _shown_seconds(seconds: float) -> str | None:
    """Return a time as the report shows it; None if it is not finite."""
    if not math.isfinite(seconds):
        return None
    return f"{seconds:.2g} s" if seconds < 10 else duration(seconds)


def _rate(finished: pd.Series) -> float | None:
    """Return the points per second from the first to the last, given when they finished; None for a single moment."""
    seconds = float(finished.max() - finished.min())
    return float(f"{(len(finished) - 1) / seconds:.3g}") if seconds > 0 else None


def _training_all(results: Results) -> list[list[Any]]:
    """Return the row with the cost of training all points; no row if all were trained or the cost is unknown."""
    spec, points = results.spec, results.points
    trained = points["train_seconds"].notna()
    if len(points) == 0 or trained.all():
        return []
    if trained.any():
        method, cost = "extrapolated from the trained ones", _extrapolated(points, points[trained])
    else:
        method, cost = "estimated from the probes' operations per second", _estimated(spec, points)
    return [_cost(f"training of all, {method}", len(points), *cost)] if cost else []


def _extrapolated(points: pd.DataFrame, trained: pd.DataFrame) -> tuple[float, float] | None:
    """Extrapolate the seconds and operations of training from some points to all, in proportion to depth."""
    share = points["depth"].sum() / trained["depth"].sum()
    seconds, flops = _sums(trained, "train")
    return share * seconds, share * flops


def _estimated(spec: Experiment, points: pd.DataFrame) -> tuple[float, float] | None:
    """Estimate the seconds and operations of training all points from the operations of an epoch.

    Training is assumed to do as many operations per second as the probes. None is returned if the images are not on
    this machine.
    """
    from probes.cost import cost

    if Path(spec.dataset).suffix or spec.network is not None:
        return None
    settings = probe_settings(spec).at(spec.middle_extra)
    try:
        images = sweep_images(replace(spec, download=False))
    except SpecError:
        return None
    depths, counts = np.unique(points["depth"].to_numpy(), return_counts=True)
    epochs = settings.training.max_epochs(images) * len(spec.lr)
    flops = float(sum(n * epochs * cost(settings, images, int(d)).epoch for d, n in zip(depths, counts, strict=True)))
    probes = [_sums(points, name) for name in ("direct", "cascade", "gradient")]
    speed = sum(f for _, f in probes) / max(sum(s for s, _ in probes), 1e-9)
    return flops / speed if speed else math.nan, flops
