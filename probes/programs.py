"""Functions in Python files and modules of the user, named ``FILE.py:FUNCTION`` or ``MODULE:FUNCTION``."""

import re
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

_PROGRAM = re.compile(r"(.+\.py):(\w+)", re.DOTALL)
_IN_MODULE = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*):(\w+)")
NOT_OWN = ("probes", "sweep")  # packages that are not the user's own, wherever they lie
# Where modules lie that are not the user's own, either.
_INSTALLED = ("site-packages", "dist-packages")
_LIBRARIES = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")]


class ProgramError(ValueError):
    """A file does not exist or fails, or does not have the function. The message is one line and says why."""


def is_program(name: str) -> bool:
    """Return whether a name has the form ``FILE.py:FUNCTION``."""
    return _PROGRAM.fullmatch(name) is not None


@contextmanager
def function_of(name: str) -> Iterator[Callable[..., Any]]:
    """Run the Python file of ``FILE.py:FUNCTION`` and give its function; both may import modules beside the file.

    Such modules are forgotten at the end: another file may have others of the same names beside it. Of
    ``MODULE:FUNCTION``, the module is imported, from the working directory or wherever Python finds it.

    Raises
    ------
    ProgramError
        There is no such file, module or function, or the file raises an exception.
    """
    match = _PROGRAM.fullmatch(name) or _IN_MODULE.fullmatch(name)
    if match is None:
        raise ProgramError(f"{name!r} must have the form FILE.py:FUNCTION, or MODULE:FUNCTION")
    path = Path(match[1]).absolute() if is_program(name) else None
    if path is not None and not path.is_file():
        raise ProgramError(f"{name!r}: there is no file {match[1]!r}")
    folder = path.parent if path is not None else Path.cwd()
    known = {*sys.modules}
    sys.path.insert(0, str(folder))
    try:
        yield _loaded(name, lambda: _run(path) if path is not None else import_module(match[1]), match[2])
    finally:
        sys.path.remove(str(folder))
        for module in [n for n, m in sys.modules.items() if n not in known and is_beneath(m, folder)]:
            del sys.modules[module]


def is_beneath(module: ModuleType, folder: Path) -> bool:
    """Return whether a module is in a folder or deeper, and the user's own: installed packages are not."""
    file = getattr(module, "__file__", None)
    if file is None:
        return False
    path = Path(file).resolve()
    installed = any(path.is_relative_to(p) for p in _LIBRARIES) or bool({*_INSTALLED} & {*path.parts})
    return path.suffix == ".py" and path.is_relative_to(folder.resolve()) and not installed


def _run(path: Path) -> ModuleType:
    """Run a file as a module, which then is among the loaded ones, under a name that nothing else has."""
    spec = spec_from_file_location(f"_program_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _loaded(name: str, load: Callable[[], ModuleType], function: str) -> Callable[..., Any]:
    try:
        found = getattr(load(), function)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise ProgramError(failure(name, error)) from error
    if not callable(found):
        raise ProgramError(f"{name!r} must be a function, got {type(found).__name__}")
    return found


def failure(name: str, error: BaseException) -> str:
    """Return what is wrong with a program that raised an exception, on one line."""
    return f"{name!r} failed: {type(error).__name__}: {' '.join(str(error).split())}"[:400]
