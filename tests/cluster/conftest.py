import pytest

from .nodes import clusters


@pytest.fixture
def nodes():
    """Makes clusters."""
    with clusters() as make:
        yield make
