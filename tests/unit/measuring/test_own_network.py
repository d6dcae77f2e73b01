"""Networks of the user in a sweep, before its first point."""

import math
from dataclasses import replace

import pytest
from torch import nn

from probes import Custom
from sweep.errors import SpecError
from sweep.measuring.own_network import named, own_network, prepared
from sweep.measuring.settings import probe_settings
from sweep.model.margin import MarginModel
from sweep.spec.spec import SweepSpec
from tests.unit.probes.test_custom import drawn_in_order, mlp

SPEC = SweepSpec(probe="direct", depth=(3, 8))


def known(function, spec=SPEC, digits=None):
    """Return a spec with what is found out about a function."""
    spec = named(spec, function)
    with own_network(spec, function) as custom:
        spec, custom = prepared(spec, custom, digits)
        return spec, probe_settings(spec, custom)


def of_three_layers(shape, classes):
    width = math.prod(shape)
    hidden = [nn.Linear(width, width) for _ in range(3)]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(width, classes)), hidden


def test_what_is_found_out(digits):
    spec, settings = known(mlp, digits=digits)
    assert (spec.network, spec.nested, spec.is_nested, spec.depth) == ("python:mlp", True, True, (3, 8))
    assert len(spec.code) == 32 and settings.network.function is mlp and settings.network.initialise is None
    assert MarginModel(spec).through_depth and spec.reach == 3 and not spec.has_theory
    assert SweepSpec.from_json(spec.as_json(), "") == spec


def test_depths_that_do_not_contain_each_other_are_an_axis_of_the_model(digits):
    def of_its_depth(depth, shape, classes):
        width = math.prod(shape)
        hidden = [nn.Linear(width, width) for _ in range(depth)]
        for linear in hidden:
            nn.init.normal_(linear.weight, std=1 / depth)
        return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(width, classes)), hidden

    spec, _ = known(of_its_depth, digits=digits)
    assert not spec.nested and not MarginModel(spec).through_depth and spec.reach == 1
    assert MarginModel(spec).max_visible(5) < MarginModel(known(mlp, digits=digits)[0]).max_visible(5)


def test_a_depth_that_the_function_does_not_take(digits):
    spec, _ = known(of_three_layers, SweepSpec(probe="direct"), digits)
    assert spec.depth == (3, 3) and "depth" not in spec.free_axes
    assert known(of_three_layers, SweepSpec(probe="direct", depth=(3, 3)), digits)[0].depth == (3, 3)
    with pytest.raises(SpecError, match="`depth` must be 3 3, the number of layers of `network` of_three_.*, got 3 8"):
        known(of_three_layers, digits=digits)


def test_a_function_that_makes_no_network_is_refused_before_the_first_point(digits):
    def fails_when_deep(depth, shape, classes):
        if depth > 7:
            raise MemoryError("too deep")
        return drawn_in_order(depth, shape, classes)

    with pytest.raises(SpecError, match=r"`network` fails_when_deep raised MemoryError: too deep"):
        known(Custom(fails_when_deep, r"1\.\d+"), digits=digits)
    with pytest.raises(SpecError, match="may have the arguments sigma_w, .*, got width"):
        known(lambda width: None, digits=digits)


def test_layers_that_a_cascade_leaves_out_are_named(digits, caplog):
    def widening(shape, classes):
        layers = [nn.Sequential(nn.Linear(a, b), nn.Tanh()) for a, b in ((64, 32), (32, 17_000), (17_000, 16))]
        return nn.Sequential(nn.Flatten(), *layers, nn.Linear(16, classes)), layers

    known(widening, SweepSpec(depth=(3, 3)), digits)
    assert caplog.messages == ["layers with more than 16384 values are left out of the cascade: 2"]


def test_code_that_has_changed_is_refused(digits):
    spec, _ = known(Custom(mlp), digits=digits)

    def changed(sigma_w, sigma_b, depth, seed, shape, classes):
        return mlp(2 * sigma_w, sigma_b, depth, seed, shape, classes)

    with own_network(spec, changed) as custom, pytest.raises(SpecError, match="has changed since"):
        prepared(spec, custom, digits)
    with pytest.raises(SpecError, match="`network` 'python:mlp' was given from Python"), own_network(spec):
        pass


def test_the_code_is_part_of_the_digest_and_its_place_is_not(digits):
    spec, _ = known(mlp, digits=digits)
    assert spec.digest != SPEC.digest
    same = SweepSpec(probe="direct", depth=(3, 8), network="elsewhere.py:mlp", code=spec.code, nested=True)
    assert same.digest == spec.digest
    other = SweepSpec(probe="direct", depth=(3, 8), network="python:mlp", code="0" * 32)
    assert other.digest != spec.digest


def test_weights_are_the_functions_own_unless_others_are_asked_for(digits):
    assert SweepSpec(network="x.py:f").initialise == "function" and SweepSpec().initialise == "normal"
    for given in (Custom(mlp, initialise="normal"), mlp):
        spec = SPEC if isinstance(given, Custom) else replace(SPEC, initialise="normal")
        spec, settings = known(given, spec, digits)
        assert settings.network.initialise == spec.initialise == "normal"
    other = pytest.raises(SpecError, match="`initialise` of `network` must be 'normal', as of the sweep, got 'orth")
    with other, own_network(spec, Custom(mlp, initialise="orthogonal")):
        pass


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layers": "x"}, "`layers` must be left out without `network`"),
        ({"code": "0" * 32}, "`code` must be left out without `network`"),
        ({"nested": True}, "`nested` must be left out without `network`"),
        ({"initialise": "function"}, "`initialise` must not be 'function' without `network`"),
        ({"network": "x.py:f", "code": "x"}, "`code` must be 32 hexadecimal digits"),
        ({"network": "x.py:f", "nested": 1}, "`nested` must be true or false, got 1"),
        ({"network": "x.py:f", "architecture": "conv"}, "`architecture` must be left out with `network`, got 'conv'"),
        ({"network": "x.py:f", "width": 5}, "`width` must be left out with `network`, got 5"),
        ({"network": "x.py:f", "widths": (5, 6)}, "`widths` must be left out with `network`"),
        ({"network": "x.py:f", "activation": "relu"}, "`activation` must be left out with `network`, got 'relu'"),
        ({"network": "x.py:f", "prior": "theory"}, "`prior` must be none with a network of yours"),
    ],
)
def test_options_that_do_not_go_together(given, message):
    with pytest.raises(SpecError, match=message):
        SweepSpec(**given)


def test_an_option_that_follows_from_another_follows_it_anew():
    assert replace(SweepSpec(network="x.py:f"), network=None) == SweepSpec()
