"""Several trials to a GPU; nodes with and without one. The devices are made up, but for Ray they are GPUs."""

import json
import subprocess
import sys
from collections import defaultdict

import pytest

import sweep
from tests.helpers import ROOT
from tests.helpers.nodes import clusters

WITNESS = ROOT / "tests" / "helpers" / "witness.py"


@pytest.fixture(scope="module")
def cluster():
    """A node with two GPUs, and one with none."""
    with clusters() as make:
        cluster = make()
        cluster.add(cpus=4, gpus=2)
        cluster.add(cpus=1)
        yield cluster


def witnessed(cluster, folder, trials, **spec):
    """What the trials of a sweep wrote down; every point was measured once."""
    spec = {"address": cluster.address, "search": "sobol", **spec}
    command = [sys.executable, WITNESS, folder, str(trials), "0", json.dumps(spec)]
    done = subprocess.run(command, env=cluster.environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    results = sweep.load(folder / "sweep")
    rows = results.store.read([]).rows.num_rows  # each point once, as in the parts
    parts = sum(len(json.loads(p.read_text())["depths"]) for p in (folder / "notes").iterdir())
    assert rows == parts == len(results.points) == spec["points"] and set(results.points.status) == {"ok"}
    return [json.loads(p.read_text()) for p in (folder / "notes").iterdir()]


def most_at_once(notes):
    """Trials that were measuring at the same time."""
    edges = sorted([(n["from"], 1) for n in notes] + [(n["to"], -1) for n in notes])
    now = most = 0
    for _, change in edges:
        now += change
        most = max(most, now)
    return most


def test_gpus_that_cannot_be_used_are_told_of(cluster, tmp_path):
    """No device is there but for Ray: nothing is computed on the CPU in its place, and the doctor finds it, too."""
    sweep_command = [sys.executable, "-m", "sweep"]
    options = ("--points", "4", "--probe", "direct", "--images", "64", "--depth", "2", "4", "--gpus-per-trial", "0.5")
    run = [*sweep_command, "run", "--address", cluster.address, *options, "--out", tmp_path / "sweep", "--quiet"]
    done = subprocess.run(run, env=cluster.environment, capture_output=True, text=True, timeout=200)
    points = sweep.load(tmp_path / "sweep").points
    assert done.returncode == 1 and len(points) == 4 and set(points.status) == {"failed"}, done.stderr[-3000:]
    assert points.error.str.startswith("this trial holds a GPU that cannot be used: torch ").all()
    assert points.error.str.contains("there is no driver of NVIDIA").all() and points.error.str.len().max() < 200
    doctor = [*sweep_command, "doctor", "--address", cluster.address, "--json"]
    found = subprocess.run(doctor, env=cluster.environment, capture_output=True, text=True, timeout=200)
    (check,) = [c for c in json.loads(found.stdout)["checks"] if c["name"] == "cluster"]
    assert check["verdict"] == "fault" and "holds a GPU that cannot be used" in check["found"], check


def test_two_trials_share_a_gpu(cluster, tmp_path):
    """Four trials on two devices, two on each, at once."""
    notes = witnessed(cluster, tmp_path, 4, points=32, gpus_per_trial=0.5, pack=1, depth=(100, 200))
    of_device = defaultdict(list)
    for note in notes:
        (device,) = note["gpus"]
        assert note["visible"] == str(device) and note["share"] == 0.5
        of_device[device].append(note)
    assert set(of_device) == {0, 1} and most_at_once(notes) == 4
    for those in of_device.values():
        assert len({n["process"] for n in those}) == 2 and most_at_once(those) == 2


def test_a_node_without_a_gpu_helps_with_what_is_small(cluster, tmp_path):
    notes = witnessed(cluster, tmp_path, 5, points=120, depth=(1, 200))
    fast, slow = ([n for n in notes if bool(n["share"]) == with_gpu] for with_gpu in (True, False))
    assert len({n["node"] for n in fast}) == len({n["node"] for n in slow}) == 1
    assert {n["node"] for n in fast} != {n["node"] for n in slow}
    assert {(n["visible"], n["share"]) for n in fast} == {
        ("0", 0.5),
        ("1", 0.5),
    }  # a core to a trial, and a share for every core
    assert all(n["gpus"] == [] and not n["visible"] for n in slow)
    depths = [[d for n in those for d in n["depths"]] for those in (fast, slow)]
    means = [sum(d) / len(d) for d in depths]
    assert means[1] < 0.7 * means[0], (means, [len(d) for d in depths])
