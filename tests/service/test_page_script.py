"""The script of the report's page as prettier and eslint see it, where they are installed."""

import shutil
import subprocess

import pytest

from sweep.report.document import script
from tests.helpers import ROOT


def run(command, **more):
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, **more)
    return done.returncode, done.stdout + done.stderr


def tool(name):
    """Return the command of a tool of node's; nothing is fetched for it."""
    if path := shutil.which(name):
        return [path]
    command = ["npx", "--no", "--offline", "--", name]
    if not shutil.which("npx") or run([*command, "--version"])[0]:
        pytest.skip(f"needs {name} (npm install --global {name})")
    return command


def test_prettier_has_nothing_to_change():
    command = [*tool("prettier"), "--config", ".prettierrc.json", "--check", "sweep/report/page/*.js"]
    code, said = run(command)
    assert code == 0, said


def test_eslint_has_nothing_to_say():
    """What one part of the script uses of another is known where they stand together."""
    command = [*tool("eslint"), "--config", "tests/helpers/eslint.config.mjs", "--stdin", "--stdin-filename", "page.js"]
    code, said = run(command, input=script())
    assert code == 0, said
    code, said = run(command, input=script().replace("})();\n", "const unused = unknown;\n})();\n"))
    assert code == 1 and "no-undef" in said and "no-unused-vars" in said
