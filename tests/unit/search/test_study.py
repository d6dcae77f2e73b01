import pytest
from optuna.trial import TrialState

from sweep.search.journal import JOURNAL, open_study
from sweep.search.study import SweepStudy
from sweep.spec.design import place_of
from sweep.spec.spec import SweepSpec
from tests.helpers.study import drain, places, rows_of


@pytest.mark.parametrize("search", ["boundary", "sobol", "grid", "random", "tpe"])
def test_hands_out_exactly_the_budget_each_place_once(tmp_path, search):
    study = SweepStudy(SweepSpec(points=27, search=search), tmp_path)
    rows = drain(study)
    assert len(rows) == len(places(rows)) == 27
    assert study.ask(4) == []


@pytest.mark.parametrize("search", ["boundary", "sobol", "grid", "random", "tpe"])
def test_a_stopped_sweep_asks_for_exactly_what_is_missing(tmp_path, search):
    spec = SweepSpec(points=27, search=search)
    first = drain(SweepStudy(spec, tmp_path), lose={1, 3})
    again = SweepStudy(spec, tmp_path, first)
    second = drain(again)
    assert len(first) == 19 and len(second) == 8
    assert len(places(first + second)) == 27 and not places(first) & places(second)


@pytest.mark.parametrize("search", ["boundary", "sobol", "grid"])
def test_points_under_way_are_asked_for_again_not_replaced(tmp_path, search):
    spec = SweepSpec(points=20, search=search)
    study = SweepStudy(spec, tmp_path)
    rows = rows_of(study.ask(4))
    study.tell(rows)
    lost = study.ask(4)
    again = SweepStudy(spec, tmp_path, rows)
    assert again.ask(4) == lost


def test_rows_stored_but_not_told_are_not_measured_again(tmp_path):
    """Killed between writing the part and telling the study."""
    spec = SweepSpec(points=12)
    study = SweepStudy(spec, tmp_path)
    rows = rows_of(study.ask(4))
    again = SweepStudy(spec, tmp_path, rows)
    more = drain(again)
    assert len(more) == 8 and not places(rows) & places(more)


@pytest.mark.parametrize("damage", ["missing", "empty", "garbage", "half a line", "garbage inside"])
@pytest.mark.parametrize("search", ["boundary", "sobol", "grid"])
def test_the_study_is_rebuilt_from_the_rows(tmp_path, damage, search):
    spec = SweepSpec(points=27, search=search)
    rows = drain(SweepStudy(spec, tmp_path), lose={2, 3})
    path = tmp_path / JOURNAL
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        half = len(data) // 2
        path.write_bytes(
            {
                "empty": b"",
                "garbage": b"\xff" * 999,
                "half a line": data[:-10],
                "garbage inside": data[:half] + b"\x00{{\n" + data[half:],
            }[damage]
        )
    more = drain(SweepStudy(spec, tmp_path, rows))
    assert len(places(rows + more)) == len(rows + more) == 27


def test_a_stale_journal_lock_does_not_hold_anything_up(tmp_path):
    spec = SweepSpec(points=8)
    rows = drain(SweepStudy(spec, tmp_path), lose={1})
    (tmp_path / f"{JOURNAL}.lock").symlink_to(tmp_path / JOURNAL)
    assert len(drain(SweepStudy(spec, tmp_path, rows))) == 4


@pytest.mark.parametrize("search", ["boundary", "sobol", "grid", "random"])
def test_the_budget_can_be_raised(tmp_path, search):
    rows = drain(SweepStudy(SweepSpec(points=8, search=search), tmp_path))
    raised = SweepSpec(points=30, first_points=8, search=search)
    study = SweepStudy(raised, tmp_path, rows)
    every = rows + drain(study)
    expected = 27 if search == "grid" else 30  # 2 x 2 x 2 halved to 3 x 3 x 3
    assert len(every) == len(places(every)) == study.budget == expected


def test_replicas_stay_together_and_have_seeds_of_their_own(tmp_path):
    study = SweepStudy(SweepSpec(points=6, replicas=3, seed=10), tmp_path)
    points = study.ask(7)
    assert len(points) == 6 and len(places(rows_of(points))) == 2
    assert [p.seed for p in points] == list(range(10, 16))
    study.tell(rows_of(points))
    assert len(drain(study, pack=1)) == 12


def test_every_depth_of_a_line_is_found(tmp_path):
    spec = SweepSpec(points=12, sigma_w=(1.3, 1.3), sigma_b=(0.1, 0.1), depth=(5, 16))
    for i, search in enumerate(("boundary", "random", "sobol")):
        folder = tmp_path / str(i)
        folder.mkdir()
        rows = drain(SweepStudy(SweepSpec(**{**spec.__dict__, "search": search}), folder))
        assert {r["depth"] for r in rows} == set(range(5, 17)) and len(rows) == 12


def test_failed_points_are_not_asked_for_again(tmp_path):
    spec = SweepSpec(points=6)
    study = SweepStudy(spec, tmp_path)
    rows = rows_of(study.ask(6), margin=float("nan"), status="failed")
    study.tell(rows)
    assert study.ask(1) == [] and SweepStudy(spec, tmp_path, rows).ask(1) == []


