"""What the READMEs say is true, as far as it can be seen without running their commands.

`tests/system/test_readme.py` runs them.
"""

import ast
import re
import shlex
import tomllib
from contextlib import suppress
from importlib.util import find_spec

import click
import pytest
import yaml
from codespell_lib import main as codespell

import probes
import sweep
from sweep.cli.main import main
from tests.helpers import DOCUMENTS, ROOT
from tests.helpers.documents import (
    BLOCKS,
    COMPLETE,
    EVERYTHING,
    IN_THE_TEXT,
    NOT_RUN,
    QUICKER,
    TEXTS,
    blocks,
    replaced,
)
from tests.helpers.tables import TABLES, written_anew

PAGES = [*DOCUMENTS, ".github/CONTRIBUTING.md", ".github/CHANGELOG.md"]
# Of other programs: not ours to check.
OTHERS = {
    "--constraint",
    "--keep",
    "--mail-type",
    "--mem",
    "-c",
    "-d",
    "-f",
    "-m",
    "-n",
    "-v",
    "--block",
    "--backend-store-uri",
    "--build-arg",
    "--dist",
    "--extra-index-url",
}


def text_of(document):
    return (ROOT / document).read_text()


def test_the_readme_is_short():
    assert len(TEXTS["README.md"].splitlines()) <= 250 and len(TEXTS["README.md"].encode()) <= 12 * 1024


def test_ci_runs_the_test_command_as_written():
    (command,) = [b.strip() for b in blocks("sh", TEXTS["README.md"]) if "pytest" in b]
    assert command in [line.strip() for line in (ROOT / ".ci" / "run").read_text().splitlines()]


@pytest.mark.parametrize("document", PAGES)
def test_tables_are_what_the_code_says(document):
    """Otherwise `python -m tests.helpers.tables` writes them anew."""
    assert text_of(document) == written_anew(text_of(document))


def test_every_table_stands_somewhere():
    named = [name for text in TEXTS.values() for name in re.findall(r"<!-- table: (.+?) -->", text)]
    assert set(named) == set(TABLES) and len(named) > 10


def headings_of(path):
    """Return the anchors of a page, as they are made of its headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", PAGES)
def test_links_resolve(document):
    for link in re.findall(r"\]\(([^)]+)\)", text_of(document)):
        if not link.startswith("https://"):
            name, _, anchor = link.partition("#")
            path = (ROOT / document).parent / name if name else ROOT / document
            assert path.exists() and (not anchor or anchor in headings_of(path)), link


def test_every_package_with_a_readme_is_linked_from_another():
    linked = {
        ((ROOT / document).parent / link).resolve()
        for document in PAGES
        for link in re.findall(r"\]\(([^)#]+)\)", text_of(document))
    }
    assert not [document for document in PAGES[1:] if (ROOT / document).resolve() not in linked]


def test_spelling():
    """In everything that people read: documents, code, tests."""
    paths = ["README.md", "Dockerfile", "pyproject.toml", ".github", "probes", "sweep", "cluster", "tests"]
    ignored = "atLeast,NotIn,warnin,te"
    skipped = "*.csv,*.png,*.parquet,*.json,*.journal"
    assert codespell("--ignore-words-list", ignored, "--skip", skipped, *(str(ROOT / path) for path in paths)) == 0


@pytest.mark.parametrize("command", EVERYTHING)
def test_every_command_parses(command):
    words = shlex.split(replaced(command, COMPLETE))[1:]
    with click.Context(main) as parent, suppress(click.exceptions.Exit):  # of --help
        main.commands[words[0]].make_context(words[0], words[1:], parent=parent)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_options_that_are_named_are_there(document):
    commands = [*main.commands.values(), *main.commands["launch"].commands.values()]
    known = {
        o for command in commands for parameter in command.params for o in (*parameter.opts, *parameter.secondary_opts)
    }
    named = {code.split()[0].partition("=")[0] for code in re.findall(r"`(-[^`]+)`", TEXTS[document])}
    assert named <= known | OTHERS | {"--help", "--"}, named - known


def test_what_is_not_run_is_what_is_listed():
    assert set(EVERYTHING) >= set(NOT_RUN) and all(len(why) > 20 for why in NOT_RUN.values())
    assert not [text for text in (*COMPLETE, *QUICKER) if not any(text in command for command in EVERYTHING)]
    assert len(EVERYTHING) > 35 and len(BLOCKS) > 10 and len(IN_THE_TEXT) > 25


def test_configurations_are_specs():
    found = [block for text in TEXTS.values() for block in blocks("toml", text)]
    assert found
    for block in found:
        sweep.SweepSpec(**tomllib.loads(block))


@pytest.mark.parametrize("document", PAGES)
def test_modules_that_are_run_by_name_are_there(document):
    names = re.findall(r"python -m ([\w.]+)", re.sub(r"python3? -m (venv|pip|build)\b", "", text_of(document)))
    assert all(find_spec(name) for name in names)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_names_of_the_python_api_are_public(document):
    """Such as ``sweep.LevelSet``, also in code."""
    text = TEXTS[document]
    if document == "sweep/README.md":  # for those who change it
        return
    for package in (sweep, probes):
        code = set(re.findall(rf"(?<![\w/-])\b{package.__name__}\.(\w+)", text)) - {"py"}
        assert code <= set(package.__all__), (package.__name__, code - set(package.__all__))
        for names in re.findall(rf"^from {package.__name__} import (.+)$", text, re.MULTILINE):
            assert {name.strip() for name in names.split(",")} <= set(package.__all__), names
    assert not re.findall(r"^(?:from|import) (?:sweep|probes)\..*$", text, re.MULTILINE)


@pytest.mark.parametrize("document", PAGES)
def test_files_and_folders_that_are_named_are_there(document):
    named = set(re.findall(r"(?<![\w/.])((?:tests|sweep|probes|cluster)/[\w./-]*\w)", text_of(document)))
    assert not [name for name in named if not (ROOT / name).exists()]


@pytest.mark.parametrize("name", ["ci", "release"])
def test_workflows_run_what_is_run_here(name):
    workflow = yaml.safe_load(text_of(f".github/workflows/{name}.yml"))
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert ".ci/run" in [step.get("run") for step in steps] and workflow["permissions"] == {"contents": "read"}


# What begins a fragment, whose subject is elsewhere: "Of each point." instead of "Return the margin of each point."
FRAGMENT = re.compile(
    r"[`\[(\d]|(A|An|The|Of|As|One|What|How|Where|Whether|If|With|Who|Which|When|Its|From|To|In|For|See)\b"
)


@pytest.mark.parametrize("path", sorted({*(ROOT / "sweep").rglob("*.py"), *(ROOT / "probes").rglob("*.py")}))
def test_docstrings_of_functions_begin_with_a_verb(path):
    """That it is in the imperative, and that all that is public has a docstring, ruff says."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and (docstring := ast.get_docstring(node)):
            is_property = any("property" in ast.unparse(decorator) for decorator in node.decorator_list)
            line = docstring.partition("\n")[0]
            assert line.endswith(".") and (is_property or not FRAGMENT.match(line)), f"{path}:{node.lineno}: {line}"
