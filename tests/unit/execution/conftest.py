"""Sweeps without Ray."""

from tests.helpers.fake_tune import without_ray  # noqa: F401