@pytest.mark.parametrize("study", ["kept", "lost"])
@pytest.mark.parametrize("search", ["boundary", "sobol", "grid", "random", "tpe"])
def test_failed_points_are_measured_again_in_their_places_if_that_is_asked_for(tmp_path, search, study):
    spec = SweepSpec(points=27, search=search, replicas=2)
    first = SweepStudy(spec, tmp_path)
    points = first.ask(20)
    bad = [points[0], points[1], points[5]]  # a place with both of its networks, and one of another
    rows = rows_of([p for p in points if p not in bad])
    failed = rows_of(bad, margin=float("nan"), status="failed")
    first.tell(rows + failed)
    if study == "lost":
        (tmp_path / JOURNAL).unlink()
    again = SweepStudy(spec, tmp_path, rows, failed_rows=failed)
    assert sorted(again.ask(4)) == sorted(bad)
    again.tell(rows_of(bad))
    again.tell(rows_of(bad))  # twice
    rows += rows_of(bad) + drain(again)
    assert len(places(rows)) == 27 and len({r["seed"] for r in rows}) == 54
    SweepStudy(spec, tmp_path, rows)
    trials = open_study(spec, tmp_path).get_trials(states=[TrialState.COMPLETE])
    assert sorted(place_of(spec, t.params) for t in trials) == sorted(places(rows))


@pytest.mark.parametrize("search", ["boundary", "grid"])
def test_a_point_measured_again_whose_trial_never_heard_of_it_gets_one(tmp_path, search):
    """Killed between writing the part and telling the study."""
    spec = SweepSpec(points=8, search=search)
    first = SweepStudy(spec, tmp_path)
    points = first.ask(8)
    first.tell(rows_of(points, margin=float("nan"), status="failed"))
    for _ in range(2):
        SweepStudy(spec, tmp_path, rows_of(points))
        trials = open_study(spec, tmp_path).get_trials(states=[TrialState.COMPLETE])
        assert sorted(place_of(spec, t.params) for t in trials) == sorted(places(rows_of(points)))


@pytest.mark.parametrize("fail", [2, 13])
@pytest.mark.parametrize("depth", [(10, 10), (5, 60)])
def test_a_failed_point_neither_stalls_nor_repeats_the_search(tmp_path, fail, depth):
    study = SweepStudy(SweepSpec(points=24, depth=depth), tmp_path)
    rows = []
    while points := study.ask(1):
        bad = len(rows) == fail
        rows += (new := rows_of(points, margin=float("nan") if bad else None, status="failed" if bad else "ok"))
        study.tell(new)
    assert len({(r["sigma_w"], r["sigma_b"]) for r in rows}) == 24


@pytest.mark.parametrize("search", ["boundary", "random"])
def test_a_sweep_whose_every_point_fails_still_covers_the_plane(tmp_path, search):
    study = SweepStudy(SweepSpec(points=24, search=search), tmp_path)
    rows = []
    while points := study.ask(2):
        rows += (new := rows_of(points, margin=float("nan"), status="failed"))
        study.tell(new)
    assert len({(r["sigma_w"], r["sigma_b"]) for r in rows}) == 24


@pytest.mark.parametrize("search", ["boundary", "sobol", "grid", "random"])
def test_a_point_whose_part_was_lost_is_measured_again(tmp_path, search):
    spec = SweepSpec(points=12, search=search)
    rows = drain(SweepStudy(spec, tmp_path))
    kept = rows[:7]
    again = drain(SweepStudy(spec, tmp_path, kept))
    assert places(again) == places(rows[7:])


def test_a_grid_cell_whose_trial_was_never_completed_is_not_lost(tmp_path):
    """Killed between the creation of a trial and its parameters: the sampler counts the cell as visited."""
    spec = SweepSpec(points=27, search="grid")
    study = SweepStudy(spec, tmp_path)
    rows = rows_of(study.ask(9))
    study.tell(rows)
    for _ in range(3):
        open_study(spec, tmp_path).ask()
    assert len(places(rows + drain(SweepStudy(spec, tmp_path, rows)))) == 27


def test_a_resumed_random_search_draws_on(tmp_path):
    rows = []
    for points in range(8, 49, 8):
        rows += drain(SweepStudy(SweepSpec(points=points, first_points=8, search="random"), tmp_path, rows))
    assert len({(r["sigma_w"], r["sigma_b"]) for r in rows}) == 48


def test_replicas_whose_part_was_lost_are_measured_again_with_or_without_a_study(tmp_path):
    """Those of a place may stand in several parts."""
    spec = SweepSpec(points=3, replicas=3, search="sobol")
    study = SweepStudy(spec, tmp_path)
    points = study.ask(9)
    study.tell(rows_of(points))
    lost = points[4]
    kept = rows_of([p for p in points if p != lost])
    assert SweepStudy(spec, tmp_path, kept).ask(9) == [lost]
    (tmp_path / JOURNAL).unlink()
    (again,) = SweepStudy(spec, tmp_path, kept).ask(9)
    assert (again.sigma_w, again.depth) == (lost.sigma_w, lost.depth)
    assert again not in points or again == lost
