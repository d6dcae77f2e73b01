import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from probes import Images, Point
from probes.layers import ACTIVATIONS
from probes.networks import Architecture, Network
from probes.plain import train_plainly
from probes.seeds import generator
from probes.training import Training, train_pack
from probes.training.settings import TrainingSettings, chance

ARCHITECTURE = Architecture("mlp", (8, 8), 10)
KEYS = {"architecture": ARCHITECTURE, "activation": "tanh"}
SHORT = TrainingSettings(epochs=2, images=320)


def same(one, other):
    return all(np.array_equal(getattr(one, n), getattr(other, n)) for n in ("lr", "epoch", "accuracy", "loss"))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("name", ["mlp", "published", "shrinking", "conv", "resnet"])
def test_networks_train_exactly_as_they_would_alone(digits, name, optimizer):
    points = [Point(w, 0.2, d, s) for s, (w, d) in enumerate([(1.2, 3), (2.0, 6), (1.5, 1), (1.4, 6)])]
    settings = replace(SHORT, optimizer=optimizer, images=128, lr=(0.01, 0.003))
    keys = KEYS | {"architecture": Architecture(name, (8, 8), 10, 4 if name in ("conv", "resnet") else None)}
    few = replace(digits, test=digits.test[:100], test_labels=digits.test_labels[:100])
    together = train_pack(points, few, settings, **keys)
    for point, curve in zip(points, together, strict=True):
        assert same(curve, train_pack([point], few, settings, **keys)[0])
    assert same(together[0], train_pack(points[::-1], few, settings, **keys)[-1])


WITH_FORMULAS = ("arctan", "erf", "identity", "relu", "tanh")


@pytest.mark.parametrize(
    ("name", "optimizer", "activation"),
    [
        *itertools.product(["mlp", "shrinking", "conv"], ["sgd", "adam"], WITH_FORMULAS),
        *itertools.product(["mlp"], ["sgd"], sorted(ACTIVATIONS.keys() - set(WITH_FORMULAS))),
    ],
)
def test_agrees_with_a_plain_torch_loop(digits, name, optimizer, activation):
    # With small weights softshrink passes next to nothing on, and Adam enlarges the rounding of tiny gradients.
    point, images, lr = Point(3.0 if activation == "softshrink" else 1.3, 0.1, 3, 4), 150, 0.02
    architecture = Architecture(name, (8, 8), 10, 6 if name == "conv" else 20)
    network = Network(point, architecture, activation)
    parameters = {n: [p.requires_grad_() for p in network.parameters(n)] for n in (1, 2, 3, 0)}
    flat = [p for some in parameters.values() for p in some]
    chosen = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer](flat, lr=lr)

    def logits(x):
        for n in (1, 2, 3):
            x = network.layer(n).apply(x[None], [p[None] for p in parameters[n]], ACTIVATIONS[activation])[0]
        return torch.addmm(parameters[0][1], x, parameters[0][0])

    settings = TrainingSettings(epochs=2, images=images, optimizer=optimizer, lr=(lr,), batch=50)
    training = Training([point], digits, settings, architecture=architecture, activation=activation, keep=True)
    losses = []
    for _ in range(2):
        total = 0.0
        for x, y in training._data.batches(len(losses)):
            loss = torch.nn.functional.cross_entropy(logits(x), y)
            chosen.zero_grad()
            loss.backward()
            chosen.step()
            total += loss.item() * len(x) / images
        losses.append(total)
        training.epoch()
    (curve,) = training.curves()
    np.testing.assert_allclose(curve.loss, losses, rtol=2e-5)
    for number, plain in parameters.items():
        for ours, theirs in zip(curve.trained[number], plain, strict=True):
            torch.testing.assert_close(ours, theirs.detach(), rtol=1e-4, atol=2e-5)
    with torch.no_grad():
        accuracy = (logits(digits.test).argmax(1) == digits.test_labels).float().mean()
    assert curve.accuracy[-1] == pytest.approx(float(accuracy), abs=1.5 / 360)


def test_every_epoch_has_another_order_that_all_networks_share(digits):
    data = Training([Point(1.0, 0.1, 1)], digits, SHORT, **KEYS)._data
    first, second = ([x for x, _ in data.batches(epoch)] for epoch in (0, 1))
    assert not torch.equal(first[0], second[0])
    assert torch.equal(first[0], next(iter(data.batches(0)))[0])


def test_networks_train_near_criticality_and_not_in_the_ordered_phase(digits):
    points = [Point(0.6, 0.2, 20, 0), Point(1.4, 0.2, 20, 0)]
    ordered, critical = train_pack(points, digits, TrainingSettings(epochs=5, lr=(0.03,)), **KEYS)
    assert ordered.accuracy.max() < 0.2 and critical.accuracy.max() > 0.6


def test_a_network_leaves_when_it_has_diverged(digits):
    points = [Point(20.0, 0.2, 30, 0), Point(1.4, 0.0, 30, 0)]
    bad, good = train_pack(points, digits, SHORT, **KEYS | {"activation": "relu"})
    assert np.isinf(bad.loss).all() and len(bad.loss) == 1
    assert np.isfinite(good.loss).all() and len(good.loss) == 2


def test_a_network_leaves_when_its_loss_overflows(digits):
    # One batch, whose logits are finite in float32 while the sum of their cross entropies is not: inf, not nan.
    settings = TrainingSettings(epochs=2, images=64)
    (curve,) = train_pack([Point(18.0, 0.0, 33, 0)], digits, settings, **KEYS | {"activation": "relu"})
    assert curve.loss.tolist() == [np.inf]


