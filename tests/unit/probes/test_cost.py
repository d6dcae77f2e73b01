import pytest

from probes import Custom, ProbeSettings, TrainingSettings
from probes.cost import cost
from tests.unit.probes.test_custom import mlp


def test_by_hand(digits):
    settings = ProbeSettings("cascade", width=20, probe_steps=7, training=TrainingSettings(images=100))
    point_cost = cost(settings, digits, 3)
    forward = 2 * (64 * 20 + 20 * 20 + 20 * 20)
    readout = 2 * 20 * 10
    assert point_cost.direct == 0
    assert point_cost.cascade == forward * (1437 + 360) + 2 * 7 * 64 * forward
    assert point_cost.gradients == 3 * forward * 256
    assert point_cost.epoch == 100 * (3 * (forward + readout) - 2 * 64 * 20) + 360 * (forward + readout)


def test_a_convolution_has_a_product_at_every_position(digits):
    point_cost = cost(ProbeSettings("cascade", architecture="conv", width=4, probe_steps=1), digits, 1)
    assert point_cost.cascade == pytest.approx(2 * 64 * 9 * 4 * (1437 + 360 + 2 * 64))


@pytest.mark.parametrize("architecture", ["mlp", "published", "shrinking", "conv", "resnet"])
def test_deeper_is_dearer(digits, architecture):
    shallow, deep = (cost(ProbeSettings(architecture=architecture), digits, d) for d in (4, 8))
    assert deep.direct > shallow.direct > 0 and deep.cascade > shallow.cascade > 0 and deep.epoch > shallow.epoch
    assert deep.gradients > shallow.gradients > 0
    assert deep.probes == deep.direct + deep.cascade + deep.gradients


@pytest.mark.parametrize("depth", [4, 15, 60])
def test_a_network_of_the_user_costs_what_the_built_in_costs(digits, depth):
    built_in = cost(ProbeSettings("direct"), digits, depth)
    own = cost(ProbeSettings("direct", network=Custom(mlp)), digits, depth)
    for name in ("direct", "gradients", "epoch"):
        assert getattr(own, name) == pytest.approx(getattr(built_in, name), rel=0.15), name
    assert own.cascade == 0


def test_networks_of_some_depths_alone_have_a_cost(digits):
    def of_ten(depth, shape, classes):
        if depth % 10:
            raise ValueError("no network")
        return mlp(1.0, 0.1, depth, 0, shape, classes)

    settings = ProbeSettings("direct", network=Custom(of_ten))
    shallow, deep = (cost(settings, digits, depth).epoch for depth in (10, 60))
    assert 5.5 < deep / shallow < 6.5 and cost(settings, digits, 7).epoch == 1
