"""Trials: their share of a GPU, and packs that are too large for it."""

import threading
from contextlib import nullcontext

import pytest
import torch

from probes import Measurement, Point, ProbeSettings, TrainingSettings, prober
from sweep.execution import devices, trainable
from sweep.execution.failures import Failures


@pytest.mark.parametrize(
    ("gpus", "has_gpu", "device", "fractions"),
    [(0.5, True, "cuda", [0.5]), (1 / 3, True, "cuda", [1 / 3]), (1, True, "cuda", []), (2, True, "cuda", [])]
    + [(0, True, "cpu", []), (0, False, "cpu", [])],
)
def test_a_trial_takes_no_more_of_a_gpu_than_its_share(monkeypatch, gpus, has_gpu, device, fractions):
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", asked.append)
    monkeypatch.setattr(prober, "Prober", lambda images, settings, device: device)
    assert trainable.make_prober(None, None, 1, gpus) == device and asked == fractions


@pytest.mark.parametrize("names", [[], ["NVIDIA H100, 550.54.15"]])
def test_a_gpu_that_cannot_be_used_is_an_error_that_names_the_versions(monkeypatch, names):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices, "driver_query", lambda: names)
    with pytest.raises(devices.UnusableGpuError) as told:
        trainable.make_prober(None, None, 1, 0.5)
    text = str(told.value)
    assert f"torch {torch.__version__}" in text and ("550.54.15" in text if names else "no driver" in text)
    assert devices.unusable_gpu(f"ray::x()\nUnusableGpuError: {text}\nmore") == text
    assert devices.unusable_gpu("CUDA out of memory") is None


def test_points_of_an_unusable_gpu_go_to_others_unless_there_are_none():
    points, reason = [Point(1.2, 0.1, 3, seed) for seed in range(2)], "this trial holds a GPU that cannot be used: y"
    alone, among_others = Failures(retries=0), Failures(retries=0)
    assert alone.judge_trial(points, f"x\n{reason}\n").later == points
    verdict = alone.judge_trial(points, f"x\n{reason}\n")
    assert not verdict.later and [r["error"] for r in verdict.rows] == [reason] * 2
    among_others.judge_rows([], [])
    assert all(among_others.judge_trial(points, reason).later == points for _ in range(19))
    assert len(among_others.judge_trial(points, reason).rows) == 2


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


def test_a_process_that_cannot_be_interrupted_ends(digits, monkeypatch, tmp_path):
    ended = threading.Event()
    monkeypatch.setattr(trainable, "_INTERRUPTION_TIME_S", 0.0)
    monkeypatch.setattr(trainable.os, "_exit", lambda code: ended.set())

    class Waiting:
        device = "cpu"

        def probe(self, points):
            assert ended.wait(60)  # as an operation that never returns
            return [Measurement(p, "failed", "late") for p in points]

        def train(self, measured, saved, doubtful):
            return iter(())

    trial = object.__new__(trainable.PackTrainable)
    settings = ProbeSettings("direct", timeout=0.05)
    trial.setup(
        {"points": [(1.0, 0.1, 3, 0)]},
        images=digits,
        settings=settings,
        make=lambda *a: Waiting(),
        storage=str(tmp_path),
    )
    assert trial.step()["done"] and ended.is_set()


def test_a_process_is_not_ended_before_its_trainings_could_be_interrupted(digits, monkeypatch, tmp_path):
    limits = []

    def called_after(seconds, action):
        limits.append(seconds)
        return nullcontext()

    monkeypatch.setattr(trainable, "called_after", called_after)
    rates = TrainingSettings(lr=(0.1, 0.01, 0.001), epochs=1, images=64)
    settings = ProbeSettings("direct", images=64, timeout=100.0, train="all", training=rates)
    trial = object.__new__(trainable.PackTrainable)
    config = {"points": [(1.0, 0.1, 2, 0), (1.2, 0.1, 2, 1)]}
    trial.setup(config, images=digits, settings=settings, storage=str(tmp_path))
    trial.step()
    assert len(limits) == 2 and min(limits) > 2 * 3 * 100.0  # two points, three learning rates
