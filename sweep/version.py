"""The versions of this project and of other packages, as installed."""

from importlib.metadata import PackageNotFoundError, version


def installed_versions(*packages: str) -> dict[str, str]:
    """Return the versions of those of these packages that are installed."""
    versions = {}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


# A source tree that was never installed has none.
__version__ = installed_versions("trainability-sweep").get("trainability-sweep", "0+unknown")
