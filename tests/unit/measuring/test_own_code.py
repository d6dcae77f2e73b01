"""The code that a function of the user is made of, and its hash."""

import inspect
import sys
from functools import partial
from types import ModuleType

import pytest

from probes.programs import ProgramError, function_of
from sweep.measuring.own_code import Sent, code_of, own_modules

FILES = {
    "own.py": "import beside\nfrom package import deep\n\ndef make(depth):\n    import later\n    return later\n",
    "beside.py": "WIDTH = 3\n",
    "later.py": "from package.deep import nothing\n",
    "package/__init__.py": "",
    "package/deep.py": "from . import deeper\nnothing = None\n",
    "package/deeper.py": "import beside\n",
    "unrelated.py": "",
}


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def loaded(folder):
    """Return the names of the modules of the function, and the hash of its code."""
    with function_of(f"{folder}/own.py:make") as make:
        make(3)
        return {*own_modules(make)}, code_of(make)


def test_the_modules_are_those_that_the_file_imports_wherever_it_does_it(folder):
    names, code = loaded(folder)
    assert names == {"_program_own", "beside", "later", "package", "package.deep", "package.deeper"}
    assert len(code) == 32 and code == loaded(folder)[1]
    assert not names & {*sys.modules}


@pytest.mark.parametrize("name", [n for n in FILES if n != "unrelated.py"])
def test_every_file_of_the_code_counts(folder, name):
    before = loaded(folder)[1]
    (folder / name).write_text(FILES[name] + "\n# changed\n")
    assert loaded(folder)[1] != before


def test_other_files_do_not_count(folder):
    before = loaded(folder)[1]
    (folder / "unrelated.py").write_text("changed = True\n")
    sys.modules["unrelated"] = ModuleType("unrelated")
    sys.modules["unrelated"].__file__ = str(folder / "unrelated.py")
    try:
        assert loaded(folder)[1] == before
    finally:
        del sys.modules["unrelated"]


def test_the_same_code_in_another_folder_has_the_same_hash(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "copy"
    folder.rename(elsewhere)
    folder.mkdir()
    copied = loaded(elsewhere)
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    assert loaded(folder) == copied


def test_installed_packages_do_not_count(folder):
    inside = folder / "venv" / "lib" / "site-packages"
    inside.mkdir(parents=True)
    (inside / "installed.py").write_text("")
    (folder / "own.py").write_text(
        f"import sys\nsys.path.append({str(inside)!r})\nimport installed, json\ndef make(depth): pass\n"
    )
    try:
        assert loaded(folder)[0] == {"_program_own"}
    finally:
        sys.path.remove(str(inside))
        sys.modules.pop("installed", None)


def test_a_module_of_the_working_directory_is_named_by_its_name(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "package" / "deep.py").write_text("from . import deeper\ndef make(depth): return deeper\n")
    with function_of("package.deep:make") as make:
        assert {*own_modules(make)} == {"package", "package.deep", "package.deeper"}
    assert "package" not in sys.modules
    with (
        pytest.raises(ProgramError, match="'package.nothing:make' failed: ModuleNotFoundError"),
        function_of("package.nothing:make"),
    ):
        pass


def notebook(text, **names):
    """Return the function ``make`` of code that stands in no file."""
    module = ModuleType("__notebook__")
    vars(module).update(names)
    sys.modules["__notebook__"] = module
    exec(compile(text, "<cell>", "exec"), vars(module))
    return module.make


CELL = "def width():\n    return WIDTH\n\ndef make(depth):\n    return width()\n"


def test_of_a_function_without_a_file_all_that_it_names_counts(monkeypatch):
    import linecache

    def code(text, **names):
        monkeypatch.setitem(linecache.cache, "<cell>", (len(text), None, text.splitlines(True), "<cell>"))
        return code_of(notebook(text, **names))

    before = code(CELL, WIDTH=3)
    assert before == code(CELL, WIDTH=3, unrelated=5)
    assert before != code(CELL, WIDTH=4)
    assert before != code(CELL.replace("return WIDTH", "return 2 * WIDTH"), WIDTH=3)
    assert before != code(CELL.replace("return width()", "return 2 * width()"), WIDTH=3)
    del sys.modules["__notebook__"]


def make(depth, width=3):
    return width


def around(width):
    return lambda depth: width


def test_what_a_function_was_made_with_counts():
    codes = [code_of(f) for f in (make, partial(make, width=3), partial(make, width=4), around(3), around(4))]
    assert len({*codes}) == 5 and codes[2] == code_of(partial(make, width=4))
    assert code_of(around(4)) == codes[4]


def test_what_is_sent_can_be_imported_where_it_arrives(folder):
    import pickle

    with function_of(f"{folder}/own.py:make") as make:
        make(3)
        sent = Sent(make)
        assert own_modules(sent) == own_modules(make) and str(inspect.signature(sent)) == "(depth)"
        state = {**vars(sent), "_function": imports_when_called}
    assert not {"later", "package", "package.deep"} & {*sys.modules}
    before = [*sys.meta_path]
    try:
        arrived = pickle.loads(pickle.dumps(state))
        Sent.__new__(Sent).__setstate__(arrived)
        assert arrived["_function"](3) == 3
    finally:
        sys.meta_path[:] = before
        for name in ("later", "beside", "package", "package.deep", "package.deeper"):
            sys.modules.pop(name, None)


def imports_when_called(depth):
    import later  # type: ignore[import-not-found]
    from package.deeper import beside  # type: ignore[import-not-found]

    return beside.WIDTH if later.nothing is None else None
