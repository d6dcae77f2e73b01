"""What runs where neither Ray nor Optuna is installed: the probes, and the benchmarks of them."""

import os
import subprocess
import sys

from tests.helpers import ROOT

BLOCKED = """
import importlib, pkgutil, sys
from pathlib import Path
sys.modules["ray"] = sys.modules["optuna"] = None  # as if they were not installed
"""


def run(code):
    found = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": found, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", BLOCKED + code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_block_blocks():
    code = "try:\n    import ray\nexcept ImportError:\n    print('blocked')"
    assert run(code) == "blocked\n"


def test_the_probes_and_all_of_their_modules():
    code = """
import probes
names = [m.name for m in pkgutil.walk_packages(probes.__path__, "probes.")]
for name in names:
    importlib.import_module(name)
print(len(names))
"""
    assert int(run(code)) > 10


def test_the_benchmarks_of_the_probes():
    sections = ("gpu", "cascade", "direct", "training", "memory")
    words = ["bench", "--resize", "4", *(word for section in sections for word in ("--only", section))]
    code = f"""
from click.testing import CliRunner
from pytest import MonkeyPatch
from sweep.bench import bench
from sweep.cli.main import main
from tests.helpers.small_benchmarks import make_small
make_small(MonkeyPatch())
done = CliRunner().invoke(main, {words!r}, catch_exceptions=False)
assert done.exit_code == 0, done.output
print(done.output)
"""
    lines = run(code).splitlines()
    assert [line for line in lines if line in sections] == ["cascade", "direct", "training", "memory"] or "gpu" in lines
