"""The phase diagram over any two axes."""

import numpy as np
import pytest
from matplotlib.collections import PathCollection, QuadMesh

from sweep.analysis.difference import diff
from sweep.errors import SpecError
from sweep.plots.difference import difference_figure
from sweep.plots.kinds import figure
from sweep.spec.spec import SweepSpec
from tests.helpers.landscape import made_up_sweep, true_horizon

WIDE = SweepSpec(points=120, axis=("width 16 256 log",), depth=(5, 60))


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    return made_up_sweep(tmp_path_factory.mktemp("planes") / "wide", WIDE, count=120)


@pytest.fixture(scope="module")
def rates(tmp_path_factory):
    spec = SweepSpec(
        points=80, axis=("lr 0.001 3 log",), train="all", depth=(10, 10), sigma_b=(0.3, 0.3), probe="direct"
    )
    return made_up_sweep(tmp_path_factory.mktemp("planes") / "rates", spec, count=80, shift=0.0)


def marks(ax):
    return sum(len(c.get_offsets()) for c in ax.collections if isinstance(c, PathCollection))


def values_at(ax, x, y):
    """Return the value that is drawn as colour nearest to a place."""
    (mesh,) = (c for c in ax.collections if isinstance(c, QuadMesh))
    corners = mesh.get_coordinates()
    apart = [np.abs(np.log(corners[..., i] / v)) for i, v in enumerate((x, y))]
    i, j = np.unravel_index(np.argmin(apart[0] + apart[1]), corners.shape[:2])
    return float(np.asarray(mesh.get_array()).reshape(corners.shape[:2])[i, j])


@pytest.mark.parametrize(
    ("plane", "at"),
    [
        (("width", "sigma_w"), {}),
        (("sigma_w", "width"), {"sigma_b": 0.3}),
        (("width", "depth"), {}),
        (("depth", "sigma_b"), {"at": {"width": 100}}),
        (("sigma_w", "depth"), {"at": {"width": 20}}),
        (("sigma_w", None), {"at": {"width": 20}, "depth": 20}),
        ((None, "width"), {"depth": 9}),
    ],
)
def test_any_two_axes(wide, plane, at):
    x, y = (axis or default for axis, default in zip(plane, ("sigma_w", "sigma_b"), strict=True))
    ax = figure(wide, "phase", plane=plane, **at).axes[0]
    assert [ax.get_xscale(), ax.get_yscale()] == ["log" if axis == "width" else "linear" for axis in (x, y)]
    assert ax.get_xlim() == WIDE.range_of(x) and ax.get_ylim() == WIDE.range_of(y)
    assert 0 < marks(ax) <= 120
    cut = {**({"depth": at["depth"]} if "depth" in at else {}), **at.get("at", {})}
    assert all(f"{name} = {value}" in ax.get_title("left") for name, value in cut.items())


def test_the_colour_is_the_margin_there(wide):
    ax = figure(wide, "phase", plane=("width", "sigma_w"), sigma_b=0.3, depth=20).axes[0]
    for width, sigma_w in ((30, 1.3), (100, 1.0), (200, 2.0)):
        expected = np.log(np.sqrt(width / 64) * true_horizon(sigma_w, 0.3) / 20)
        assert values_at(ax, width, sigma_w) == pytest.approx(expected, abs=0.15)


def test_only_points_near_the_plane_are_marked(wide):
    near = figure(wide, "phase", at={"width": 64}).axes[0]
    distance = np.abs(np.log(wide.points["width"] / 64)) <= np.log(16) / 8
    assert marks(near) == distance.sum() < 120


def test_over_learning_rates_colour_and_marks_are_of_the_truth(rates):
    ax = figure(rates, "phase", plane=("lr", "sigma_w")).axes[0]
    assert values_at(ax, 0.05, 1.3) > 0 > max(values_at(ax, 0.0015, 1.3), values_at(ax, 2.5, 1.3))
    assert marks(ax) == 80 and {t.get_text() for t in ax.figure.legends[0].texts} >= {"trained", "not trained"}
    assert "outcome of training" in ax.figure.axes[1].get_ylabel()
    assert figure(rates, "truth").axes[0].get_ylabel() == "learning rate"


def test_over_the_sigmas_marks_are_of_the_truth_where_rates_are_searched(make_sweep):
    spec = SweepSpec(points=60, axis=("lr 0.001 3 log",), train="all", depth=(10, 10), probe="direct")
    ax = figure(make_sweep(spec, count=60, shift=0.0), "phase").axes[0]
    assert "trained" in {t.get_text() for t in ax.figure.legends[0].texts}
    assert ax.figure.axes[1].get_ylabel() == "outcome at depth 10"


def test_a_title_says_where_a_plane_cuts_and_nothing_else(wide, make_sweep):
    assert "width = 64" in figure(wide, "phase").axes[0].get_title("left")
    assert figure(make_sweep(count=40), "phase", depth=10).axes[0].get_title("left") == ""


def test_the_boundaries_of_two_sweeps_are_those_that_are_compared(wide):
    difference = diff(wide, wide, depths=[20])
    assert difference.further == {"width": 64}
    (panel,) = difference_figure(wide, wide, difference).axes
    assert len(panel.lines[0].get_xdata()) == 20  # a line for one width


def test_one_free_axis_on_a_log_scale(make_sweep):
    spec = SweepSpec(
        points=30, axis=("width 16 256 log",), sigma_w=(1.2, 1.2), sigma_b=(0.3, 0.3), depth=(20, 20), probe="direct"
    )
    ax = figure(make_sweep(spec, count=30), "phase").axes[0]
    assert ax.get_xscale() == "log" and ax.get_xlabel() == "width (hidden layers)"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"plane": ("heads", None)},
            "`x` must be a free axis of the sweep (sigma_w, sigma_b, depth, width), got 'heads'",
        ),
        ({"plane": ("width", "width")}, "`y` must be another free axis"),
        ({"plane": ("width", "sigma_w"), "at": {"width": 20}}, "`at` must be left out where width is an axis"),
        ({"plane": ("width", "depth"), "depth": 20}, "`depth` must be left out where depth is an axis"),
        ({"sigma_b": 0.3}, "`sigma_b` must be left out where sigma_b is an axis"),
        ({"at": {"width": 2}}, "`at` width must be from 16 to 256"),
        ({"at": {"lr": 2}}, "`at` must name a further axis of the sweep (width), got 'lr'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(wide, options, says):
    with pytest.raises(SpecError) as told:
        figure(wide, "phase", **options)
    assert says in str(told.value)


@pytest.mark.parametrize("kind", ["roc", "history", "cascade"])
def test_kinds_without_planes_refuse_them(wide, kind):
    for options in ({"plane": ("width", None)}, {"at": {"width": 64}}):
        with pytest.raises(SpecError, match=f"must be left out with kind '{kind}'"):
            figure(wide, kind, **options)


@pytest.mark.parametrize("kind", ["depth", "profiles", "paper"])
def test_other_figures_have_a_place_on_the_axis(wide, kind):
    assert figure(wide, kind, at={"width": 100}).axes
