"""What tests of the probes share."""

import pytest

from probes import load_images


@pytest.fixture(scope="session")
def mnist(shared):
    """Return MNIST, which takes more than a second to read."""
    return load_images("mnist", data_dir=shared / "data")
