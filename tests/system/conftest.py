import pytest

from tests.helpers.nodes import clusters


@pytest.fixture
def nodes():
    """Makes clusters."""
    with clusters() as make:
        yield make
