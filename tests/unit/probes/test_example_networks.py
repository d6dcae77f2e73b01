"""The networks of `tests/examples/networks.py`: each is measured, and what is known of it is seen."""

import pytest

from probes import Custom, Point, ProbeSettings, measure
from tests.examples import networks

NAMES = [
    *("tanh_mlp", "gelu_mlp", "selu_mlp", "pre_norm_mlp", "post_norm_mlp", "vgg", "resnet", "scaled_resnet"),
    *("pre_norm_transformer", "post_norm_transformer"),
]


def margins(images, name, sigma_ws, depth, initialise="normal"):
    custom = Custom(getattr(networks, name), initialise=initialise)
    points = [Point(sigma_w, 0.1, depth) for sigma_w in sigma_ws]
    measured = measure(points, images, ProbeSettings("direct", images=512), network=custom)
    assert [m.status for m in measured] == ["ok"] * len(points), measured[0].error
    return [m.values["margin"] for m in measured]


@pytest.mark.parametrize("name", NAMES)
def test_each_is_measured(digits, name):
    assert len(margins(digits, name, [1.0], 3)) == 1


def test_no_network_is_left_out():
    functions = [n for n, f in vars(networks).items() if getattr(f, "__module__", "") == networks.__name__]
    assert {n for n in functions if n.islower() and not n.startswith("_")} == {*NAMES}


def test_selu_carries_deepest_at_its_fixed_point(digits):
    small, fixed_point, large = margins(digits, "selu_mlp", [0.6, 1.0, 2.0], 20)
    assert fixed_point > max(small, large) + 0.5


def test_an_orthogonal_network_carries_deeper(digits):
    normal, orthogonal = (margins(digits, "tanh_mlp", [1.1], 80, i)[0] for i in ("normal", "orthogonal"))
    assert orthogonal > normal + 0.1


def test_scaled_branches_carry_deeper(digits):
    assert margins(digits, "scaled_resnet", [2.0], 8)[0] > margins(digits, "resnet", [2.0], 8)[0] + 0.5


def test_transformers_carry_deeper_with_the_norm_in_the_branches(digits):
    pre, post = (margins(digits, f"{name}_norm_transformer", [2.0], 24)[0] for name in ("pre", "post"))
    assert pre > post + 0.2
