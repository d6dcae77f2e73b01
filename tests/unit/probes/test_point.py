import math

import pytest

from probes import Point


@pytest.mark.parametrize(
    "bad",
    [
        {"sigma_w": 0.0},
        {"sigma_w": -1.0},
        {"sigma_w": math.nan},
        {"sigma_w": math.inf},
        {"sigma_b": -0.1},
        {"sigma_b": math.nan},
        {"depth": 0},
        {"depth": 10**6},
        {"seed": -1},
        {"seed": 2**60},
    ],
)
def test_refuses_what_is_out_of_range(bad):
    with pytest.raises(ValueError, match=f"`{next(iter(bad))}` must be"):
        Point(**{"sigma_w": 1.0, "sigma_b": 0.1, "depth": 5, "seed": 0, **bad})


def test_is_hashable_and_ordered():
    a, b = Point(1.0, 0.1, 5, 0), Point(1.0, 0.1, 5, 1)
    assert a < b and len({a, b, Point(1.0, 0.1, 5, 0)}) == 2
