"""The report of sweeps with further axes, as data."""

import json
import math

import numpy as np
import pytest

from sweep.report import phase as phase_module
from sweep.report.content import content
from sweep.report.phase import line_data, phase_data, plane_data, slider_values
from sweep.report.sentence import sentence
from sweep.spec.spec import SweepSpec
from tests.helpers.landscape import made_up_sweep, trains_at

WIDTH, RATE = "width 16 256 log", "lr 0.001 1 log"
ONE_PLACE = {"sigma_b": (0.3, 0.3), "depth": (20, 20)}
NOTHING_ELSE = {"sigma_w": (1.3, 1.3), **ONE_PLACE}


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A sweep over width."""
    return made_up_sweep(tmp_path_factory.mktemp("wide") / "sweep", SweepSpec(points=100, axis=(WIDTH,)), count=100)


@pytest.fixture(scope="module")
def rates(tmp_path_factory):
    """A sweep over learning rates, some of which train nothing."""
    spec = SweepSpec(points=80, axis=(RATE,), train="all")
    return made_up_sweep(tmp_path_factory.mktemp("rates") / "sweep", spec, count=80, shift=0.0)


@pytest.fixture(scope="module", autouse=True)
def coarse():
    """Evaluate boundaries at few places: each takes its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phase_module, "_SLICE_SIGMA_B", 3)
        patch.setattr(phase_module, "_SLICE_DEPTHS", 3)
        patch.setattr("sweep.model.estimate._SIGMA_B_STEPS", 4)
        yield


@pytest.fixture
def few_values(monkeypatch):
    """Give a slider three values, or each of two of them two."""
    monkeypatch.setattr(phase_module, "_FURTHER_COUNTS", (3, 2))


def array(values):
    return np.array(values, dtype=float)


@pytest.mark.parametrize("fixed", [{}, {"sigma_b": (0.3, 0.3)}, ONE_PLACE, {"sigma_w": (1.3, 1.3)}, NOTHING_ELSE])
@pytest.mark.parametrize("axis", [(WIDTH,), (RATE,), (RATE, WIDTH)])
@pytest.mark.parametrize("count", [3, 24])
def test_any_sweep_has_a_report(make_sweep, few_values, fixed, axis, count):
    train = {"train": "all"} if RATE in axis else {}
    results = make_sweep(
        SweepSpec(points=24, axis=axis, **train, **fixed), count=count, failed=min(count, 2), shift=0.0
    )
    data = content(results)
    json.dumps(data, allow_nan=False)
    usual = 3 - len(fixed)
    assert (data["phase"] is not None) == (count == 24 and usual >= 2)
    assert (data["line"] is not None) == (count == 24 and usual + len(axis) == 1)
    assert len(data["planes"]) == min(len(axis), usual + len(axis) - 1)
    assert all((plane["margin"] is not None) == (count == 24) for plane in data["planes"])
    assert data["of_truth"] == (count == 24 and RATE in axis)


def test_a_slice_has_the_boundary_at_the_value_of_the_slider(wide, few_values):
    data = phase_data(wide)
    assert data["further"] == {"width": [16, 64, 256]} and len(data["slices"]) == 3
    assert not {"margin", "boundary"} & set(data)
    shown = []
    for width, at in zip(data["further"]["width"], data["slices"], strict=True):
        table = wide.boundary_at(data["depths"], {"width": width})
        for end in ("lower", "upper", "upper_95"):
            np.testing.assert_allclose(array(at["boundary"][end]).ravel(), table[end].to_numpy(), rtol=1e-4)
        line = table[table["depth"] == 60]
        for name, column in (("sigma_b", "sigma_b"), ("sigma_w", "critical"), ("lower", "critical_5")):
            np.testing.assert_allclose(array(at["critical"][name]), line[column], rtol=1e-4)
        place = {"sigma_w": data["sigma_w"][13], "sigma_b": data["sigma_b"][3], "depth": data["grid_depths"][0]}
        mean, _ = wide.phase.margin(**place, width=width)
        assert at["margin"][0][3][13] == pytest.approx(float(mean[0]), abs=1e-3)
        shown.append(array(at["boundary"]["lower"])[5])
    assert (shown[0] > shown[1] + 0.05).all() and (
        shown[1][1:] > shown[2][1:] + 0.05
    ).all()  # wider networks: a wider band


def test_the_slices_of_two_axes_stand_in_the_order_of_the_axes(make_sweep, few_values):
    spec = SweepSpec(points=40, axis=("residual_scale 0 1", WIDTH), architecture="resnet", **{"sigma_b": (0.3, 0.3)})
    results = make_sweep(spec, count=40)
    data = phase_data(results)
    assert data["further"] == {"residual_scale": [0, 1], "width": [16, 256]}
    table = results.boundary_at(data["depths"], {"residual_scale": 0, "width": 256})
    np.testing.assert_allclose(array(data["slices"][1]["boundary"]["lower"]).ravel(), table["lower"], rtol=1e-4)
    (first, second) = plane_data(results)
    assert (first["x"], first["y"], list(first["others"])) == ("sigma_w", "residual_scale", ["width", "depth"])
    assert (second["x"], second["y"], list(second["others"])) == ("sigma_w", "width", ["residual_scale", "depth"])


def test_a_slider_has_values_evenly_on_the_scale_of_its_axis():
    def values(*axes, **more):
        return slider_values(SweepSpec(axis=axes, **more))

    width = values("width 16 4096 log")["width"]
    assert len(width) == 9 and width[4] == 256 and set(np.diff(np.log2(width))) == {1}
    both = values("width 2 4", RATE, train="all")
    assert both["width"] == [2, 3, 4]
    np.testing.assert_allclose(both["lr"], np.geomspace(0.001, 1, 5))
    assert values("width 16 16") == {}


