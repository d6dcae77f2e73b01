import numpy as np
import pytest
import torch

from probes import Point
from probes.networks import draw_layer
from probes.training import LEARNING_RATE, train_pack, trainable_level

KEYS = {"width": 64, "activation": "tanh", "train_images": 640}


def test_a_pack_trains_as_its_networks_would_alone(digits):
    points = [Point(w, 0.2, 6, s) for s, w in enumerate((1.2, 1.5, 2.0))]
    together = train_pack(points, digits, epochs=2, **KEYS)
    for point, found in zip(points, together, strict=True):
        (alone,) = train_pack([point], digits, epochs=2, **KEYS)
        np.testing.assert_allclose(found.loss, alone.loss, rtol=1e-4)
        # One image of 360 may fall on the other side of a decision.
        np.testing.assert_allclose(found.accuracy, alone.accuracy, atol=1.5 / 360)


def test_first_epoch_agrees_with_a_plain_torch_network(digits):
    point, images = Point(1.4, 0.1, 3, 0), 64
    layers = []
    for i, (a, b) in enumerate([(64, 64), (64, 64), (64, 64), (64, 10)]):
        weight, bias = draw_layer(point, (i + 1) % 4, a, b)  # the read-out is number 0
        layer = torch.nn.Linear(a, b)
        with torch.no_grad():
            layer.weight.copy_(weight.T)
            layer.bias.copy_(bias)
        layers += [layer, torch.nn.Tanh()]
    network = torch.nn.Sequential(*layers[:-1])
    sgd = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE)
    loss = torch.nn.functional.cross_entropy(network(digits.train[:images]), digits.train_labels[:images])
    loss.backward()
    sgd.step()
    accuracy = (network(digits.test).argmax(1) == digits.test_labels).float().mean()
    (found,) = train_pack([point], digits, width=64, activation="tanh", epochs=1, train_images=images)
    assert found.loss[0] == pytest.approx(loss.item(), rel=1e-5)
    assert found.accuracy[0] == pytest.approx(float(accuracy), abs=1.5 / 360)


def test_networks_train_near_criticality_and_not_in_the_ordered_phase(digits):
    points = [Point(0.6, 0.2, 20, 0), Point(1.4, 0.2, 20, 0)]
    ordered, critical = train_pack(points, digits, width=64, activation="tanh", epochs=10, train_images=1437)
    level = trainable_level(10)
    assert ordered.accuracy.max() < 0.2 < level < critical.accuracy.max()


def test_a_network_that_blows_up_spares_the_others(digits):
    points = [Point(20.0, 0.2, 30, 0), Point(1.4, 0.0, 30, 0)]
    bad, good = train_pack(points, digits, width=64, activation="relu", epochs=1, train_images=640)
    assert np.isinf(bad.loss).all() and np.isfinite(good.loss).all()


def test_depths_may_not_be_mixed(digits):
    with pytest.raises(ValueError, match=r"must share one depth, got \[3, 4\]"):
        train_pack([Point(1.0, 0.1, 3), Point(1.0, 0.1, 4)], digits, epochs=1, **KEYS)
