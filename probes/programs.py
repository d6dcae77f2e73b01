"""Functions in Python files of the user, named ``FILE.py:FUNCTION``."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

_PROGRAM = re.compile(r"(.+\.py):(\w+)", re.DOTALL)


class ProgramError(ValueError):
    """A file does not exist or fails, or does not have the function. The message is one line and says why."""


def is_program(name: str) -> bool:
    """Return whether a name has the form ``FILE.py:FUNCTION``."""
    return _PROGRAM.fullmatch(name) is not None


@contextmanager
def function_of(name: str) -> Iterator[Callable[..., Any]]:
    """Run the Python file of ``FILE.py:FUNCTION`` and give its function; both may import modules beside the file.

    Such modules are forgotten at the end: another file may have others of the same names beside it.

    Raises
    ------
    ProgramError
        There is no such file or function, or the file raises an exception.
    """
    match = _PROGRAM.fullmatch(name)
    if match is None:
        raise ProgramError(f"{name!r} must have the form FILE.py:FUNCTION")
    path = Path(match[1]).absolute()
    if not path.is_file():
        raise ProgramError(f"{name!r}: there is no file {match[1]!r}")
    known = {*sys.modules}
    sys.path.insert(0, str(path.parent))
    try:
        yield _loaded(name, path, match[2])
    finally:
        sys.path.remove(str(path.parent))
        beside = {m for m in sys.modules if m not in known and _is_beside(path, sys.modules[m])}
        for module in [m for m in sys.modules if m.partition(".")[0] in beside]:
            del sys.modules[module]


def _is_beside(path: Path, module: ModuleType) -> bool:
    """Return whether a module is a file or a package in the folder of another file."""
    own = Path(getattr(module, "__file__", None) or "")
    return own in (path.with_name(f"{module.__name__}.py"), path.with_name(module.__name__) / "__init__.py")


def _loaded(name: str, path: Path, function: str) -> Callable[..., Any]:
    spec = spec_from_file_location(f"_program_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        found = getattr(module, function)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise ProgramError(failure(name, error)) from error
    if not callable(found):
        raise ProgramError(f"{name!r} must be a function, got {type(found).__name__}")
    return found


def failure(name: str, error: BaseException) -> str:
    """Return what is wrong with a program that raised an exception, on one line."""
    return f"{name!r} failed: {type(error).__name__}: {' '.join(str(error).split())}"[:400]
