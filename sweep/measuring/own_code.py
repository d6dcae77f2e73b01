"""The code of a function of the user: the modules that it is made of, and a hash of them.

A function in a file is made of the module that it stands in and of all modules that this one imports, directly or not,
from the folder of the file or from deeper, wherever in their text they do it. Of a function without a file, as in a
notebook, it is the functions and classes of the notebook that it names, and the modules of the working directory.
Installed packages, and those of this project, are never part of it.
"""

import ast
import hashlib
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from probes.programs import NOT_OWN, is_beneath

_PLAIN = (bool, int, float, complex, str, bytes, type(None))


def own_modules(function: Callable[..., Any]) -> dict[str, ModuleType]:
    """Return the loaded modules that a function of the user is made of, by name."""
    module = _module_of(function)
    file = getattr(module, "__file__", None)
    if file is None:
        folder = Path.cwd()
        waiting = [value.__name__ for value in _named(function).values() if isinstance(value, ModuleType)]
    else:
        top = sys.modules.get(module.__name__.partition(".")[0], module)
        folder = Path(getattr(top, "__file__", None) or file).absolute().parent
        waiting = [module.__name__]
    found: dict[str, ModuleType] = {}
    while waiting:
        name = waiting.pop()
        each = module if name == module.__name__ else sys.modules.get(name)
        if (
            name in found
            or each is None
            or name.partition(".")[0] in NOT_OWN
            or not (each is module or is_beneath(each, folder))
        ):
            continue
        found[name] = each
        waiting += _imported(each)
    return found


def code_of(function: Callable[..., Any]) -> str:
    """Return a hash of a function: of its name, of plain values that it was made with, and of the code of the user.

    Raises
    ------
    OSError
        A file of the code cannot be read.
    """
    files = [Path(m.__file__) for m in own_modules(function).values() if m.__file__]
    texts = sorted(file.read_bytes() for file in files)
    if getattr(_module_of(function), "__file__", None) is None:
        named = _named(function)
        texts += sorted(f"{n} {_source(v)}".encode() for n, v in named.items() if not isinstance(v, ModuleType))
    made_with = [_source(value) for value in _made_with(function)]
    digest = hashlib.blake2b(repr([getattr(function, "__qualname__", ""), made_with]).encode(), digest_size=16)
    for text in texts:
        digest.update(hashlib.blake2b(text).digest())
    return digest.hexdigest()


class Sent:
    """A function of the user on its way to another process, with the sources of the modules that it may import there.

    What the function refers to when it is sent travels by value; what it imports when it is called does not exist in
    the other process.

    Parameters
    ----------
    function:
        The function.

    Raises
    ------
    OSError
        A source cannot be read.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.__module__ = _module_of(function).__name__
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        self.__signature__ = inspect.signature(function)
        modules = own_modules(function)
        self._sources = {n: (Path(str(m.__file__)).read_text(), hasattr(m, "__path__")) for n, m in modules.items()}

    def __call__(self, **arguments: Any) -> Any:
        """Call the function."""
        return self._function(**arguments)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Arrive in another process: let the modules be imported there, where nothing else has their names."""
        self.__dict__.update(state)
        sys.meta_path.append(_SourceFinder(self._sources))


class _SourceFinder(MetaPathFinder, InspectLoader):
    """A finder and loader of modules whose sources are at hand."""

    def __init__(self, sources: dict[str, tuple[str, bool]]) -> None:
        self._sources = sources

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """Return the spec of a module whose source is at hand."""
        return spec_from_loader(fullname, self) if fullname in self._sources else None

    def get_source(self, fullname: str) -> str:
        """Return the source of a module."""
        return self._sources[fullname][0]

    def is_package(self, fullname: str) -> bool:
        """Return whether a module is a package."""
        return self._sources[fullname][1]


def _module_of(function: Callable[..., Any]) -> Any:
    """Return the module that a function, or the class of an object that is called like one, stands in."""
    while isinstance(function, partial):
        function = function.func
    name = getattr(function, "__module__", None) or type(function).__module__
    return sys.modules.get(name) or ModuleType(name)


def _imported(module: ModuleType) -> Iterator[str]:
    """Yield the names of the modules that the file of a module imports, and names that may be modules."""
    with suppress(OSError, SyntaxError, ValueError):  # compiled code has no text
        for node in ast.walk(ast.parse(Path(str(module.__file__)).read_bytes())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                package = (module.__package__ or "").split(".")
                above = package[: len(package) + 1 - node.level] if node.level else []
                base = ".".join([*filter(None, above), *filter(None, [node.module])])
                names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
            for name in names:
                parts = name.split(".")
                yield from (".".join(parts[:n]) for n in range(1, len(parts) + 1))


def _named(function: Any) -> dict[str, Any]:
    """Return the functions, classes, modules and plain values that a function names, and those that these name."""
    found: dict[str, Any] = {}
    waiting = [("", function)]
    while waiting:
        name, value = waiting.pop()
        if name in found:
            continue
        found[name] = value
        for code, namespace in _codes(value):
            names = {n for part in _parts(code) for n in part.co_names}
            waiting += [(n, namespace[n]) for n in sorted(names & {*namespace}) if _is_own(namespace[n], namespace)]
    return found


def _is_own_file(name: str, module: ModuleType, folder: Path) -> bool:
    return name.partition(".")[0] not in NOT_OWN and is_beneath(module, folder)


def _is_own(value: Any, namespace: dict[str, Any]) -> bool:
    if isinstance(value, (ModuleType, list, tuple, dict, *_PLAIN)):
        return True
    return getattr(value, "__module__", None) == namespace.get("__name__")


def _codes(value: Any) -> Iterator[tuple[CodeType, dict[str, Any]]]:
    """Yield the code of a function, or of the methods of a class, with the names that it can use."""
    value = value.func if isinstance(value, partial) else value
    if not isinstance(value, type) and not hasattr(value, "__code__"):
        value = type(value)
    for each in vars(value).values() if isinstance(value, type) else [value]:
        each = inspect.unwrap(getattr(each, "__func__", each)) if callable(each) or hasattr(each, "__func__") else each
        if isinstance(code := getattr(each, "__code__", None), CodeType):
            yield code, each.__globals__


def _parts(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of a function and of those that are defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _parts(constant)


def _source(value: Any) -> str:
    """Return the text of a function or class, a plain value as it is written, and the kind of anything else."""
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, list | tuple | dict):
        return repr([_source(v) for v in (value.items() if isinstance(value, dict) else value)])
    with suppress(OSError, TypeError):
        return inspect.getsource(value)
    return type(value).__qualname__


def _made_with(function: Any) -> list[Any]:
    """Return what a function was made with: arguments that are given beforehand, defaults, and values around it."""
    values: list[Any] = []
    while isinstance(function, partial):
        values += [*function.args, *sorted(function.keywords.items())]
        function = function.func
    if not hasattr(function, "__code__"):
        return [*values, *sorted(getattr(function, "__dict__", {}).items())]
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # it is not filled yet
            values.append(cell.cell_contents)
    return [*values, *(function.__defaults__ or ()), *sorted((function.__kwdefaults__ or {}).items())]
