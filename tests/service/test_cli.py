"""The command line as a process of its own: what it loads, and that it starts."""

import os
import subprocess
import sys

import pytest

from tests.helpers import ROOT


def test_help_is_instant_and_imports_nothing_heavy():
    heavy = {"ray", "torch", "optuna", "numpy", "pandas", "pyarrow", "matplotlib"}
    code = f"import sweep.cli.main, sys; print({heavy!r} & set(sys.modules) or [])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("arguments", [["--version"], ["-h"], ["run", "--help"]])
def test_python_m_sweep(arguments):
    out = subprocess.run([sys.executable, "-m", "sweep", *arguments], capture_output=True, text=True, check=True)
    assert "sweep" in out.stdout and not out.stderr


@pytest.mark.parametrize("command", [["plot"], ["status"], ["results"]])
def test_readers_load_neither_ray_nor_torch(make_sweep, command):
    path = make_sweep().path
    code = f"""
import sys
from sweep.cli.main import main
try:
    main({[*command, str(path)]!r})
except SystemExit:
    pass
print(sorted({{'ray', 'torch'}} & set(sys.modules)), file=sys.stderr)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert out.stderr.strip().splitlines()[-1] == "[]"
