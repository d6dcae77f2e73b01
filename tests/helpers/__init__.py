"""What tests of several tiers share."""

from pathlib import Path

import pytest

__all__ = ["DOCUMENTS", "ROOT"]

ROOT = Path(__file__).parents[2]  # of the repository
pytest.register_assert_rewrite("tests.helpers.store_contract")
# The README, and those beside the code that they explain.
DOCUMENTS = (
    "README.md",
    *sorted(str(p.relative_to(ROOT)) for f in ("probes", "sweep", "cluster") for p in (ROOT / f).rglob("README.md")),
)
