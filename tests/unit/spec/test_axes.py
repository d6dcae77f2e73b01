"""Further axes of a sweep: what they are as plain data, and which places they make up."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from sweep.errors import SpecError
from sweep.spec.axes import Axis, fixed_axes
from sweep.spec.design import budget, grid_axes, place_of, places, point_at, within
from sweep.spec.spec import SweepSpec

RESNET = {"architecture": "resnet", "axis": ("residual_scale 0.05 2 log",)}


def test_an_axis_has_one_form_however_it_is_written():
    spec = SweepSpec(axis=[("width", 16.0, 256, "log"), "lr  0.001 1  log"], train="all")
    assert spec.axis == ("lr 0.001 1 log", "width 16 256 log int")
    assert spec.axes["width"] == Axis("width", 16, 256, log=True, whole=True)
    assert spec.further_names == ["lr", "width"] and spec.free_axes[-2:] == ["lr", "width"]
    assert SweepSpec.from_json(spec.as_json(), "spec.json") == spec
    assert SweepSpec(axis=("width 64 64",)).free_axes == ["sigma_w", "sigma_b", "depth"]


def test_the_digest_depends_on_the_names_alone():
    plain, wide = SweepSpec(), SweepSpec(axis=("width 16 256",))
    assert plain.digest == "b8a89d601e416d2f"  # as before there were further axes
    assert wide.digest == SweepSpec(axis=("width 8 64 log",)).digest != plain.digest
    assert "axis" in json.loads(wide.as_json())


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"axis": ("lr 0.1 1",)}, "`axis` lr must be left out where no network is trained"),
        ({"axis": ("lr 0.1 1",), "train": "all", "lr": (0.1,)}, "`lr` must be left out where it is an axis"),
        ({"axis": ("width 8 16",), "width": 9}, "`axis` width must be left out where `width`"),
        ({"axis": ("width 8 16",), "widths": (9, 9)}, "`axis` width must be left out where `width`"),
        ({"axis": ("residual_scale 0 1",)}, "`axis` residual_scale must be left out with architecture 'mlp'"),
        ({"axis": ("heads 1 4",)}, "`axis` must be lr, width, residual_scale, or an argument of `network`"),
        ({"axis": ("a 1 4", "b 1 2", "c 1 2"), "network": "net.py:f"}, "at most 2 times, got 3"),
        ({"axis": ("a 1 4", "a 1 2"), "network": "net.py:f"}, "once for each name, got a twice"),
        ({"axis": ("shape 1 4",), "network": "net.py:f"}, "must not be named 'shape'"),
        ({"axis": ("margin 1 4",), "network": "net.py:f"}, "must not be named 'margin'"),
        ({"axis": ("a 1.5 4 int",), "network": "net.py:f"}, "`axis` a must be a whole number"),
        ({"axis": ("a 0 4 log",), "network": "net.py:f"}, "`axis` a must be above 0 on a log scale, got 0"),
        ({"axis": ("lr 1 2 int",), "train": "all"}, "`axis` lr must be left without int"),
        ({**RESNET, "axis": ("residual_scale 1 2 int",)}, "`axis` residual_scale must be left without int"),
        ({"axis": ("replica 1 2",), "network": "net.py:f"}, "must not be named 'replica'"),
        ({"axis": ("a 4 1",), "network": "net.py:f"}, "`axis` a must be LO HI with LO <= HI, got 4 1"),
        ({"axis": ("a nan 1",), "network": "net.py:f"}, "`axis` a must be a number"),
        ({"axis": ("a 1 2 exp",), "network": "net.py:f"}, "NAME LO HI"),
        ({"axis": (3,)}, "must be NAME LO HI"),
        ({"axis": "width 1 2"}, "must be a list"),
        (
            {"axis": ("width 8 9",), "sigma_w": (1, 1), "sigma_b": (0, 0), "depth": (5, 7), "points": 7},
            "`points` must be at most 6",
        ),
    ],
)
def test_what_means_nothing_is_refused(fields, says):
    with pytest.raises(SpecError, match="`") as told:
        SweepSpec(**fields)
    assert says in str(told.value)


@pytest.mark.parametrize("search", ["sobol", "random", "grid"])
def test_the_places_of_a_design_cover_the_axis_on_its_scale(search):
    spec = SweepSpec(**RESNET, search=search, points=125, depth=(5, 5))
    chosen = list(itertools.islice(places(spec), budget(spec)))
    assert len({*chosen}) == len(chosen) == budget(spec)
    scales = np.array([place[3] for place in chosen])
    assert all(within(spec, dict(zip(spec.axes, place, strict=True))) for place in chosen)
    assert 0.05 <= scales.min() < 0.1 and 1 < scales.max() <= 2
    assert np.median(scales) == pytest.approx(np.sqrt(0.05 * 2), rel=0.3)  # the middle on a log scale
    assert list(itertools.islice(places(replace(spec, points=200)), 20)) == chosen[:20] or search == "grid"


def test_a_grid_has_the_axis_as_a_side():
    spec = SweepSpec(axis=("width 4 64 log",), search="grid", points=81, depth=(3, 20))
    assert grid_axes(spec)["width"] == [4, 16, 64]
    finer = grid_axes(replace(spec, points=200))
    assert {*finer["width"]} >= {4, 16, 64} and all(isinstance(v, int) for v in finer["width"])


def test_whole_numbers_are_as_likely_as_each_other():
    axis = Axis("heads", 1, 4, whole=True)
    values = [axis.at(share) for share in np.linspace(0, 1, 4001)]
    assert [values.count(v) for v in (1, 2, 3, 4)] == [1000, 1000, 1000, 1001]
    assert all(isinstance(v, int) for v in values)


def test_a_place_is_that_of_its_row_and_of_its_point():
    spec = SweepSpec(axis=("width 4 64", "lr 0.1 1"), train="all")
    place = place_of(spec, {"width": 5.0, "lr": 0.5, "depth": 7, "sigma_w": 1, "sigma_b": 0.1})
    assert place == (1.0, 0.1, 7, 0.5, 5)
    assert point_at(spec, place, 3).extra == (("lr", 0.5), ("width", 5))


def test_a_place_has_only_axes_that_there_are():
    spec = SweepSpec(network="net.py:f", axis=("count 1 3", "self 0 1"))  # as parameters of methods may be named
    assert spec.place_at(sigma_w=1.0, count=2)["count"] == 2 and spec.further_at(self=0.2)["self"] == 0.2
    with pytest.raises(SpecError, match="'heads' must be an axis of the sweep, which are sigma_w, sigma_b, depth"):
        spec.place_at(heads=1)


def test_fixed_values_are_axes_of_one_value():
    spec = SweepSpec(network="net.py:f", axis=fixed_axes({"heads": 4.0, "scale": 0.5}))
    assert spec.middle_extra == (("heads", 4), ("scale", 0.5))
    assert SweepSpec(**{**RESNET, "axis": fixed_axes({"residual_scale": 1.0})}).middle_extra == (
        ("residual_scale", 1.0),
    )
