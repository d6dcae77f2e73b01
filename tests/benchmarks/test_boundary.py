"""The benchmark itself: small, and what it must always show."""

import json

import numpy as np
import pytest

from . import boundary, outcomes
from .boundary import OURS, compare, coverage, measured, run_ours, table
from .competitors import COMPETITORS
from .problems import OUTCOMES, PROBLEMS

PLANE = next(i for i, p in enumerate(PROBLEMS) if p.name == "re-entrant")


@pytest.fixture
def few(monkeypatch):
    """One problem, one noise."""
    monkeypatch.setattr(boundary, "PROBLEMS", [PROBLEMS[PLANE]])


def test_ours_needs_a_fraction_of_the_points(few, tmp_path):
    keep = tmp_path / "runs.jsonl"
    found = compare(2, (48, 256), [OURS, "grid", "sobol"], keep=keep, noises=(0.05,))
    error = {n: boundary._errors(found, n, 0, 0.05, s).mean() for n, s in ((OURS, 48), ("grid", 256), ("sobol", 256))}
    own = np.mean([v["own 256"] for (n, *_), v in found.items() if n == "sobol"])
    assert error[OURS] < own
    text = table(found)
    assert "re-entrant" in text and "90 % intervals" in text and "points to the error of sobol" in text
    lines = keep.read_text().splitlines()
    assert len(lines) == 6 and compare(2, (48, 256), [OURS, "grid", "sobol"], keep=keep, noises=(0.05,)) == found
    assert keep.read_text().splitlines() == lines and json.loads(lines[0])[0] == OURS


@pytest.mark.parametrize("name", sorted(COMPETITORS))
@pytest.mark.parametrize("index", [PLANE, 5])
def test_competitors_measure_what_they_say(name, index):
    problem = PROBLEMS[index]
    first, again = (COMPETITORS[name](problem.axes, measured(problem, 0.05, 3), 32, 8, 3) for _ in range(2))
    assert np.array_equal(first.points, again.points) and 16 <= len(first.points) <= 33
    for i, axis in enumerate(problem.axes):
        assert first.points[:, i].min() >= axis.low and first.points[:, i].max() <= axis.high
    if first.predict:
        assert np.isfinite(first.predict(len(first.points))(problem.places)).all()


@pytest.mark.parametrize("index", range(len(PROBLEMS)))
def test_problems_are_what_they_say(index):
    problem = PROBLEMS[index]
    assert problem(problem.places).std() == pytest.approx(1)
    assert 0.02 < problem.truth.mean() < 0.98
    crossings = problem.crossings(6, 801)
    assert crossings
    for other, x in crossings:
        step = (problem.axes[0].high - problem.axes[0].low) / 800
        sides = problem.raw(np.array([[x - step, *other], [x + step, *other]]))
        assert (sides[0] > 0) != (sides[1] > 0)


@pytest.mark.parametrize("problem", OUTCOMES, ids=lambda p: p.name)
def test_outcomes_are_what_they_say(problem):
    observed = problem.observed(problem.places, 0.05, np.random.default_rng(0))
    assert 0.1 < problem.truth.mean() < 0.9
    if problem.draws:
        assert set(observed * problem.draws) <= set(range(problem.draws + 1))
        assert np.mean((observed > 0.5) == problem.truth) > 0.7
    else:
        assert problem(problem.places)[np.abs(observed) < 1e3].std() == pytest.approx(1, abs=0.01)


def test_every_way_to_see_a_jump_is_compared():
    (jump,) = (p for p in OUTCOMES if p.name == "jump (2-D)")
    found = {(way, jump.name, 0): outcomes.errors(jump, 0, (32, 48), outcome=way) for way in ("value", "side")}
    assert found["side", jump.name, 0]["48"] < found["value", jump.name, 0]["48"] < 0.1
    assert len(outcomes.table(found, (32, 48)).splitlines()) == 4


def test_intervals_cover_the_true_crossings():
    """85 % to 95 % are asked for over many seeds; chance may move this one a little further."""
    quick = [p for p in PROBLEMS if not p.name.startswith("mean field")]
    covered = [coverage(p, list(run_ours(p, noise, 0, 64))[-1]) for p in quick for noise in (0.0, 0.1)]
    inside, total = (sum(c) for c in zip(*covered, strict=True))
    assert total > 60
    assert 0.8 <= inside / total <= 0.98
