import numpy as np
import optuna
import pytest

from sweep.model import theory
from sweep.search.record import search_space
from sweep.search.study import SweepStudy
from sweep.search.sweep_sampler import SweepSampler
from sweep.spec.spec import SweepSpec
from tests.helpers.landscape import true_horizon


def measured(points, reach=3.0, train=None):
    """Rows of the made-up landscape."""
    rows = []
    for p in points:
        horizon = float(true_horizon(p.sigma_w, p.sigma_b))
        margin = float(np.log(2 * min(horizon, reach * p.depth) / p.depth))
        row = {name: getattr(p, name) for name in ("sigma_w", "sigma_b", "depth", "seed")}
        row |= {"status": "ok", "margin": margin, "margin_censored": horizon > reach * p.depth}
        if train is not None:
            row |= {"accuracy": 0.1 + 0.8 / (1 + np.exp(-8 * (margin - train))), "chance": 0.1}
        rows.append(row)
    return rows


def searched(spec, path, train=None, pack=4):
    study, rows = SweepStudy(spec, path, batch=pack), []
    while points := study.ask(pack):
        new = measured(points, train=train)
        study.tell(new)
        rows += new
    return study, rows


def test_the_depth_is_deep_enough_and_no_deeper(tmp_path):
    _, rows = searched(SweepSpec(points=48), tmp_path)
    late = rows[16:]
    assert sum(r["margin_censored"] for r in late) <= len(late) // 3
    assert np.median([r["depth"] for r in late]) < 25


@pytest.mark.parametrize(("aim", "least"), [("boundary", 0), ("ridge", 8)])
def test_the_ridge_needs_deeper_probes(tmp_path, aim, least):
    """It is 40 layers high: a probe of 14 sees it."""
    _, rows = searched(SweepSpec(points=40, depth=(4, 40), aim=aim), tmp_path)
    assert sum(r["depth"] >= 14 for r in rows[12:]) >= least


def test_a_dear_probe_is_made_less_deep():
    def depth(cost):
        spec = SweepSpec()
        study = optuna.create_study(sampler=SweepSampler(spec, search_space(spec), cost))
        return study.ask(search_space(spec)).params["depth"]

    assert depth(lambda d: d**4) < depth(lambda d: 1.0) == 60


@pytest.mark.parametrize("options", [{"architecture": "shrinking"}, {"statistic": "direct_retained"}])
def test_other_networks_and_statistics_are_searched_over_the_depth(tmp_path, options):
    _, rows = searched(SweepSpec(points=24, **options), tmp_path)
    assert len({r["depth"] for r in rows}) > 8


def test_a_sweep_that_trains_looks_for_the_true_boundary(tmp_path):
    """Networks train where the margin exceeds 0.8; the probe says 0."""
    _, rows = searched(SweepSpec(points=64, train="all", depth=(5, 60)), tmp_path, train=0.8)
    late = np.array([r["margin"] for r in rows[24:]])
    assert np.median(np.abs(late - 0.8)) < 0.5 * np.median(np.abs(late))


def test_points_in_doubt_are_to_be_trained_whatever_the_probe_says(tmp_path):
    spec = SweepSpec(points=40, train="boundary")
    study = SweepStudy(spec, tmp_path)
    asked, doubtful = [], set()
    while points := study.ask(4):
        asked += points
        doubtful |= {p for p in points if study.doubtful(p)}
        study.tell(measured(points, train=0.8))
    again = SweepStudy(spec, tmp_path)
    assert len(doubtful) > 20 and {p for p in asked if again.doubtful(p)} == doubtful
    (tmp_path / "no").mkdir()
    untrained = SweepStudy(SweepSpec(points=9), tmp_path / "no")
    assert not any(untrained.doubtful(p) for p in untrained.ask(9))


def test_the_sweep_stops_when_the_boundary_is_known(tmp_path):
    study, rows = searched(SweepSpec(points=400, until_boundary_error=0.02), tmp_path)
    assert study.stopped and 10 <= len(rows) < 200
    again = SweepStudy(SweepSpec(points=400, until_boundary_error=0.02), tmp_path, rows)
    assert again.stopped and again.ask(4) == []
    finer = SweepStudy(SweepSpec(points=400, until_boundary_error=0.001), tmp_path, rows)
    assert not finer.stopped and len(finer.ask(4)) == 4


@pytest.mark.parametrize("search", ["sobol", "random"])
def test_any_search_can_be_stopped(tmp_path, search):
    study, rows = searched(SweepSpec(points=400, until_boundary_error=0.05, search=search), tmp_path)
    assert study.stopped and len(rows) < 400


@pytest.mark.parametrize("options", [{"probe": "cascade"}, {}])
def test_where_nothing_but_bounds_is_seen_probes_go_deeper(tmp_path, options):
    """Everything is trainable, as far as anybody can see."""
    spec = SweepSpec(points=40, sigma_w=(1.0, 2.0), **options)
    study, rows = SweepStudy(spec, tmp_path), []
    while points := study.ask(4):
        new = [{**r, "margin": 1.8, "margin_censored": True} for r in measured(points)]
        study.tell(new)
        rows += new
    assert max(r["depth"] for r in rows) >= 40


def test_one_point_where_no_axis_is_free(tmp_path):
    spec = SweepSpec(points=1, sigma_w=(1, 1), sigma_b=(0, 0), depth=(5, 5))
    _, rows = searched(spec, tmp_path)
    assert len(rows) == 1


@pytest.mark.parametrize(
    "ranges",
    [
        {"sigma_w": (1, 1), "sigma_b": (0.1, 0.1), "points": 20},
        {"sigma_w": (1, 1)},
        {"sigma_b": (0, 0)},
        {"depth": (9, 9)},
        {"architecture": "shrinking"},
    ],
)
def test_theory_with_fixed_axes(tmp_path, ranges, monkeypatch):
    monkeypatch.setattr(theory, "_GRID_SIZE", 9)  # for speed
    _, rows = searched(SweepSpec(**{"points": 24, "prior": "theory", **ranges}), tmp_path)
    assert len(rows) >= 20


def test_a_sweep_that_trains_stops_by_what_is_known_of_the_truth(tmp_path):
    options = {"points": 60, "until_boundary_error": 0.005, "statistic": "direct_horizon"}
    study, rows = searched(SweepSpec(**options, train="all"), tmp_path, train=0.8)
    (tmp_path / "probe").mkdir()
    probe = SweepStudy(SweepSpec(**options), tmp_path / "probe", rows)
    assert probe.stopped and (not study.stopped or len(rows) > 30)


def test_outcomes_come_from_the_rows_not_from_an_older_journal(tmp_path):
    spec = SweepSpec(points=30, train="all")
    study = SweepStudy(spec, tmp_path)
    rows = []
    for _ in range(5):
        points = study.ask(4)
        study.tell(measured(points))  # as a version that did not note the accuracy
        rows += measured(points, train=0.8)
    again = SweepStudy(spec, tmp_path, rows)
    again.ask(1)
    truth = again._record.study.sampler._truth.level_set
    assert len(truth) == 20 and (truth._told.variances == 0).all()


def test_a_ridge_of_the_truth_is_refused():
    with pytest.raises(ValueError, match="`aim` must be boundary or both"):
        SweepSpec(train="all", aim="ridge")
