"""Whether networks with other weights carry deeper for certain, by made-up pairs of margins."""

import pytest

from probes import Custom, Point, ProbeSettings
from probes.point import Measurement
from sweep.advice.weights import drawn_with, is_better


def measured(margin, *, censored=False, status="ok"):
    values = {} if status == "failed" else {"margin": margin, "margin_censored": censored}
    return Measurement(Point(1.0, 0.0, 10, 0), status, values=values)


def pairs(ones, others, **more):
    return [(measured(one, **more), measured(other)) for one, other in zip(ones, others, strict=True)]


def test_a_rival_is_better_whose_margins_are_larger_in_all_pairs_by_about_as_much():
    assert is_better(pairs((0.1, 0.5, -0.2, 0.3), (0.3, 0.8, 0.1, 0.5)))
    assert not is_better(pairs((0.3, 0.8, 0.1, 0.5), (0.1, 0.5, -0.2, 0.3)))


def test_a_rival_that_is_better_on_average_but_not_for_certain_is_not():
    ones, others = (0.1, 0.5, -0.2, 0.3), (0.5, 0.4, 0.1, 0.3)  # by 0.15, with an error of 0.12
    assert not is_better(pairs(ones, others))
    assert is_better(pairs(4 * ones, 4 * others))  # as certain as more pairs make it


def test_a_margin_that_is_only_a_lower_bound_is_not_exceeded_for_certain():
    assert is_better(pairs((0.1, 0.2), (0.5, 0.6)))
    assert not is_better(pairs((0.1, 0.2), (0.5, 0.6), censored=True))


@pytest.mark.parametrize("left", [0, 1])
def test_failed_networks_say_nothing(left):
    known = pairs((0.1, 0.2)[:left], (0.5, 0.6)[:left])
    assert not is_better(
        [*known, (measured(0, status="failed"), measured(1)), (measured(0), measured(1, status="failed"))]
    )


def test_networks_of_both_kinds_are_drawn_with_other_weights():
    assert drawn_with(ProbeSettings("direct"), "orthogonal").initialise == "orthogonal"
    own = ProbeSettings("direct", network=Custom(lambda depth: None, initialise="orthogonal"))
    assert drawn_with(own, "normal").network.initialise == "normal"
