"""Sweeps that reports are made of."""

import numpy as np

from probes import Point
from sweep.results.loading import load
from sweep.spec.rows import row
from sweep.spec.spec import SweepSpec
from tests.helpers.landscape import made_up, made_up_sweep, true_horizon

HOSTILE = "</script><img src=x onerror='window.hacked=1'>\"\n\\u003c${window.hacked=1}<b>bold</b>&lt;\u2028\x1b[31m"
SHALLOW = SweepSpec(points=12, depth=(2, 4), images=64, probe_steps=3)  # reconstructions take no time


def spec_of(fixed, **more):
    """Return the spec of a sweep with these axes fixed, of one point if all are."""
    return SweepSpec(**{"points": 1 if len(fixed) == 3 else 30, **fixed, **more})


def trained_sweep(path, **options):
    """Make a sweep that trained half of its networks, some of them on another host."""
    results = made_up_sweep(path, SweepSpec(points=1, train="boundary", **options), count=0)
    rng, rows = np.random.default_rng(0), []
    for i in range(60):
        point = Point(float(rng.uniform(0.5, 2.5)), float(rng.uniform(0.05, 1)), int(rng.integers(5, 61)), i)
        more = {"pack": 1, "device": "cpu", "hostname": f"host-{i % 2}", "finished": 1e9 + i}
        if i % 2:
            good = true_horizon(point.sigma_w, point.sigma_b) > point.depth * np.exp(rng.normal(0, 0.3))
            more |= {"accuracy": 0.9 if good else 0.1, "chance": 0.1, "train_seconds": 2.0 * point.depth}
            more |= {"train_epochs": 15, "train_images": 6400, "train_flops": 1e9, "lr": 0.01}
        rows.append(row(made_up(point), **more))
    results.store.write(rows)
    return load(results.path)
