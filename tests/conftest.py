import os
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import settings

from probes import Point
from sweep.results.joined import load
from sweep.spec.rows import row
from sweep.spec.spec import SweepSpec
from sweep.storage.home import SPEC_FILE
from sweep.storage.store import Store

from .browser import browser
from .landscape import made_up

matplotlib.use("Agg")
# The same examples every time; HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile("repeat", derandomize=True)
settings.register_profile("explore", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))
SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """As a trial of one core runs; results do not depend on it, timings do."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def reference():
    """Small copies of independent mean field tables."""
    return Path(__file__).parent / "reference"


@pytest.fixture(scope="session")
def shared():
    if not SHARED.is_dir():
        pytest.skip(f"the reference data folder {SHARED} is absent")
    return SHARED


@pytest.fixture(scope="session")
def digits():
    from probes import load_images

    return load_images("digits")


@pytest.fixture
def make_sweep(tmp_path):
    """A sweep directory as a finished sweep leaves it, on the made-up landscape."""

    def make(spec=None, count=64, cap=np.inf, failed=0, folder="made-up"):
        spec = spec or SweepSpec(points=max(count, 1))
        path = tmp_path / folder
        path.mkdir()
        spec.save(path / SPEC_FILE)
        store = Store(path)
        store.create()
        rng = np.random.default_rng(0)
        for i in range(count):
            point = Point(
                float(rng.uniform(*spec.sigma_w)),
                float(rng.uniform(*spec.sigma_b)),
                int(rng.integers(spec.depth[0], spec.depth[1] + 1)),
                i,
            )
            m = made_up(point, cap, "failed" if i < failed else "ok")
            store.write([row(m, pack=1, device="cpu", hostname="here", finished=1e9 + i)])
        return load(path)

    return make


@pytest.fixture(scope="module")
def chromium():
    opened = browser()
    if opened is None:
        pytest.skip("needs Chromium and its driver (Debian: chromium chromium-driver)")
    yield opened
    opened.quit()
