from pathlib import Path

import matplotlib
import pytest
import torch

matplotlib.use("Agg")
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
