"""Several trials to a GPU; nodes with and without one. The devices are made up, but for Ray they are GPUs."""

import json
import subprocess
import sys
from collections import defaultdict

import pytest
import torch

import sweep
from probes import Point, ProbeSettings, prober
from sweep.execution import trainable
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


@pytest.mark.parametrize(
    ("gpus", "there", "device", "fractions"),
    [(0.5, True, "cuda", [0.5]), (1 / 3, True, "cuda", [1 / 3]), (1, True, "cuda", []), (2, True, "cuda", [])]
    + [(0, True, "cpu", []), (0.5, False, "cpu", [])],
)
def test_a_trial_takes_no_more_of_a_gpu_than_its_share(monkeypatch, gpus, there, device, fractions):
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", asked.append)
    monkeypatch.setattr(prober, "Prober", lambda images, settings, device: device)
    assert trainable.make_prober(None, None, 1, gpus) == device and asked == fractions


@pytest.mark.parametrize(("kind", "share"), [("gpu", 0.5), ("cpu", 0.0)])
def test_a_pack_too_large_for_a_share_is_measured_in_halves(digits, monkeypatch, tmp_path, kind, share):
    """Through the trainable: the rows say so, and no point is lost."""
    probe, tried, shares = prober.Prober._probe, [], []

    def first_fails(self, points):
        tried.append(len(points))
        if len(tried) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return probe(self, points)

    def make(images, settings, threads, gpus):
        shares.append(gpus)
        return trainable.make_prober(images, settings, threads, 0.0)

    monkeypatch.setattr(prober.Prober, "_probe", first_fails)
    points = [Point(1.2, 0.1, 3, seed) for seed in range(6)]
    config = {"points": [(p.sigma_w, p.sigma_b, p.depth, p.seed) for p in points], "kind": kind}
    settings = ProbeSettings(probe="direct", images=64)
    trial = object.__new__(trainable.PackTrainable)
    trial.setup(config, images=digits, settings=settings, make=make, gpus=0.5, storage=str(tmp_path))
    result = trial.step()
    assert tried == [6, 3, 3] and shares == [share] and result["done"]
    assert [r["seed"] for r in result["rows"]] == list(range(6))
    assert {(r["status"], r["pack"], r["pack_halved"]) for r in result["rows"]} == {("ok", 3, 1)}