def test_a_network_leaves_when_it_has_reached_its_level(digits):
    points = [Point(1.4, 0.2, 3, 0), Point(0.5, 0.2, 10, 1), Point(1.4, 0.2, 4, 2)]
    settings = TrainingSettings(epochs=6, images=640)
    everything = train_pack(points, digits, settings, **KEYS)
    level = float(everything[0].accuracy[2])
    leaving = train_pack(points, digits, replace(settings, level=level), **KEYS)
    for whole, part in zip(everything, leaving, strict=True):
        above = np.flatnonzero(whole.accuracy > level)
        assert len(part.epoch) == (above[0] + 1 if len(above) else 6)
        assert np.array_equal(whole.accuracy[: len(part.epoch)], part.accuracy)
    assert len(leaving[0].epoch) < 6 == len(leaving[1].epoch)


def test_a_network_leaves_when_it_has_stalled(digits):
    points = [Point(0.3, 0.1, 10, 0), Point(1.4, 0.2, 4, 1)]
    settings = TrainingSettings(epochs=20, images=320, lr=(0.03,), patience=4)
    stalled, learning = train_pack(points, digits, settings, **KEYS)
    assert len(stalled.epoch) < 20 == len(learning.epoch)


def test_the_best_of_several_learning_rates_counts(digits):
    (curve,) = train_pack([Point(1.4, 0.2, 4)], digits, replace(SHORT, lr=(1e-5, 0.1)), keep=True, **KEYS)
    assert curve.lr.tolist() == [1e-5, 1e-5, 0.1, 0.1] and curve.epoch.tolist() == [1, 2, 1, 2]
    assert curve.lr[curve.best] == 0.1
    (alone,) = train_pack([Point(1.4, 0.2, 4)], digits, replace(SHORT, lr=(0.1,)), keep=True, **KEYS)
    assert torch.equal(curve.trained[1][0], alone.trained[1][0])


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_training_that_goes_on_ends_as_if_it_had_not_been_interrupted(digits, optimizer):
    points = [Point(1.2, 0.2, 3, 0), Point(1.5, 0.2, 5, 1), Point(1.0, 0.2, 4, 2)]
    settings = TrainingSettings(epochs=4, images=320, optimizer=optimizer, lr=(0.01, 0.02))
    whole = train_pack(points, digits, settings, **KEYS)
    first = Training(points[:2], digits, settings, **KEYS)
    first.epoch()
    first.epoch()
    second = Training(points, digits, settings, saved=first.state(), **KEYS)  # one of them begins only now
    while second.running:
        second.epoch()
    assert all(same(a, b) for a, b in zip(whole, second.curves(), strict=True))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_state_stays_as_it_is_and_holds_one_network_for_each_point(digits, optimizer):
    points = [Point(1.2, 0.2, 3, s) for s in range(4)]
    settings = TrainingSettings(epochs=3, images=128, optimizer=optimizer)
    first = Training(points, digits, settings, **KEYS)
    first.epoch()
    state = first.state()
    for _ in range(2):  # attempts
        again = Training(points, digits, settings, saved=state, **KEYS)
        while first.running or again.running:
            first.epoch() if first.running else again.epoch()
        assert all(same(a, b) for a, b in zip(first.curves(), again.curves(), strict=True))
    ((weight, _), *_) = state[points[0]][0.01]["tensors"][0].values()
    assert weight.untyped_storage().nbytes() == weight.nbytes  # which is what a file of it holds


def test_a_state_of_trainings_that_are_over_trains_nothing(digits):
    training = Training([Point(1.2, 0.2, 3, 0)], digits, SHORT, **KEYS)
    while training.running:
        training.epoch()
    again = Training([Point(1.2, 0.2, 3, 0)], digits, SHORT, saved=training.state(), **KEYS)
    assert again.running == 0 and same(again.curves()[0], training.curves()[0])


def test_large_networks_have_a_thread_each_and_the_same_outcome():
    x, y = torch.rand(64, 400, generator=generator(0, "test")), torch.arange(64) % 10
    images = Images("made up", x, y, x, y, (20, 20), 10)
    keys = KEYS | {"architecture": Architecture("mlp", (20, 20), 10)}
    points = [Point(1.3, 0.2, 2, s) for s in range(3)]
    alone = [train_pack([p], images, SHORT, **keys)[0] for p in points]
    torch.set_num_threads(2)
    try:
        together = train_pack(points, images, SHORT, **keys)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert all(same(a, b) for a, b in zip(alone, together, strict=True))


def test_chance_is_what_the_commonest_class_gives(digits):
    assert chance(digits) == pytest.approx(0.1, abs=0.02)
    skewed = replace(
        digits, train_labels=torch.full_like(digits.train_labels, 3), test_labels=torch.tensor([3, 3, 3, 1])
    )
    assert chance(skewed) == 0.75


@pytest.mark.parametrize("keys", [{"optimizer": "rprop"}, {"lr": ()}, {"lr": (0.1, 0.1)}, {"lr": (-1.0,)}])
def test_nonsense_is_refused(keys):
    with pytest.raises(ValueError, match=r"`(optimizer|lr)` must be"):
        TrainingSettings(**keys)


def test_agrees_with_a_loop_over_modules(digits):
    point = Point(1.3, 0.1, 4, 2)
    settings = TrainingSettings(epochs=1, images=300, lr=(0.02,))
    training = Training([point], digits, settings, keep=True, **KEYS)
    batches = list(training._data.batches(0))
    plain = train_plainly(Network(point, ARCHITECTURE, "tanh"), batches, learning_rate=0.02)
    training.epoch()
    (curve,) = training.curves()
    for number, layer in zip((1, 2, 3, 4, 0), plain[::2], strict=True):
        torch.testing.assert_close(curve.trained[number][0], layer.weight.detach().T, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(curve.trained[number][1], layer.bias.detach(), rtol=1e-4, atol=1e-5)
