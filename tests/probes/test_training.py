import numpy as np
import pytest
import torch

from probes import Point
from probes.networks import Architecture, Dense
from probes.training import LEARNING_RATE, train_pack, trainable_level

KEYS = {"architecture": Architecture("mlp", (8, 8), 10), "activation": "tanh", "train_images": 640}


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
        weight, bias = Dense(a, b).draw(point, (i + 1) % 4)  # the read-out is number 0
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
    (found,) = train_pack([point], digits, **KEYS | {"train_images": images}, epochs=1)
    assert found.loss[0] == pytest.approx(loss.item(), rel=1e-5)
    assert found.accuracy[0] == pytest.approx(float(accuracy), abs=1.5 / 360)


def test_networks_train_near_criticality_and_not_in_the_ordered_phase(digits):
    points = [Point(0.6, 0.2, 20, 0), Point(1.4, 0.2, 20, 0)]
    ordered, critical = train_pack(points, digits, **KEYS | {"train_images": 1437}, epochs=10)
    level = trainable_level(10)
    assert ordered.accuracy.max() < 0.2 < level < critical.accuracy.max()


def test_a_network_that_blows_up_spares_the_others(digits):
    points = [Point(20.0, 0.2, 30, 0), Point(1.4, 0.0, 30, 0)]
    bad, good = train_pack(points, digits, **KEYS | {"activation": "relu"}, epochs=1)
    assert np.isinf(bad.loss).all() and np.isfinite(good.loss).all()


def test_depths_may_not_be_mixed(digits):
    with pytest.raises(ValueError, match=r"must share one depth, got \[3, 4\]"):
        train_pack([Point(1.0, 0.1, 3), Point(1.0, 0.1, 4)], digits, epochs=1, **KEYS)


@pytest.mark.parametrize("name", ["published", "shrinking", "conv", "resnet"])
def test_every_architecture_learns_and_gives_its_parameters(digits, name):
    keys = KEYS | {"architecture": Architecture(name, (8, 8), 10), "train_images": 1437}
    told = []
    (found,) = train_pack([Point(1.3, 0.1, 3)], digits, epochs=6, progress=told.append, **keys)
    assert told == [1, 2, 3, 4, 5, 6]
    assert found.loss[-1] < found.loss[0] and found.accuracy.max() > 0.3  # chance: 0.1
    assert sorted(found.trained) == [0, 1, 2, 3] and not found.trained[1][0].requires_grad
