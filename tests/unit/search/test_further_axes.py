"""The search over further axes, in all its kinds."""

import numpy as np
import pytest

from sweep.search.study import SweepStudy
from sweep.spec.design import within
from sweep.spec.spec import SweepSpec
from tests.helpers.landscape import made_up, trains_at
from tests.helpers.study import drain, places, rows_of

AXES = ("residual_scale 0.01 1 log", "width 8 64 int")
SPACE = {"architecture": "resnet", "axis": AXES, "depth": (3, 20)}


@pytest.mark.parametrize("search", ["boundary", "sobol", "grid", "random", "tpe"])
def test_a_stopped_sweep_goes_on_with_what_is_missing(tmp_path, search):
    spec = SweepSpec(**SPACE, points=40, search=search)
    first = drain(SweepStudy(spec, tmp_path), lose={1, 3})
    again = SweepStudy(spec, tmp_path, first)
    second = drain(again)
    rows = first + second
    assert len(places(rows)) == len(rows) == again.budget and not places(first) & places(second)
    assert all(within(spec, row) for row in rows)
    assert all(isinstance(row["width"], int) and isinstance(row["residual_scale"], float) for row in rows)
    assert len({row["width"] for row in rows}) > 1 and np.ptp([np.log(row["residual_scale"]) for row in rows]) > 1
    assert len({row["seed"] for row in rows}) == len(rows)


def test_a_lost_study_is_made_anew_from_the_rows(tmp_path):
    spec = SweepSpec(**SPACE, points=20)
    study = SweepStudy(spec, tmp_path / "a")
    rows = rows_of(study.ask(12))
    (tmp_path / "b").mkdir()
    rest = drain(SweepStudy(spec, tmp_path / "b", rows))
    assert len(places(rows + rest)) == 20


@pytest.mark.parametrize("search", ["boundary", "random"])
def test_whole_numbers_alone_are_all_asked_for(tmp_path, search):
    spec = SweepSpec(
        axis=("width 2 5",), sigma_w=(1.2, 1.2), sigma_b=(0.1, 0.1), depth=(4, 9), points=24, search=search
    )
    rows = drain(SweepStudy(spec, tmp_path), pack=3)
    assert {(row["depth"], row["width"]) for row in rows} == {(d, w) for d in range(4, 10) for w in range(2, 6)}


def searched(spec, tmp_path, trains=None):
    """Return the points that a search asks for on the made-up landscape."""
    study, points = SweepStudy(spec, tmp_path), []
    while new := study.ask(6):
        for point in new:
            values = made_up(point, cap=3).values
            row = {**rows_of([point])[0], "margin": values["margin"], "margin_censored": values["margin_censored"]}
            if trains is not None:
                row |= {"accuracy": 0.9 if trains(point, values["margin"]) else 0.1, "chance": 0.1}
            study.tell([row])
        points += new
    return points


def test_the_boundary_is_searched_along_a_further_axis(tmp_path):
    spec = SweepSpec(
        axis=("width 4 1024 log",), sigma_w=(1.3, 1.3), sigma_b=(0.3, 0.3), depth=(20, 20), points=30, probe="direct"
    )
    widths = np.array([dict(p.extra)["width"] for p in searched(spec, tmp_path)])
    # The ridge is 40 sqrt(width / 64) layers high, and networks of 20 layers are on it but for a factor of 0.99.
    near = np.abs(np.log(widths / 16.4)) < np.log(2)
    assert near.mean() > 0.4  # a quarter of the range


def test_a_learning_rate_is_searched_by_the_truth(tmp_path):
    spec = SweepSpec(
        axis=("lr 0.0001 10 log",),
        train="all",
        sigma_w=(1.3, 1.3),
        sigma_b=(0.3, 0.3),
        depth=(10, 10),
        points=40,
        probe="direct",
    )
    points = searched(spec, tmp_path, lambda point, margin: margin > 0 and trains_at(dict(point.extra)["lr"]))
    rates = np.log10([dict(p.extra)["lr"] for p in points])
    near = np.minimum(abs(rates - np.log10(0.01)), abs(rates - np.log10(0.3))) < 0.5
    assert near.mean() > 0.6  # 0.4 of the range
