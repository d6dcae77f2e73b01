"""What the README and the guides to clusters say is true, as far as it can be seen without running their commands.

`tests/system/test_readme.py` runs them.
"""

import re
import shlex
from contextlib import suppress
from importlib.util import find_spec

import click
import pytest

import probes
import sweep
from sweep.cli.main import main
from sweep.spec.columns import COLUMNS
from tests.helpers import ROOT
from tests.helpers.documents import (
    BLOCKS,
    COMPLETE,
    DOCUMENTS,
    EVERYTHING,
    IN_THE_TEXT,
    NOT_RUN,
    QUICKER,
    README,
    blocks,
    replaced,
)


def test_ci_runs_the_test_command_as_written():
    (command,) = [b.strip() for b in blocks("sh") if "pytest" in b]
    assert command in [line.strip() for line in (ROOT / ".ci" / "run").read_text().splitlines()]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_resolve(document):
    path = ROOT / document
    links = re.findall(r"\]\(([^)]+)\)", path.read_text())
    assert links or document == DOCUMENTS[-1]
    for link in links:
        assert link.startswith("https://") or (path.parent / link).exists(), link


@pytest.mark.parametrize("command", EVERYTHING)
def test_every_command_parses(command):
    words = shlex.split(replaced(command, COMPLETE))[1:]
    with click.Context(main) as parent, suppress(click.exceptions.Exit):  # of --help
        main.commands[words[0]].make_context(words[0], words[1:], parent=parent)


def test_options_in_the_table_of_commands_are_there():
    rows = re.findall(r"^\| `sweep ([a-z]+)[^|]*\|(.*)\|$", README, re.MULTILINE)
    assert len(rows) >= 13
    for name, text in rows:
        known = {option for parameter in main.commands[name].params for option in parameter.opts}
        given = [code.split()[0] for code in re.findall(r"`(-[^`]+)`", text)]
        assert set(given) <= known, (name, set(given) - known)


def test_what_is_not_run_is_what_is_listed():
    assert set(EVERYTHING) >= set(NOT_RUN) and all(len(why) > 20 for why in NOT_RUN.values())
    assert not [text for text in (*COMPLETE, *QUICKER) if not any(text in command for command in EVERYTHING)]
    assert len(EVERYTHING) > 35 and len(BLOCKS) > 10 and len(IN_THE_TEXT) > 25


def test_every_column_is_described():
    for table, columns in COLUMNS.items():
        for name in columns:
            assert f"`{name}`" in README, (table, name)


def test_modules_that_are_run_by_name_are_there():
    names = re.findall(r"python -m ([\w.]+)", re.sub(r"python3? -m (venv|pip)\b", "", README))
    assert names and all(find_spec(name) for name in names)


def test_names_of_the_python_api_are_public():
    """Such as ``sweep.LevelSet``, also in code; what is not a name of the package itself has no place in the README."""
    for package in (sweep, probes):
        code = set(re.findall(rf"\b{package.__name__}\.(\w+)", README))
        assert code and code <= set(package.__all__), (package.__name__, code - set(package.__all__))
        for names in re.findall(rf"^from {package.__name__} import (.+)$", README, re.MULTILINE):
            assert {name.strip() for name in names.split(",")} <= set(package.__all__), names
    assert not re.findall(r"^(?:from|import) (?:sweep|probes)\..*$", README, re.MULTILINE)


def test_files_and_folders_that_are_named_are_there():
    named = set(re.findall(r"(?<![\w/.])((?:tests|sweep|probes|cluster)/[\w./-]*\w)", README))
    assert len(named) > 20
    assert not [name for name in named if not (ROOT / name).exists()]


def test_every_package_is_in_the_table_of_packages():
    table = dict(re.findall(r"^\| `((?:sweep|probes)[\w/]*)` \| (.+) \|$", README, re.MULTILINE))
    folders = {f"sweep/{path.parent.name}" for path in (ROOT / "sweep").glob("*/__init__.py")} | {"probes"}
    assert set(table) == folders
    for package, text in table.items():
        for module in re.findall(r"`(\w+\.py)`", text):
            assert (ROOT / package / module).exists(), (package, module)
