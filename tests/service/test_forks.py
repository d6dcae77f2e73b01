"""Programs that fork after torch has computed: its threads do not live on in the copy, and nothing waits for them."""

import subprocess
import sys

import pytest

PROGRAM = """
import multiprocessing, sys
import numpy as np, torch
import sweep
from probes import Point, ProbeSettings, TrainingSettings, images_of, measure

def work():
    (measured,) = measure([Point(1.2, 0.2, 3, 1)], images, settings)
    print(measured.status, torch.get_num_threads(), measured.values["margin"] == expected.values["margin"])

def run():
    points = sweep.run(sweep.SweepSpec(points=1, depth=(2, 3)), sys.argv[2], images=arrays).points
    print(*points["status"], torch.get_num_threads(), True)

rng = np.random.default_rng(0)
arrays = [rng.random((600, 14, 14)), rng.integers(0, 3, 600), rng.random((300, 14, 14)), rng.integers(0, 3, 300)]
torch.set_num_threads(2)
torch.ones(2**20).sin_()
images = images_of(*arrays)
settings = ProbeSettings(probe="both", probe_steps=20, train="all", training=TrainingSettings(epochs=1, images=600))
(expected,) = measure([Point(1.2, 0.2, 3, 1)], images, settings)
process = multiprocessing.get_context("fork").Process(target=globals()[sys.argv[1]])
process.start()
process.join(60)
process.kill()
"""


@pytest.mark.parametrize("what", ["work", "run"])
def test_a_forked_process_measures(tmp_path, what):
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, what, str(tmp_path / "x")]
    out = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert out.stdout == "ok 2 True\n", out.stderr
