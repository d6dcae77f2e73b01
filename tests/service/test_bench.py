"""The benchmarks that need Ray: that they measure what they say."""

from types import SimpleNamespace

import pytest

from probes import Point, ProbeSettings, load_images
from sweep.bench import orchestration, probes


def test_trials_of_one_point_each():
    settings = ProbeSettings("direct", images=64)
    seconds = probes.trials_on_ray(load_images("digits"), [Point(1.3, 0.2, 3, i) for i in range(2)], settings)
    assert 0 < seconds < 300


def test_what_a_watch_computes(monkeypatch):
    """Ten trials of two points a second, one after another, on two devices of which one is idle."""
    watch, memory = orchestration.Watch(slots=2), iter(range(1000, 2000, 100))
    monkeypatch.setattr(orchestration, "_resident_bytes", lambda: next(memory))
    ends = iter(range(10))
    monkeypatch.setattr(orchestration, "time", SimpleNamespace(monotonic=lambda: float(next(ends))))
    trial = SimpleNamespace(config={"points": [1, 2]})
    for i in range(10):
        watch.on_trial_result(i, [], trial, {"seconds": 1.0})
    assert watch.rate == watch.last_tenth * watch.rate == 2.0
    assert watch.busy(1) == pytest.approx(0.5)
    assert watch.bytes_per_point == 50
