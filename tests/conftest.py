"""What all tiers share. Imports neither ray nor optuna: `tests/unit/probes` and `tests/gpu` run without them."""

import os
from pathlib import Path

import pytest
import torch

from tests.helpers import ROOT
from tests.helpers.fake_tune import without_ray  # noqa: F401  # a fixture

try:
    from hypothesis import settings
except ImportError:  # a machine with a GPU and little else
    pass
else:
    # The same examples every time; HYPOTHESIS_PROFILE=explore looks for new ones.
    settings.register_profile("repeat", derandomize=True)
    settings.register_profile("explore", derandomize=False)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))

os.environ.setdefault("MPLBACKEND", "agg")
SHARED = ROOT.parent / "shared"


def pytest_collection_modifyitems(items):
    """Mark every test with its tier, the name of its folder."""
    for item in items:
        item.add_marker(Path(item.fspath).relative_to(ROOT / "tests").parts[0])


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Run torch on one thread, as a trial of one core does; results do not depend on it, timings do."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def reference():
    """Return the folder with small copies of independent mean field tables."""
    return ROOT / "tests" / "reference"


@pytest.fixture(scope="session")
def shared():
    """Return the folder with the reference data."""
    if not SHARED.is_dir():
        pytest.skip(f"the reference data folder {SHARED} is absent")
    return SHARED


@pytest.fixture(scope="session")
def digits():
    """Return scikit-learn's digits."""
    from probes import load_images

    return load_images("digits")


@pytest.fixture
def make_sweep(tmp_path):
    """Return a function that makes a sweep directory as a finished sweep leaves it, on the made-up landscape."""
    from tests.helpers.landscape import made_up_sweep

    def make(spec=None, folder="made-up", **options):
        return made_up_sweep(tmp_path / folder, spec, **options)

    return make


@pytest.fixture(scope="module")
def chromium():
    """Return a headless Chromium."""
    from tests.helpers.browser import browser

    opened = browser()
    if opened is None:
        pytest.skip("needs Chromium and its driver (Debian: chromium chromium-driver)")
    yield opened
    opened.quit()


@pytest.fixture
def nothing_of_the_users(monkeypatch, tmp_path):
    """Hide the user's settings of Ray, home and working directory."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_TMPDIR", "TMPDIR", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def pytest_make_parametrize_id(val):
    """Name bytes by their length alone: those of an archive may hold the time, and processes would see other tests."""
    return f"{len(val)} bytes" if isinstance(val, bytes) else None
