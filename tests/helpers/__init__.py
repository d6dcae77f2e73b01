"""What tests of several tiers share."""

from pathlib import Path

__all__ = ["ROOT"]

ROOT = Path(__file__).parents[2]  # of the repository
