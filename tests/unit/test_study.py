"""The sets of the study: their files hold the points of their declarations.

`tests/service/test_study.py` measures some of them again.
"""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.study import initialisations
from tests.study.calibrate import Outcomes, chosen, prior_from
from tests.study.endings import CANDIDATES, CHOSEN, SELECTION, Endings, auto, curves, endings, of_candidate
from tests.study.make import POINT, TRUTH, arranged
from tests.study.sets import FILES, PURPOSES, STUDIES, hard_half, point_of, studies_for, trained
from tests.study.twice import SEED_STEP, Pairs, overlap_of_truths, pairs_of, second_networks, twice_trained


def test_every_file_is_declared_and_of_a_purpose():
    folder = STUDIES["mnist"].file.parent
    assert {path.stem for path in folder.rglob("*.csv")} == {*FILES}
    assert {study.purpose for study in STUDIES.values()} == {*PURPOSES}


def test_no_network_is_in_two_sets_for_selection_or_evaluation():
    seeds = [point.seed for study in STUDIES.values() if study.purpose != "cascade" for point in study.points]
    seeds += [seed for study in twice_trained() for seed in second_networks(study)["seed"]]
    assert len(set(seeds)) == len(seeds) > 1000


def test_networks_of_a_set_for_cascades_are_of_one_for_evaluation():
    evaluated = pd.concat([study.read()[[*POINT, *TRUTH]] for study in studies_for("evaluation")])
    for study in studies_for("cascade"):
        table = study.read()
        assert len(table.merge(evaluated)) == len(table) == study.spec.points  # with the same truth


@pytest.mark.parametrize("name", FILES)
def test_points_are_those_of_the_design_to_the_last_bit(name):
    points = [point_of(row) for row in STUDIES[name].read().itertuples()]
    assert points == sorted(STUDIES[name].points, key=lambda p: p.sigma_w)


@pytest.mark.parametrize("name", FILES)
def test_every_network_was_probed_and_trained(name):
    table = STUDIES[name].read()
    horizon = "direct_horizon" if STUDIES[name].spec.probe != "cascade" else "cascade_correlation_horizon"
    assert table[[*TRUTH, horizon, "gradient_horizon"]].notna().to_numpy().all()
    assert list(table) == list(arranged(table))


@pytest.mark.parametrize("name", SELECTION)
def test_a_set_for_selection_has_enough_networks_of_both_outcomes(name):
    outcomes = trained(STUDIES[name].read())
    assert len(outcomes) >= 100 and 0.25 <= outcomes.mean() <= 0.75


def made_up_outcomes(shift, slope, seed, count=100):
    random = np.random.default_rng(seed)
    margin = random.uniform(-2, 2, count)
    trained_ones = random.uniform(size=count) < 1 / (1 + np.exp(-slope * (margin - shift)))
    return Outcomes("x", "x", margin, trained_ones, (-0.3, 0.5))


def test_the_prior_of_a_calibration_is_found_from_sets():
    random = np.random.default_rng(0)
    sets = [
        made_up_outcomes(random.normal(0.0, 0.4), 4 * np.exp(random.normal(0, 0.4)), seed, 150) for seed in range(20)
    ]
    prior, mean = prior_from(sets)
    assert prior.shift_deviation == pytest.approx(0.4, rel=0.3) and abs(mean) < 0.2
    assert prior.slope == pytest.approx(4, rel=0.2) and prior.slope_deviation == pytest.approx(0.4, rel=0.5)
    scaled, _ = prior_from([replace(each, margin=each.margin / 20) for each in sets], 20)
    assert scaled.shift_deviation == pytest.approx(prior.shift_deviation / 20)
    assert scaled.slope == pytest.approx(20 * prior.slope)


def test_networks_to_train_are_uncertain_ones_and_an_anchor_on_either_side():
    each = made_up_outcomes(0, 4, 0)
    some = chosen(each, 3)
    margin = each.margin[some]
    assert len({*some}) == len(some) == 12 and margin[0] <= -0.3 and margin[1] >= 0.5
    assert ((margin[2:] > -0.3) & (margin[2:] < 0.5)).all()
    few = chosen(replace(each, margin=each.margin * 10), 3)  # hardly any is uncertain
    assert len({*few}) == 12 and np.abs(10 * each.margin[few[2:]]).max() < 4
    assert (chosen(each, 4) != some).any() and (chosen(each, 3) == some).all()


@pytest.mark.parametrize("name", SELECTION)
def test_curves_are_those_of_the_networks_trained_to_the_end(name):
    table, whole = STUDIES[name].read().set_index("seed"), curves(name)
    assert {*whole} == {*table.index}
    for seed, (accuracy, loss) in whole.items():
        assert len(accuracy) == table["train_epochs"][seed]
        assert max(accuracy) == pytest.approx(table["accuracy"][seed], abs=1e-6)
        assert len(loss) == max(len(one) for _, one in whole.values()) or math.isinf(loss[-1])


