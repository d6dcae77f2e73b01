"""Nodes that run out of memory."""

import pytest

import sweep
from sweep.execution import pressure
from sweep.execution.pressure import MemoryPressure
from sweep.spec.spec import SweepSpec
from tests.helpers.fake_tune import Clock

KILLED = (
    "ray.exceptions.RayActorError: OutOfMemoryError: 1 worker(s) were killed due to the node running low on memory. "
    "Memory on the node (IP: 192.0.2.2, ID: 9e62) was 22.49GB used / 23.54GB limit (0.955)\nTop 10 memory users:\n..."
)
SPEC = {"points": 24, "depth": (3, 6), "search": "sobol", "pack": 1}


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(pressure, "time", clock)
    return clock


def test_fewer_trials_and_pauses_after_kills(clock, caplog):
    state = MemoryPressure()
    assert state.allows(100)
    state.note_kill(3, "not enough memory on a: 9 of 10 GiB used")
    assert not state.allows(0) and state.trouble == "WAITING FOR MEMORY: not enough memory on a: 9 of 10 GiB used"
    clock.now += 1
    assert state.trouble is None
    assert state.allows(2) and not state.allows(3)
    assert "not enough memory on a: 9 of 10 GiB used; in 1 s the sweep goes on with at most 3 trials" in caplog.text
    state.note_kill(0, "again")
    clock.now += 1.9
    assert not state.allows(0)
    clock.now += 0.1
    assert state.allows(0) and not state.allows(1)  # one trial is always tried again
    for _ in range(8):
        state.note_kill(0, "and again")
    clock.now += pressure._MAX_PAUSE_S
    assert state.allows(0)
    assert len(caplog.records) == 4  # the 1st, 2nd, 4th and 8th kill in a row


def test_trials_that_end_well_raise_the_limit(clock):
    state = MemoryPressure()
    for _ in range(4):
        state.note_kill(0, "")
    state.note_success()  # at once, without a pause
    assert state.allows(1) and not state.allows(2)
    for _ in range(2):
        state.note_success()
        assert not state.allows(2)
    state.note_success()
    assert state.allows(2) and not state.allows(3)


def test_pressure_that_passes_costs_no_point(without_ray, tmp_path):
    """As long as memory is short, all workers are killed; no point fails, and not all the time is spent on trying."""
    without_ray.nodes = [(4, 0)]
    without_ray.fail = lambda points, attempt: KILLED if without_ray.clock.now < 120 else None
    results = sweep.run(SweepSpec(**SPEC), tmp_path / "sweep", make=sweep.Rehearsal(seconds=1.0))
    assert (results.points.status == "ok").sum() == 24
    assert 120 < without_ray.clock.now < 180 and len(without_ray.trials) < 24 + 20


def test_half_of_the_memory_is_enough_for_half_of_the_trials(without_ray, tmp_path):
    def fail(points, attempt):
        return KILLED if sum(not t.ended for t in without_ray.trials) > 2 else None

    without_ray.nodes = [(4, 0)]
    without_ray.fail = fail
    results = sweep.run(SweepSpec(**SPEC), tmp_path / "sweep", make=sweep.Rehearsal(seconds=1.0))
    assert (results.points.status == "ok").sum() == 24


def test_a_point_that_is_itself_too_large_fails_with_a_line(without_ray, tmp_path):
    without_ray.nodes = [(2, 0)]
    without_ray.fail = lambda points, attempt: KILLED if any(p.depth == 6 for p in points) else None
    spec = SweepSpec(**SPEC | {"points": 8, "pack": 4})
    results = sweep.run(spec, tmp_path / "sweep", make=sweep.Rehearsal(seconds=1.0))
    failed = results.points[results.points.status == "failed"]
    assert set(failed.depth) == {6} and set(results.points[results.points.status == "ok"].depth) == {3, 4, 5}
    assert set(failed.error) == {
        "not enough memory on 192.0.2.2: 22.5 of 23.5 GiB used; a smaller `--pack` or `--concurrency` needs less"
    }
