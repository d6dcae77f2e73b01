"""Distributed sweeps that map where random deep networks can be trained.

``sweep.run(sweep.SweepSpec(...), DIR)`` runs a sweep, and ``sweep.load(DIR)`` loads its results as DataFrames.
Modules are imported when they are first used.
"""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.version import __version__

if TYPE_CHECKING:
    from sweep import plots
    from sweep.advice.recommend import advise
    from sweep.errors import SpecError, StoreError
    from sweep.execution.runner import resume, run
    from sweep.levelset.domain import Axis
    from sweep.levelset.level_set import LevelSet
    from sweep.levelset.sampler import BoundarySampler
    from sweep.measuring.rehearsal import Rehearsal
    from sweep.results.export import read_table, write_table
    from sweep.results.joined import Joined
    from sweep.results.loading import load
    from sweep.results.results import Results
    from sweep.spec.columns import COLUMNS, DTYPES, UNITS
    from sweep.spec.spec import SweepSpec

__all__ = [
    "COLUMNS",
    "DTYPES",
    "UNITS",
    "Axis",
    "BoundarySampler",
    "Joined",
    "LevelSet",
    "Rehearsal",
    "Results",
    "SpecError",
    "StoreError",
    "SweepSpec",
    "__version__",
    "advise",
    "load",
    "plots",
    "read_table",
    "resume",
    "run",
    "write_table",
]

_MODULES = {
    "COLUMNS": "spec.columns",
    "DTYPES": "spec.columns",
    "UNITS": "spec.columns",
    "Axis": "levelset.domain",
    "BoundarySampler": "levelset.sampler",
    "Joined": "results.joined",
    "LevelSet": "levelset.level_set",
    "Rehearsal": "measuring.rehearsal",
    "Results": "results.results",
    "SpecError": "errors",
    "StoreError": "errors",
    "SweepSpec": "spec.spec",
    "advise": "advice.recommend",
    "load": "results.loading",
    "read_table": "results.export",
    "resume": "execution.runner",
    "run": "execution.runner",
    "write_table": "results.export",
}


def _check_probes() -> None:
    """Refuse to be imported where the name ``probes`` stands for another module than this project's.

    Raises
    ------
    ImportError
        The program has loaded another one, or would load another one.
    """
    ours = Path(__file__).resolve().parents[1] / "probes" / "__init__.py"
    try:
        origin = getattr(find_spec("probes"), "origin", None)
    except ValueError:  # loaded, but without a record of where from
        origin = None
    if origin is None or Path(origin).resolve() != ours:
        raise ImportError(
            f"`sweep` needs its own package `probes` ({ours.parent}), but `import probes` gives "
            f"{origin or 'something else'} here: rename that one"
        )


_check_probes()


def __getattr__(name: str) -> Any:
    if name == "plots":
        return import_module("sweep.plots")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"sweep.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
