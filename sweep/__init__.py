"""Distributed sweeps that map where random deep networks can be trained.

``sweep.load(DIR)`` gives the results of a sweep as DataFrames; ``sweep.run(SweepSpec(...), DIR)`` runs one.
Nothing heavy is imported before it is used.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

try:
    __version__ = version("trainability-sweep")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["BoundarySampler", "Results", "SweepSpec", "load", "resume", "run"]

if TYPE_CHECKING:
    from .frame import Results, load
    from .runner import resume, run
    from .sampler import BoundarySampler
    from .spec import SweepSpec

_HOME = {
    "BoundarySampler": "sampler",
    "Results": "frame",
    "SweepSpec": "spec",
    "load": "frame",
    "resume": "runner",
    "run": "runner",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
