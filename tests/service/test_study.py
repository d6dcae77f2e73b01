"""The sets of the study: networks that are measured again give what the files say."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from probes.prober import Prober
from sweep.measuring.settings import probe_settings, sweep_images
from sweep.spec.spec import SweepSpec
from tests.study import zero_cost
from tests.study.make import POINT, located
from tests.study.sets import FILES, STUDIES, point_of, studies_for
from tests.study.twice import STATISTIC, second_networks, twice_trained

DIRECT, CASCADE = {"direct_horizon", "direct_retained"}, {"cascade_correlation", "cascade_correlation_horizon"}


@pytest.fixture
def images_of(request):
    """Return a function that loads the images of a set; it skips the test where they are not on this machine."""

    def images_of(study):
        is_elsewhere = study.spec.dataset != "digits"
        folder = request.getfixturevalue("shared") / "data" if is_elsewhere else Path("data")
        return _images(SweepSpec(dataset=study.spec.dataset, resize=study.spec.resize), folder)

    return images_of


@pytest.fixture
def measure(images_of):
    """Return a function that measures rows of a set."""

    def measure(study, rows, **changes):
        settings = replace(probe_settings(study.spec), **{"probe": "direct", **changes})
        return Prober(images_of(study), settings).measure([point_of(row) for row in rows.itertuples()])

    return measure


@cache
def _images(spec, folder):
    return sweep_images(located(spec, folder))


def assert_same(rows, measurements, columns):
    """Assert that measurements agree with rows within 1e-3; of numbers above 1, such as horizons, relative to them.

    ``columns`` are those which have to be compared at least.
    """
    for row, found in zip(rows.itertuples(), measurements, strict=True):
        compared = [column for column in rows if column in found.values and column not in POINT]
        assert columns <= {*compared}
        for column in compared:
            assert found.values[column] == pytest.approx(getattr(row, column), rel=1e-3, abs=1e-3), (column, row)


def three_of(table):
    """Return three rows of a table: the shallowest network, one of medium depth, and one between them."""
    rows = table.sort_values("depth")
    return rows.iloc[[0, len(rows) // 4, len(rows) // 2]]


PROBED = [name for name in FILES if STUDIES[name].spec.probe != "cascade"]
DECODED = [name for name in FILES if "cascade_correlation" in STUDIES[name].read()]


@pytest.mark.parametrize("name", PROBED)
def test_probes_of_three_points_give_what_the_file_says(name, measure):
    study = STUDIES[name]
    rows = three_of(study.read())
    assert_same(rows, measure(study, rows, train="none"), DIRECT)


@pytest.mark.parametrize("study", twice_trained(), ids=lambda study: study.name)
def test_probes_of_three_second_networks_give_what_the_file_says(study, measure):
    rows = three_of(second_networks(study))
    assert_same(rows, measure(study, rows, train="none"), {STATISTIC})


@pytest.mark.parametrize("name", DECODED)
def test_the_cascade_of_a_point_gives_what_the_file_says(name, measure):
    study = STUDIES[name]
    rows = study.read().sort_values("depth").iloc[:1]
    found = measure(study, rows, probe="cascade", statistic="cascade_correlation_horizon", train="none")
    assert_same(rows, found, CASCADE)


@pytest.mark.parametrize("study", studies_for("evaluation"), ids=lambda study: study.name)
def test_zero_cost_scores_of_three_points_are_what_the_file_says(study, images_of):
    rows = three_of(study.read())
    found = zero_cost.measured(study, images_of(study), [point_of(row) for row in rows.itertuples()])
    for name, stored in zero_cost.read(study, rows).items():
        assert found[name].tolist() == pytest.approx(stored.tolist(), rel=1e-3, abs=1e-3), name


@pytest.mark.parametrize("name", PROBED)
def test_a_network_that_is_trained_again_comes_to_the_accuracy_of_the_file(name, measure):
    study = STUDIES[name]
    table = study.read()
    # Where gradients explode, or where training ends in the midst of the rise of the accuracy, rounding grows, and the
    # accuracy is another one on another processor.
    has_learnt = table["accuracy"] > 0.95 * table["accuracy"].max()
    rows = table[has_learnt & (table["gradient_ratio"].abs() < 1)].sort_values("depth").iloc[:1]
    assert len(rows) == 1
    assert_same(rows, measure(study, rows), DIRECT | {"accuracy"})


@pytest.mark.parametrize("study", twice_trained(), ids=lambda study: study.name)
def test_a_second_network_that_is_trained_again_comes_to_the_accuracy_of_the_file(study, measure):
    rows = second_networks(study).sort_values("depth").iloc[:1]
    assert_same(rows, measure(study, rows), {STATISTIC, "accuracy"})
