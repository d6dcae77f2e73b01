"""A user's program, type-checked against the wheel as it is installed."""

import shutil
import subprocess
import sys
import zipfile

import pytest

from tests.helpers import ROOT

PROGRAM = """
import numpy as np
import sweep
from probes import Images, Measurement, Point, ProbeSettings, images_of, load_images, measure

spec = sweep.SweepSpec(points=32, sigma_w=(0.5, 2.5), depth=(5, 60), probe="direct")
images: Images = images_of(np.zeros((4, 2, 2)), np.arange(4), np.zeros((4, 2, 2)), np.arange(4))
results: sweep.Results = sweep.run(spec, "runs/typed", images=images)
critical: list[float] = results.boundary["sigma_w"].tolist() if len(results.points) else []
measured: list[Measurement] = measure([Point(1.3, 0.2, 30)], load_images("digits"), ProbeSettings(probe="direct"))
print(spec.depth[1], results.spec.by_horizon, results.path / "spec.json", critical, measured[0].values)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Return the interpreter of an environment that has the wheel, and all else from this one."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("sweep", "probes", "cluster"):
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, folder / "source"]
    subprocess.run(wheel, check=True, capture_output=True, timeout=300)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True, timeout=60)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "env" / "lib" / version / "site-packages"
    (built,) = folder.glob("*.whl")
    zipfile.ZipFile(built).extractall(packages)
    others = {path for path in sys.path if path.endswith("site-packages")}
    (packages / "others.pth").write_text("\n".join(sorted(others)))
    assert (packages / "sweep" / "py.typed").exists() and (packages / "probes" / "py.typed").exists()
    return folder / "env" / "bin" / "python"


def check(python, folder, program):
    (folder / "program.py").write_text(program)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--python-executable", python, "program.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def test_a_typed_program_passes(python, tmp_path):
    done = check(python, tmp_path, PROGRAM)
    assert done.returncode == 0, done.stdout


def test_what_is_wrong_is_seen(python, tmp_path):
    wrong = PROGRAM.replace("points=32", 'points="many"').replace("results.spec.by_horizon", "results.spec.colour")
    done = check(python, tmp_path, wrong)
    assert done.returncode == 1 and "[arg-type]" in done.stdout and 'no attribute "colour"' in done.stdout, done.stdout
