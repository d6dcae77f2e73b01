"""What runs where neither Ray nor Optuna is installed: the probes, and the benchmarks of them."""

import subprocess
import sys

import pytest

BLOCKED = """
import importlib, pkgutil, sys
from pathlib import Path
sys.modules["ray"] = sys.modules["optuna"] = None  # as if they were not installed
"""


def run(code):
    done = subprocess.run([sys.executable, "-c", BLOCKED + code], capture_output=True, text=True)
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


@pytest.mark.parametrize("only", ["gpu cascade direct", "training memory"])
def test_the_benchmarks_of_the_probes(only):
    sections = only.split()
    words = [word for section in sections for word in ("--only", section)]
    code = f"""
from click.testing import CliRunner
from sweep.bench import bench, figure, memory, probes
from sweep.cli.main import main
probes.WIDTH, figure.ROUNDS = 16, 1
memory.PACKS = {{"small": {{"probe": "direct", "resize": 4, "depth": 3, "pack": 1, "images": 64}}}}
done = CliRunner().invoke(main, ["bench", "--resize", "4", *{words!r}], catch_exceptions=False)
assert done.exit_code == 0, done.output
print(done.output)
"""
    out = run(code)
    for section in sections:
        assert section == "gpu" or f"\n{section}\n" in out
