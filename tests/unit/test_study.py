"""The sets of the study: their files hold the points of their declarations.

`tests/service/test_study.py` measures some of them again.
"""

import pytest

from tests.study.make import TRUTH, arranged
from tests.study.sets import FILES, PURPOSES, STUDIES, point_of, trained


def test_every_file_is_declared_and_of_a_purpose():
    folder = STUDIES["mnist"].file.parent
    assert {path.stem for path in folder.rglob("*.csv")} == {*FILES}
    assert {study.purpose for study in STUDIES.values()} == {*PURPOSES}


def test_no_network_is_in_two_sets():
    seeds = [point.seed for study in STUDIES.values() for point in study.points]
    assert len(set(seeds)) == len(seeds) > 1000


@pytest.mark.parametrize("name", FILES)
def test_points_are_those_of_the_design_to_the_last_bit(name):
    points = [point_of(row) for row in STUDIES[name].read().itertuples()]
    assert points == sorted(STUDIES[name].points, key=lambda p: p.sigma_w)


@pytest.mark.parametrize("name", FILES)
def test_every_network_was_probed_and_trained(name):
    table = STUDIES[name].read()
    assert table[[*TRUTH, "direct_horizon", "direct_retained"]].notna().to_numpy().all()
    assert list(table) == list(arranged(table))


@pytest.mark.parametrize("name", [name for name in FILES if STUDIES[name].purpose == "selection"])
def test_a_set_for_selection_has_enough_networks_of_both_outcomes(name):
    outcomes = trained(STUDIES[name].read())
    assert len(outcomes) >= 100 and 0.25 <= outcomes.mean() <= 0.75
