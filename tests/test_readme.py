"""The README's commands, links and snippets are true."""

import re
import shlex
import shutil
from pathlib import Path

import click
import pytest

from sweep.cli import main
from sweep.frame import COLUMNS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_ci_runs_the_test_command_as_written():
    (command,) = [b.strip() for b in blocks("sh") if "pytest" in b]
    assert command in (ROOT / ".ci" / "run").read_text().splitlines()


@pytest.mark.parametrize("document", ["README.md", "cluster/README.md"])
def test_links_resolve(document):
    path = ROOT / document
    links = re.findall(r"\]\(([^)]+)\)", path.read_text())
    assert links
    for link in links:
        assert link.startswith("https://") or (path.parent / link).exists(), link


def commands():
    text = "\n".join(blocks("sh")) + "\n" + "\n".join(re.findall(r"\| `(sweep [^`]+)`", README))
    return sorted({" ".join(m.split()) for m in re.findall(r"\bsweep [a-z].*", text)})


@pytest.mark.parametrize("command", commands())
def test_every_command_parses(command):
    words = shlex.split(command)[1:]
    with click.Context(main) as parent:
        main.commands[words[0]].make_context(words[0], words[1:], parent=parent)


def test_every_column_is_described():
    for table, columns in COLUMNS.items():
        for name in columns:
            assert f"`{name}`" in README, (table, name)


@pytest.mark.slow
def test_the_snippets_run(make_sweep, tmp_path, monkeypatch, capsys):
    results = make_sweep()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    shutil.copytree(results.path, tmp_path / "runs" / "first")
    for snippet in blocks("python"):
        exec(compile(snippet, "README.md", "exec"), {})
    assert "sigma_b" in capsys.readouterr().out