def test_without_a_free_further_axis_nothing_is_sliced(make_sweep):
    fixed, plain = (
        make_sweep(SweepSpec(points=30, axis=axis), count=30, folder=name)
        for name, axis in (("fixed", ("width 64 64",)), ("plain", ()))
    )
    assert list(phase_data(fixed)) == list(phase_data(plain))
    assert np.shape(phase_data(fixed)["margin"]) == (1, 4, 81) and plane_data(fixed) == plane_data(plain) == []


def test_a_plane_has_the_margin_at_the_values_of_its_sliders(wide):
    (plane,) = plane_data(wide)
    assert (plane["x"], plane["y"], list(plane["others"])) == ("sigma_w", "width", ["sigma_b", "depth"])
    assert np.shape(plane["margin"]) == (5, 1, 25, 33)  # one depth gives all
    np.testing.assert_allclose(plane["up"], [round(v) for v in np.geomspace(16, 256, 25)])
    at = {"sigma_b": plane["others"]["sigma_b"][2], "width": plane["up"][7], "sigma_w": plane["across"][9]}
    mean, _ = wide.phase.margin(**at, depth=60)
    assert plane["margin"][2][0][7][9] == pytest.approx(float(mean[0]), abs=1e-3)


def test_the_outcome_of_training_takes_the_place_of_the_margin(rates, few_values):
    data, (plane,) = content(rates), plane_data(rates)
    assert data["of_truth"] and not data["through_depth"] and data["log"] == ["lr"]
    depths, margins = data["phase"]["grid_depths"], array([s["margin"] for s in data["phase"]["slices"]])
    assert depths == data["phase"]["depths"] and margins.shape == (3, 3, 3, 41)
    assert margins[1].max() > 0.5 and margins[0].max() < margins[1].max() - 0.5  # nothing is trained by a rate of 0.001
    assert np.shape(plane["margin"]) == (5, 5, 25, 33)
    best = array(plane["margin"])[2, 0].max(1)  # over sigma_w, at each learning rate
    good = [trains_at(rate) for rate in plane["up"]]
    assert best[good].min() > best[np.logical_not(good)].mean()
    table = rates.phase.boundary(data["phase"]["depths"], {"lr": slider_values(rates.spec)["lr"][1]}, [0.05, 1.0])
    lower = array(data["phase"]["slices"][1]["boundary"]["lower"])[:, [0, -1]]
    np.testing.assert_allclose(lower.ravel(), table["lower"], rtol=1e-4)


def test_the_line_along_an_axis_is_on_its_scale(make_sweep):
    results = make_sweep(SweepSpec(points=24, axis=(WIDTH,), **NOTHING_ELSE), count=24)
    line = line_data(results)
    np.testing.assert_allclose(line["x"], np.geomspace(16, 256, 121), rtol=1e-4)
    mean, _ = results.phase.margin(width=np.array(line["x"]))
    np.testing.assert_allclose(line["mean"], mean, atol=1e-3)
    assert "level" not in line


def test_the_line_along_learning_rates_is_an_accuracy(make_sweep):
    spec = SweepSpec(points=24, axis=(RATE,), train="all", **NOTHING_ELSE)
    results = make_sweep(spec, count=24, shift=-10.0)
    line = line_data(results)
    assert line["level"] == results.level == pytest.approx(0.5)
    by_rate = dict(zip(line["x"], line["mean"], strict=True))
    for rate, accuracy in results.points.set_index("lr")["accuracy"].items():
        near = min(by_rate, key=lambda x: abs(math.log(x / rate)))
        assert by_rate[near] == pytest.approx(accuracy, abs=0.25)
    assert max(line["high"]) <= 0.9 and min(line["low"]) >= 0.1


def test_a_point_is_told_by_its_values_of_further_axes(make_sweep):
    spec = SweepSpec(points=6, axis=(RATE, "width 8 64"), train="boundary", dataset="noise")
    results = make_sweep(spec, count=6, failed=2)
    data = content(results)
    ends = {"lr": (0.001, 1), "width": (8, 64)}
    assert data["axes"] == {"sigma_w": (0.5, 2.5), "sigma_b": (0.05, 1), "depth": (5, 60), **ends}
    assert data["log"] == ["lr"] and data["middle"] == spec.further_at()
    assert data["points"]["lr"] == results.points["lr"].tolist()  # not rounded: it is a part of the command
    assert data["meaning"]["width"] == "value of the further axis width"
    ((_, count, example, _),) = data["failures"]["rows"]
    failed = results.points[results.points["status"] == "failed"]
    assert count == 2 and example == failed[["sigma_w", "sigma_b", "depth", "seed", "lr", "width"]].iloc[0].tolist()
    assert ["axis", "lr 0.001 1 log, width 8 64 int", False] in data["settings"]
    assert "--train boundary" in data["command"]  # without it there is no learning rate
    assert "--train" not in content(make_sweep(SweepSpec(points=3, train="all"), count=3, folder="other"))["command"]


def test_the_command_of_a_network_of_the_user_draws_no_pictures(make_sweep):
    data = content(make_sweep(SweepSpec(points=3, network="net.py:f", depth=(4, 8), axis=("skip 0 1",)), count=3))
    assert not data["pictures"] and "--probe both" in data["command"]  # its default is another one there
    assert content(make_sweep(count=3, folder="built-in"))["pictures"]


def test_the_sentence_says_where_on_further_axes(wide, rates):
    assert sentence(wide).startswith("At σ_b = 0.68 and width = 64 trainable networks may be deepest at σ_w = ")
    text = sentence(rates)
    assert text.startswith("At σ_b = 0.68 and lr = 0.03162 training succeeds best at σ_w = ")
    assert "expected to train" in text and "predicted" not in text
