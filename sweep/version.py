"""The version of this project, as installed."""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__"]

try:
    __version__ = version("trainability-sweep")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
