"""The zero-cost scores of the study, by other means than theirs.

`tests/service/test_study.py` measures some of those in the files again.
"""

import math

import pandas as pd
import pytest
import torch

from probes.networks import READOUT, Architecture, Network
from probes.point import Point
from tests.study import zero_cost
from tests.study.make import POINT
from tests.study.sets import studies_for

SHAPES = {"mlp": (12,), "shrinking": (20,), "conv": (5, 5), "resnet": (5, 5)}


def network_of(architecture, sigma_w=1.5, depth=4, activation="tanh", sigma_b=0.2):
    """Return a small random network and 40 images for it."""
    width = None if architecture == "shrinking" else 6
    made = Architecture(architecture, SHAPES[architecture], 3, width)
    images = torch.randn(40, made.pixels, generator=torch.Generator().manual_seed(0))
    return Network(Point(sigma_w, sigma_b, depth, 3), made, activation), images


def layers_of(network):
    """Return the layers of a network with their parameters in double precision."""
    numbers = (*range(1, network.point.depth + 1), READOUT)
    return [(network.layer(n), [p.double() for p in network.parameters(n)]) for n in numbers]


def logits(layers, phi, x):
    """Return the logits of a network."""
    for layer, parameters in layers[:-1]:
        x = layer.apply(x, parameters, phi)
    return layers[-1][0].apply(x, layers[-1][1], torch.positive)


@pytest.mark.parametrize("study", studies_for("evaluation"), ids=lambda study: study.name)
def test_a_set_for_evaluation_has_every_score_of_every_network(study):
    table = pd.read_csv(zero_cost.file_of(study), converters=dict.fromkeys(("sigma_w", "sigma_b"), float))
    assert list(table) == [*POINT, *zero_cost.NAMES]
    assert table[POINT].equals(study.read()[POINT]) and table.notna().to_numpy().all()


@pytest.mark.parametrize("architecture", SHAPES)
def test_the_tangent_kernel_is_that_of_gradients_image_by_image(architecture):
    network, images = network_of(architecture)
    layers, images, rows = layers_of(network), images[:7].double(), []
    for image in images:
        leaves = [(layer, [p.clone().requires_grad_() for p in parameters]) for layer, parameters in layers]
        weights = [p for _, parameters in leaves for p in parameters[::2]]
        by_weights = torch.autograd.grad(logits(leaves, network.phi, image[None]).sum(), weights)
        rows.append(torch.cat([g.flatten() for g in by_weights]))
    jacobian = torch.stack(rows)
    torch.testing.assert_close(zero_cost.tangent_kernel(layers, network.phi, images), jacobian @ jacobian.T)


def test_synflow_of_a_linear_network_counts_its_flow_once_a_layer():
    network, images = network_of("mlp", depth=3, activation="identity", sigma_b=0)
    layers = [(layer, [p.abs() for p in parameters]) for layer, parameters in layers_of(network)]
    flow = logits(layers, network.phi, torch.ones(1, 12, dtype=torch.float64)).sum()
    assert zero_cost.scores(network, images)["synflow"] == pytest.approx(math.log(4 * flow))  # read-out included


def test_a_code_counts_the_hidden_units_in_which_images_agree(monkeypatch):
    network, images = network_of("mlp")
    monkeypatch.setattr(zero_cost, "_CODED_IMAGES", 5)
    positive = [h[:5] > 0 for _, h in network.walk(images, until=4)]
    agree = sum((p[:, None] == p[None]).sum(-1) for p in positive).double()
    assert zero_cost.scores(network, images)["naswot"] == pytest.approx(float(torch.logdet(agree)))
    twice = images[:1].expand(5, -1)
    assert zero_cost.scores(network, twice)["naswot"] == -math.inf
    assert zero_cost.scores(network, twice)["ntk_condition"] == -math.inf


def test_zen_is_largest_where_differences_keep_their_norm():
    weight = torch.linalg.qr(torch.randn(12, 12, generator=torch.Generator().manual_seed(0)))[0]
    made = Architecture("mlp", (12,), 3)

    def zen(factor):
        parameters = {1: [factor * weight, torch.ones(12)], READOUT: [torch.ones(12, 3), torch.zeros(3)]}
        network = Network(Point(1, 0, 1, 0), made, "identity", trained=parameters)
        return zero_cost.scores(network, torch.randn(40, 12))["zen"]

    assert zen(1) == pytest.approx(0, abs=1e-6)
    assert [zen(2), zen(0.5)] == pytest.approx([-math.log(2)] * 2)
    assert zen(0) == zen(math.inf) == -math.inf
