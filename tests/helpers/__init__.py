"""What tests of several tiers share."""

from pathlib import Path

import pytest

__all__ = ["ROOT"]

ROOT = Path(__file__).parents[2]  # of the repository
pytest.register_assert_rewrite("tests.helpers.store_contract")
