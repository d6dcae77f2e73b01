import pytest
from ray.tune.search import Searcher

from probes import Point
from sweep.driver import _failed_rows
from sweep.frame import row
from sweep.searcher import PackSearcher
from sweep.spec import SweepSpec
from sweep.study import SweepStudy

from ..landscape import made_up


@pytest.fixture
def parts():
    return []


@pytest.fixture
def searcher(tmp_path, parts):
    return PackSearcher(SweepStudy(SweepSpec(points=10), tmp_path), 4, parts.append, _failed_rows)


def measured(config):
    return {"rows": [row(made_up(Point(*p)), pack=4) for p in config["points"]]}


def test_suggests_packs_until_the_budget_is_spent(searcher, parts):
    sizes = []
    for i in range(3):
        config = searcher.suggest(f"t{i}")
        sizes.append(len(config["points"]))
        searcher.on_trial_complete(f"t{i}", result=measured(config))
    assert sizes == [4, 4, 2] and [len(p) for p in parts] == [4, 4, 2]
    assert searcher.suggest("t3") == Searcher.FINISHED


def test_a_trial_that_failed_becomes_rows_with_its_error(searcher, parts):
    searcher.suggest("t0")
    searcher.on_trial_complete("t0", error=True)
    assert not parts
    searcher.give_up("t0", "RayActorError:\nthe actor died")
    assert [r["status"] for r in parts[0]] == ["failed"] * 4
    assert parts[0][0]["error"] == "RayActorError: the actor died"


def test_a_trial_that_was_stopped_leaves_its_points_for_resume(searcher, parts, tmp_path):
    points = searcher.suggest("t0")["points"]
    searcher.on_trial_complete("t0")
    assert not parts
    again = SweepStudy(SweepSpec(points=10), tmp_path)
    assert [(p.sigma_w, p.sigma_b, p.depth, p.seed) for p in again.ask(4)] == points
