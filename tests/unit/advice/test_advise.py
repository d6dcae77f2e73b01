"""Advice for networks of the user and built-in ones: from a few real probes of small networks."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import probes
import sweep
from probes.custom.redrawing import sigmas
from sweep.errors import SpecError

FEW = {"points": 12, "images": 128}


def mlp(depth, shape, classes, activation=nn.Tanh, width=32):
    pixels = math.prod(shape)
    hidden = [nn.Sequential(nn.Linear(width if i else pixels, width), activation()) for i in range(depth)]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(width, classes)), hidden


def shallow(shape, classes):
    return mlp(3, shape, classes)[0]


def drawn(sigma_w, sigma_b, depth, shape, classes):
    module, hidden = mlp(depth, shape, classes)
    return probes.initialise(module, sigma_w, sigma_b), hidden


@pytest.fixture(scope="module")
def own(digits):
    return sweep.advise(mlp, depth=40, data=digits, module=__name__, images=128)


@pytest.fixture(scope="module")
def built_in(digits):
    return sweep.advise(depth=40, width=32, data=digits, images=128)


def test_the_advice_for_a_deep_tanh_network_is_inside_the_band_and_torchs_default_outside(own):
    assert own.range == "band" and own.depth == 40
    assert 0.8 < own.lower < own.sigma_w < own.upper < 2 and 0 <= own.sigma_b < 0.3
    assert 1 < own.sigma_w < 1.5 and own.score.trainable and own.score.p_trainable > 0.8
    assert own.score.carries > 50
    assert not own.default.trainable and own.default.p_trainable < 0.05 and own.default.carries < 15  # ordered
    assert own.default_sigmas.sigma_w == pytest.approx([1 / math.sqrt(3)] * 41, rel=0.1)
    assert own.default_sigmas.sigma_b[20] == pytest.approx(1 / math.sqrt(3 * 32), rel=0.4)


def test_a_network_of_the_user_and_the_built_in_one_get_the_same_advice(own, built_in):
    assert built_in.sigma_w == pytest.approx(own.sigma_w, rel=0.1)
    assert built_in.sigma_b == pytest.approx(own.sigma_b, abs=0.15)
    assert (built_in.lower, built_in.upper) == pytest.approx((own.lower, own.upper), rel=0.15)
    assert np.median(built_in.default_sigmas.sigma_w) == pytest.approx(np.median(own.default_sigmas.sigma_w), rel=0.05)
    assert built_in.default.margin == pytest.approx(own.default.margin, abs=0.3)


def test_the_same_question_has_the_same_answer(digits):
    one, other, more = (sweep.advise(shallow, data=digits, layers="[123]", seed=s, **FEW) for s in (0, 0, 100))
    assert one.as_dict() == other.as_dict() != more.as_dict()


def test_the_lines_of_code_apply_the_advice(own):
    scope = {}
    exec(own.code, scope)
    assert len(own.code.splitlines()) == 3
    found, biases = sigmas(scope["model"])
    assert np.mean(found[1:-1]) == pytest.approx(own.sigma_w, rel=0.02)
    assert np.mean(biases) == pytest.approx(own.sigma_b, abs=0.02)
    assert scope["model"](torch.rand(2, 8, 8)).shape == (2, 10)


def test_the_lines_of_code_for_built_in_networks_apply_it_to_any_module(built_in):
    model = nn.Linear(300, 300)
    exec(built_in.code, {"model": model})
    assert sigmas(model)[0] == pytest.approx([built_in.sigma_w], rel=0.02)


def test_a_function_that_takes_the_sigmas_draws_its_own_weights(digits):
    found = sweep.advise(drawn, depth=4, data=digits, module=__name__, **FEW)
    scope = {}
    exec(found.code, scope)
    assert "initialise" not in found.code and found.initialise == "function" and found.rival is None
    assert np.mean(sigmas(scope["model"])[0][1:-1]) == pytest.approx(found.sigma_w, rel=0.05)
    assert found.default_sigmas.sigma_w[1] == pytest.approx(1 / math.sqrt(3), rel=0.1)  # reset to torch's default


def test_weights_are_orthogonal_beside_normal_ones_unless_their_distribution_is_given(own, built_in, digits):
    for found in (own, built_in):
        assert found.initialise == "orthogonal" and "kind='orthogonal'" in found.code
        assert found.rival.initialise == "normal" and not found.rival.is_better
        assert found.score.carries > found.rival.score.carries > 40  # of width 32, they differ between networks
    given = sweep.advise(mlp, depth=3, data=digits, initialise="normal", module=__name__, **FEW)
    assert given.initialise == "normal" and given.rival is None and "kind" not in given.code
    assert given.as_dict()["rival"] is None
    custom = probes.Custom(mlp, initialise="normal")
    assert sweep.advise(custom, depth=3, data=digits, module=__name__, **FEW).as_dict() == given.as_dict()


@pytest.mark.parametrize("network", [mlp, None])
@pytest.mark.parametrize(("answers", "recommended"), [((True, False), "normal"), ((True, True), "orthogonal")])
def test_normal_weights_are_searched_for_where_they_carry_deeper(monkeypatch, digits, network, answers, recommended):
    answer = iter(answers)
    monkeypatch.setattr("sweep.advice.session.is_better", lambda pairs: next(answer))
    more = {"width": 32} if network is None else {}
    found = sweep.advise(network, depth=3, data=digits, module=__name__, **more, **FEW)
    assert found.initialise == recommended != found.rival.initialise
    assert ("kind" in found.code) == (recommended == "orthogonal")
    if recommended == "normal":
        given = sweep.advise(network, depth=3, data=digits, module=__name__, initialise="normal", **more, **FEW)
        assert {**found.as_dict(), "rival": None} == given.as_dict()


def test_other_weights_are_measured_at_the_recommended_place_and_around_it_with_the_same_seeds(monkeypatch, digits):
    pairs = []
    monkeypatch.setattr("sweep.advice.session.is_better", lambda found: pairs.extend(found) or False)
    found = sweep.advise(mlp, depth=3, data=digits, **FEW)
    assert len(pairs) == 4 and all(one.point == other.point for one, other in pairs)
    assert all((one.point.sigma_w, one.point.sigma_b) == (found.sigma_w, found.sigma_b) for one, _ in pairs[:2])
    assert len({one.point.seed for one, _ in pairs}) == 4
    assert all(one.values["direct_retained"] != other.values["direct_retained"] for one, other in pairs)


def test_another_distribution_is_drawn_and_told(digits):
    found = sweep.advise(mlp, depth=3, data=digits, initialise="orthogonal", module=__name__, **FEW)
    assert "kind='orthogonal'" in found.code and found.rival is None
    scope = {}
    exec(found.code, scope)
    weight = scope["model"][2][0].weight
    torch.testing.assert_close(weight @ weight.T, found.sigma_w**2 * torch.eye(32), atol=1e-3, rtol=1e-3)


def test_the_depth_of_a_module_is_its_own(digits):
    found = sweep.advise(shallow, data=digits, layers=r"[123]", **FEW)
    assert found.depth == 3 and set(found.points["depth"]) == {3}
    with pytest.raises(SpecError, match="`depth` must be 3, the number of layers of `network` shallow, or be left out"):
        sweep.advise(shallow, depth=4, data=digits, layers=r"[123]", **FEW)


def test_where_everything_is_trainable_no_edge_is_made_up(digits):
    found = sweep.advise(shallow, data=digits, layers=r"[123]", sigma_w=(0.9, 1.8), **FEW)
    assert found.range == "all" and found.lower is None and found.upper is None
    assert 1.1 < found.sigma_w < 1.5 and found.default.p_trainable > 0.5


def test_where_nothing_is_trainable_it_is_said(digits):
    found = sweep.advise(depth=30, width=16, data=digits, sigma_w=(0.3, 0.6), **FEW)
    assert found.range == "none" and found.lower is None and found.upper is None
    assert not found.score.trainable and found.score.carries < 30


def test_networks_without_biases_are_searched_along_one_axis(digits):
    def without(depth, shape, classes):
        hidden = [nn.Sequential(nn.Linear(64, 64, bias=False), nn.Tanh()) for _ in range(depth)]
        return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(64, classes, bias=False)), hidden

    found = sweep.advise(without, depth=3, data=digits, **FEW)
    assert found.sigma_b == 0 and not found.points["sigma_b"].any()
    assert found.as_dict()["default"]["sigma_b"] == 0


def test_plain_data_hold_all_that_is_said(own):
    plain = own.as_dict()
    assert {"sigma_w", "sigma_b", "lower", "upper", "depth", "default", "carries", "p_trainable"} <= set(plain)
    assert plain["initialise"] == "orthogonal" and plain["rival"]["initialise"] == "normal"
    assert plain["rival"]["carries"] == own.rival.score.carries
    assert plain["sigma_w"] == own.sigma_w and plain["default"]["trainable"] is False
    low, high = plain["default"]["sigma_b_range"]
    assert 0 < low <= plain["default"]["sigma_b"] <= high


def test_the_figure_marks_the_advice_and_the_default(own):
    figure = own.figure()
    above, below = figure.axes[:2]
    for axes, advised in ((above, (own.sigma_w, own.sigma_b)), (below, (own.sigma_w, None))):
        marks = {c.get_label(): c.get_offsets()[0] for c in axes.collections if c.get_label() in MARKS}
        assert set(marks) == set(MARKS)
        assert marks["recommended"][0] == pytest.approx(advised[0])
        assert advised[1] is None or marks["recommended"][1] == pytest.approx(advised[1])
        assert marks["without advice"][0] == pytest.approx(1 / math.sqrt(3), rel=0.05)
    assert below.get_yscale() == "log"


MARKS = ("recommended", "without advice")


def test_the_figure_of_a_fixed_bias_has_one_panel(digits):
    found = sweep.advise(depth=5, width=16, data=digits, sigma_b=(0.1, 0.1), **FEW)
    assert len(found.figure().axes) == 1 and found.sigma_b == 0.1


def bare(shape, classes):
    class Bare(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Sequential(nn.Flatten(), nn.Tanh())
            self.weight = nn.Parameter(torch.rand(math.prod(shape), classes))

        def forward(self, x):
            return self.hidden(x) @ self.weight

    return Bare()


@pytest.mark.parametrize(
    ("network", "more", "message"),
    [
        (None, {}, "`depth` must be given"),
        (mlp, {}, "`depth` must be given: `network` mlp takes it"),
        (mlp, {"depth": 0}, "`depth` must be a whole number from 1"),
        (mlp, {"depth": 3, "width": 5}, "`width` must be left out with a `network`"),
        (mlp, {"depth": 3, "points": 9}, "`points` must be a whole number from 10 to 1000, got 9"),
        (mlp, {"depth": 3, "probe": "both"}, "`probe` must be left out"),
        (mlp, {"depth": 3, "initialise": "xavier"}, "`initialise` must be one of normal"),
        (
            mlp,
            {"depth": 3, "initialise": "function"},
            "`initialise` must not be 'function' where `network` mlp takes no",
        ),
        (None, {"depth": 3, "initialise": "function"}, "`initialise` must not be 'function' without `network`"),
        (mlp, {"depth": 3, "sigma_w": (1, 1)}, "`sigma_w` must be LO HI with LO < HI, got 1 1"),
        (mlp, {"depth": 3, "layers": "("}, "`layers` must be a regular expression"),
        (None, {"depth": 3, "layers": "x"}, "`layers` must be left out without a `network`"),
        (None, {"depth": 3, "dataset": "none.npz"}, "`dataset` "),
        (bare, {}, "must have a Linear, Conv or MultiheadAttention to be drawn anew"),
        (lambda shape: 3, {}, "must return a module"),
        (3, {}, "`network` must be a function with a signature"),
    ],
)
def test_bad_questions_are_refused(network, more, message):
    with pytest.raises(SpecError, match=message):
        sweep.advise(network, **more)


def test_the_default_range_is_widened_where_the_best_place_is_at_its_end(digits):
    def sigmoids(depth, shape, classes):
        return mlp(depth, shape, classes, nn.Sigmoid)

    wider = sweep.advise(sigmoids, depth=15, data=digits, **FEW)
    assert wider.spec.sigma_w[1] > 9 and wider.sigma_w > 5  # it is critical at 10.1
    given = sweep.advise(sigmoids, depth=15, data=digits, sigma_w=(0.5, 2.5), **FEW)
    assert given.spec.sigma_w == (0.5, 2.5) and given.sigma_w <= 2.5
    assert wider.score.margin > given.score.margin
