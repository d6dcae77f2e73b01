"""A finished sweep whose points are to be logged."""

import numpy as np
import pytest

from probes import Measurement, Point
from sweep.spec.rows import row
from sweep.spec.spec import SweepSpec
from sweep.storage.store import Store
from sweep.storage.sweep_files import SPEC_FILE
from tests.helpers.landscape import made_up

__all__ = ["SPEC", "finished", "measured", "nobody_elses_servers"]

SPEC = SweepSpec(points=4, train="all", lr=(0.01, 0.1), search="sobol")


@pytest.fixture(autouse=True)
def nobody_elses_servers(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "WANDB_API_KEY", "WANDB_PROJECT", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")


def measured(i, status="ok"):
    """Return the row of a point that was trained for three epochs with each of two learning rates."""
    m = made_up(Point(1.0 + i / 10, 0.25, 10 + i % 40, i), status=status)
    if status == "ok":
        curves = {
            "lr": np.repeat([0.01, 0.1], 3),
            "epoch": np.tile([1, 2, 3], 2),
            "accuracy": np.arange(6) / 10 + i / 100,
            "loss": 1 - np.arange(6) / 10,
        }
        m = Measurement(
            m.point, "ok", "", {**m.values, "accuracy": 0.5, "chance": 0.1, "xi_c": np.inf}, m.profiles, curves
        )
    return row(m, pack=1, device="cpu", hostname="here", finished=1e9 + i)


@pytest.fixture
def finished(tmp_path):
    """Make a finished sweep with three points that were trained and one that failed; return its path."""
    path = tmp_path / "first"
    path.mkdir()
    SPEC.save(path / SPEC_FILE)
    store = Store(path, SPEC.digest)
    store.create()
    store.write([*map(measured, range(3)), measured(3, "failed")])
    return path
