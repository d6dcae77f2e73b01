"""Processes of our own, of the same Python and the same code, wherever they are started."""

import os
import sys
from pathlib import Path

__all__ = ["command", "environment"]


def command(module: str, *arguments: str) -> list[str]:
    """Runs a module; nothing in the working directory counts as code."""
    return [sys.executable, "-P", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """That of this process, in which this package is found."""
    found = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, found))}