def test_patience_auto_runs_half_of_the_hopeless_epochs_and_changes_next_to_no_outcome():
    found = {name: endings(name, auto) for name in SELECTION}
    whole = sum(found.values(), Endings())
    assert whole.networks == sum(len(curves(name)) for name in SELECTION) > 400
    assert whole.share <= 0.5 and whole.changed <= 3 * whole.networks / 600
    assert found == {name: of_candidate(name, *CHOSEN) for name in SELECTION} and CHOSEN in CANDIDATES


def test_ending_all_at_once_or_none_is_counted_as_such():
    never, at_once = (endings("wide", lambda *curves, of=over: of) for over in (False, True))
    assert (never.share, never.changed) == (1, 0)
    assert at_once.run == (~trained(STUDIES["wide"].read())).sum() and at_once.changed > 20


TWICE = [study.name for study in twice_trained()]


@pytest.mark.parametrize("name", TWICE)
def test_second_networks_stand_where_those_of_the_hard_half_do(name):
    study = STUDIES[name]
    points, again = study.read(), second_networks(study)
    hard = points.iloc[hard_half(study, points)]
    first = [replace(point_of(row), seed=row.seed - SEED_STEP) for row in again.itertuples()]
    assert {*first} == {point_of(row) for row in hard.itertuples()} and len({*first}) == len(first)
    assert again.notna().to_numpy().all()


def test_two_networks_at_a_place_are_compared():
    outcomes = np.array([[True, True, True, False, False], [True, True, False, True, False]])
    margins = np.array([[0.5, -0.1, 0.2, 0.1, -0.4], [0.5, 0.1, 0.1, 0.0, 0.4]])
    pairs = Pairs(outcomes, margins)
    assert pairs.alike == pytest.approx(3 / 5) and pairs.ceiling == pytest.approx(8 / 10)
    assert pairs.right == pytest.approx((3 / 5, 3 / 5))
    assert pairs.told_apart == (1, 2)  # of the third and the fourth place, the third
    assert pairs.errors == (2, 4)
    both = Pairs.together([pairs, Pairs(outcomes[:, :2], margins[:, :2])])
    assert both.alike == pytest.approx(5 / 7) and both.told_apart == pairs.told_apart


def test_the_ceiling_is_what_the_best_answers_by_place_reach_about_both_networks():
    outcomes = np.random.default_rng(0).uniform(size=(2, 50)) < 0.4
    best = np.maximum(outcomes.mean(0), 1 - outcomes.mean(0)).mean()
    assert Pairs(outcomes, np.zeros((2, 50))).ceiling == pytest.approx(best)


def test_a_truth_overlaps_with_itself_and_less_with_one_that_differs(monkeypatch):
    study = STUDIES["slim"]
    points = study.read()
    same = points.iloc[hard_half(study, points)].assign(seed=lambda table: table["seed"] + SEED_STEP)
    monkeypatch.setattr("tests.study.twice.second_networks", lambda study: same)
    assert (overlap_of_truths(study) == 1).all() and pairs_of(study).alike == 1
    same["accuracy"] = same["accuracy"].max()
    assert overlap_of_truths(study).max() < 0.95 and 0.3 < pairs_of(study).alike < 0.7


@pytest.mark.parametrize("name", initialisations.CASES)
def test_every_initialisation_of_a_case_was_trained_at_each_depth(name):
    case, table = initialisations.CASES[name], initialisations.read(name)
    theory = [each for each in initialisations.INITIALISATIONS if case.theory or not each.startswith("mean field")]
    places = {(each, depth, seed) for each in theory for depth in case.depths for seed in range(initialisations.SEEDS)}
    assert {*table[["initialisation", "depth", "seed"]].itertuples(index=False, name=None)} == places
    assert len(table) == len(places) and table[["accuracy", "chance"]].notna().to_numpy().all()
    drawn = table["initialisation"].str.contains("advice|mean field")
    assert (table[["weights", "sigma_w", "sigma_b"]].notna().to_numpy() == drawn.to_numpy()[:, None]).all()


def test_an_initialisation_reaches_the_deepest_depth_at_which_it_trains_on_average():
    accuracies = {"advice": (0.9, 0.5, 0.1), initialisations.DEFAULT: (0.4, 0.1, 0.1), "LSUV": (0.4, 0.7, 0.5)}
    rows = [
        {"initialisation": name, "depth": depth, "accuracy": value + change, "chance": 0.1}
        for name, values in accuracies.items()
        for depth, value in zip((10, 30, 90), values, strict=True)
        for change in (-0.05, 0.05)  # of two seeds
    ]
    reached = initialisations.reached(pd.DataFrame(rows))  # the level is 0.525
    assert reached == {"advice": 10, initialisations.DEFAULT: 0, "LSUV": 30}
