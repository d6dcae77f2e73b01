"""Networks of users are trained as a plain loop over their modules trains them, together or one by one."""

import math
import random
import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from probes import Point, ProbeSettings, measure
from probes.custom.function import Custom, NetworkError
from probes.custom.kind import kind_of_module
from probes.networks import READOUT, Architecture
from probes.prober import Prober
from probes.training import Training, TrainingSettings
from probes.training.custom import JointStack, LoneStack
from probes.training.data import TrainingData

CLASSES, WIDTH = 10, 24
SETTINGS = TrainingSettings(epochs=3, images=200, batch=50, lr=(0.03,))
POINTS = [Point(1.0 + 0.2 * s, 0.2, 3, s) for s in range(4)]
MLP = {"architecture": Architecture("mlp", (8, 8), CLASSES), "activation": "tanh"}


def dense(sigma_w, sigma_b, depth, classes, *, between=(nn.Tanh,), inputs=64):
    """Return a dense network whose layers are followed by some modules."""
    layers = [nn.Flatten()]
    for k in range(depth):
        linear = nn.Linear(WIDTH if k else inputs, WIDTH)
        nn.init.normal_(linear.weight, std=sigma_w / math.sqrt(linear.in_features))
        nn.init.normal_(linear.bias, std=sigma_b)
        layers += [linear, *(make() for make in between)]
    return nn.Sequential(*layers, nn.Linear(WIDTH, classes))


def with_(*between):
    def network(sigma_w, sigma_b, depth, classes):
        return dense(sigma_w, sigma_b, depth, classes, between=between)

    return network


def as_built_in(sigma_w, sigma_b, depth, seed, shape, classes):
    """Return a dense tanh network with the draws of a built-in one."""
    architecture, pixels = Architecture("mlp", shape, classes), math.prod(shape)
    layers = [nn.Flatten()]
    for number in [*range(1, depth + 1), READOUT]:
        weight, bias = architecture.draw(Point(sigma_w, sigma_b, depth, seed), number)
        layer = nn.Linear(pixels, weight.shape[1])
        with torch.no_grad():
            layer.weight.copy_(weight.T)
            layer.bias.copy_(bias)
        layers += [layer, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


class Scaled(nn.Module):
    """A layer with a number that is no tensor."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


class Deciding(nn.Module):
    """A layer that looks at the values of a tensor."""

    def forward(self, x):
        return x.tanh() if x.mean().item() > -100 else x


class Tied(nn.Module):
    """A network whose hidden layers are one, and whose read-out has their bias, too."""

    def __init__(self, depth):
        super().__init__()
        self.first, self.hidden, self.readout = nn.Linear(64, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, CLASSES)
        self.layers = nn.ModuleList([self.hidden] * depth)
        self.readout.bias = nn.Parameter(self.hidden.bias[:CLASSES].detach().clone())
        self.first.bias = self.hidden.bias

    def forward(self, x):
        x = self.first(x.flatten(1))
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return self.readout(x)


def frozen(sigma_w, sigma_b, depth, classes):
    made = dense(sigma_w, sigma_b, depth, classes)
    made[1].requires_grad_(False)
    return made


def parametrised(sigma_w, sigma_b, depth, classes):
    made = dense(sigma_w, sigma_b, depth, classes)
    nn.utils.parametrize.register_parametrization(made[3], "weight", Scaled(0.9))
    return made


def weight_normed(sigma_w, sigma_b, depth, classes):
    made = dense(sigma_w, sigma_b, depth, classes)
    nn.utils.parametrizations.weight_norm(made[3])
    return made


def convolutions(depth, classes):
    hidden = [nn.Sequential(nn.Conv2d(1 if k == 0 else 3, 3, 3, padding=1), nn.ReLU()) for k in range(depth)]
    return nn.Sequential(nn.Unflatten(1, (1, 8)), *hidden, nn.Flatten(), nn.Linear(192, classes)), hidden


def lazy(classes):
    return nn.Sequential(
        nn.Flatten(), *(m for _ in range(3) for m in (nn.LazyLinear(WIDTH), nn.Tanh())), nn.LazyLinear(classes)
    )


def unused(sigma_w, sigma_b, depth, classes):
    made = dense(sigma_w, sigma_b, depth, classes)
    made.never = nn.Linear(3, 3)
    made.forward = lambda x: made[:-1](x)  # a function of its own for each network, too
    return made


TOGETHER = {
    "tanh": dense,
    "layer norm": with_(partial(nn.LayerNorm, WIDTH), nn.GELU),
    "batch norm": with_(partial(nn.BatchNorm1d, WIDTH), nn.ReLU),
    "tied": lambda depth: Tied(depth),
    "frozen": frozen,
    "parametrised": parametrised,
    "lazy": lazy,
}
ONE_BY_ONE = {
    "dropout": with_(nn.Tanh, partial(nn.Dropout, 0.3)),
    "data-dependent": with_(Deciding),
    "cumulative batch norm": with_(partial(nn.BatchNorm1d, WIDTH, momentum=None), nn.Tanh),
    "convolutions": convolutions,
    "weight norm": weight_normed,  # torch has no rule for it
}


def trained(points, digits, network, settings=SETTINGS, **more):
    custom = network if isinstance(network, Custom) else Custom(network)
    return Training(points, digits, settings, network=custom, **MLP, **more)


def finished(training):
    while training.running:
        training.epoch()
    return training.curves()


def plain_loop(point, digits, network, settings=SETTINGS):
    """Return the losses and accuracies of the loop that a user would write."""
    module = Custom(network).make(point, point.depth, (8, 8), CLASSES, dropout=True).module
    module.eval()(digits.train[:4].view(-1, 8, 8))  # draws lazy layers
    parameters = [p for p in module.parameters() if p.requires_grad]
    chosen = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[settings.optimizer](parameters, lr=settings.lr[0])
    data, losses, accuracies = TrainingData(digits, settings, torch.device("cpu")), [], []
    for epoch in range(settings.epochs):
        total = 0.0
        module.train()
        for x, y in data.batches(epoch):
            loss = cross_entropy(module(x.view(-1, 8, 8)), y)
            chosen.zero_grad()
            loss.backward()
            chosen.step()
            total += loss.item() * len(x) / data.images
        losses.append(total)
        module.eval()
        with torch.no_grad():
            right = module(digits.test.view(-1, 8, 8)).argmax(1) == digits.test_labels
        accuracies.append(float(right.float().mean()))
    return losses, accuracies


@pytest.mark.parametrize("name", [*TOGETHER, *ONE_BY_ONE])
def test_networks_are_trained_together_where_their_module_allows_it(digits, name):
    kind, network = (JointStack, TOGETHER[name]) if name in TOGETHER else (LoneStack, ONE_BY_ONE[name])
    assert {type(stack) for stack in trained(POINTS, digits, network).stacks} == {kind}


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("name", [*TOGETHER, *ONE_BY_ONE])
def test_a_network_trains_in_every_pack_as_in_a_plain_loop(digits, name, optimizer):
    network = (TOGETHER | ONE_BY_ONE)[name]
    settings = replace(SETTINGS, optimizer=optimizer, lr=(0.03 if optimizer == "sgd" else 0.003,))
    pack = finished(trained(POINTS, digits, network, settings))
    (alone,) = finished(trained(POINTS[2:3], digits, network, settings))
    # Adam enlarges the rounding of gradients that are zero, as of a bias before batch normalisation.
    rtol, atol = (1e-5, 1.5 / 360) if name != "batch norm" else (1e-3, 4.5 / 360)
    np.testing.assert_allclose(pack[2].loss, alone.loss, rtol=rtol)
    np.testing.assert_allclose(pack[2].accuracy, alone.accuracy, atol=atol)
    assert not np.allclose(pack[1].loss, pack[2].loss, rtol=1e-5)
    if name not in ("dropout", "lazy"):  # which draw while they are called: the loop would have to draw the same
        losses, accuracies = plain_loop(POINTS[2], digits, network, settings)
        np.testing.assert_allclose(alone.loss, losses, rtol=rtol)
        np.testing.assert_allclose(alone.accuracy, accuracies, atol=atol)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_users_mlp_trains_as_the_built_in_one(digits, optimizer):
    settings = TrainingSettings(epochs=5, images=320, optimizer=optimizer, lr=(0.02 if optimizer == "sgd" else 1e-3,))
    points = [Point(w, 0.2, d, s) for s, (w, d) in enumerate([(1.2, 3), (1.6, 3), (1.4, 6), (1.4, 3)])]
    built_in = finished(Training(points, digits, settings, **MLP))
    own = trained(points, digits, as_built_in, settings)
    assert sorted(len(stack.runs) for stack in own.stacks) == [1, 3]  # a depth has a stack of its own
    for one, other in zip(finished(own), built_in, strict=True):
        np.testing.assert_allclose(one.loss, other.loss, rtol=1e-3)
        np.testing.assert_allclose(one.accuracy, other.accuracy, atol=2.5 / 360)


def test_numbers_of_a_module_that_are_no_tensors_tell_kinds_apart(digits):
    def network(sigma_w, sigma_b, depth, classes):
        return dense(sigma_w, sigma_b, depth, classes, between=(partial(Scaled, sigma_w), nn.Tanh))

    pack = trained(POINTS, digits, network)
    assert [len(stack.runs) for stack in pack.stacks] == [1, 1, 1, 1]
    np.testing.assert_allclose(finished(pack)[3].loss, plain_loop(POINTS[3], digits, network)[0], rtol=1e-5)

    points = [Point(1.2, 0.2, 3, s) for s in range(3)]
    assert [len(stack.runs) for stack in trained(points, digits, network).stacks] == [3]


def test_modules_of_one_kind_differ_in_their_tensors_alone():
    def kind(layer):
        return kind_of_module(nn.Sequential(nn.Flatten(), layer))

    class Own(nn.Module):
        def __init__(self, **attributes):
            super().__init__()
            vars(self).update(attributes)

    layers = [nn.Linear(3, 4), nn.Linear(3, 4)]
    assert kind(layers[0]) == kind(layers[1]) != kind(nn.Linear(3, 4, bias=False))
    assert kind(layers[0]) != kind(layers[1].requires_grad_(False))
    for one, same, other in (
        (1, 1, 1.0),
        (math.nan, math.nan, 0.0),
        ([1, {"a": 2}], [1, {"a": 2}], [1, {"a": 3}]),
        (torch.ones(2), torch.ones(2), torch.zeros(2)),
        (torch.ones(2), torch.ones(2), torch.ones(2).double()),
        (np.ones(2), np.ones(2), np.ones((2, 1))),
        (torch.tanh, torch.tanh, torch.relu),
    ):
        assert kind(Own(a=one)) == kind(Own(a=same)) != kind(Own(a=other)), one
    made = [Own(act=lambda x: x) for _ in range(2)]
    assert kind(made[0]) != kind(made[1])
    made[0].register_forward_hook(lambda *_: None)
    assert kind(made[0]) != kind(Own())


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("name", ["batch norm", "dropout"])
def test_a_training_that_goes_on_ends_as_if_it_had_not_been_interrupted(digits, name, optimizer, tmp_path):
    network = (TOGETHER | ONE_BY_ONE)[name]
    settings = replace(SETTINGS, epochs=4, optimizer=optimizer, lr=(0.01, 0.003))
    whole = finished(trained(POINTS, digits, network, settings))
    first = trained(POINTS, digits, network, settings)
    first.epoch()
    first.epoch()
    torch.save(first.state(), tmp_path / "state.pt")  # with plain data and tensors alone, as in `sweep`
    with torch.serialization.safe_globals([Point]):
        saved = torch.load(tmp_path / "state.pt", weights_only=True)
    with pytest.raises(NetworkError, match="makes another network than the one whose training was saved"):
        trained(POINTS, digits, convolutions, settings, saved=saved)
    for _ in range(2):  # what is saved stays as it is
        for one, other in zip(whole, finished(trained(POINTS, digits, network, settings, saved=saved)), strict=True):
            assert np.array_equal(one.loss, other.loss) and np.array_equal(one.accuracy, other.accuracy)


def test_networks_leave_when_they_have_reached_their_level(digits):
    settings = replace(SETTINGS, epochs=4, lr=(0.1,))
    everything = finished(trained(POINTS, digits, dense, settings))
    level = float(np.median([curve.accuracy[1] for curve in everything]))
    leaving = finished(trained(POINTS, digits, dense, replace(settings, level=level)))
    assert len({len(curve.epoch) for curve in leaving}) > 1
    for whole, part in zip(everything, leaving, strict=True):
        above = np.flatnonzero(whole.accuracy > level)
        assert len(part.epoch) == (above[0] + 1 if len(above) else 4)
        np.testing.assert_allclose(whole.loss[: len(part.loss)], part.loss, rtol=1e-5)


def test_a_network_leaves_when_it_has_diverged(digits):
    def network(sigma_w, sigma_b, depth, seed, classes):
        made = dense(sigma_w, sigma_b, depth, classes)
        if seed == 2:
            nn.init.constant_(made[1].weight, math.nan)
        return made

    bad, *good = finished(trained([POINTS[2], *POINTS[:2], POINTS[3]], digits, network))
    assert bad.loss.tolist() == [np.inf] == finished(trained([POINTS[2]], digits, network))[0].loss.tolist()
    assert all(np.isfinite(curve.loss).all() and len(curve.loss) == 3 for curve in good)


def test_dropout_is_on_in_training_and_off_in_tests_and_depends_on_the_point_alone(digits):
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    network, none = ONE_BY_ONE["dropout"], with_(nn.Tanh, partial(nn.Dropout, 0.0))
    first, again, without = (finished(trained(POINTS[:2], digits, n))[0] for n in (network, network, none))
    torch.manual_seed(5)
    turned = finished(trained(POINTS[1::-1], digits, network))[1]
    assert np.array_equal(first.loss, again.loss) and np.array_equal(first.loss, turned.loss)
    assert not np.allclose(first.loss, without.loss, rtol=1e-3)
    torch.set_rng_state(before[2])
    always = finished(trained(POINTS[:2], digits, with_(nn.Tanh, partial(nn.Dropout, 1.0))))[0]
    assert always.loss[0] == pytest.approx(always.loss[-1], rel=0.1)  # the layers are off, but not in tests
    assert before[:2] == (random.getstate(), np.random.get_state()[1].tolist())
    assert torch.equal(before[2], torch.get_rng_state())


def test_random_numbers_of_python_and_numpy_are_noticed(digits):
    class Lucky(nn.Module):
        def __init__(self, draw):
            super().__init__()
            self.draw = draw

        def forward(self, x):
            return x * (1 + self.draw() / 10) if self.training else x

    for draw in (random.random, np.random.random):
        between = partial(nn.Sequential, Lucky(draw))  # one module for all networks, and so one kind
        pack = trained(POINTS, digits, with_(between, nn.Tanh))
        assert {type(stack) for stack in pack.stacks} == {LoneStack}
        (alone,) = finished(trained(POINTS[3:], digits, with_(between, nn.Tanh)))
        assert np.array_equal(finished(pack)[3].loss, alone.loss)


def test_what_is_not_to_be_trained_is_not(digits):
    training = trained(POINTS, digits, frozen, keep=True)
    curve = finished(training)[1]
    made = Custom(frozen).make(POINTS[1], 3, (8, 8), CLASSES).module
    names = [n for n, p in made.named_parameters() if p.requires_grad]
    assert len(curve.trained) == len(names) == 6
    for (value,), name in zip(curve.trained.values(), names, strict=True):
        assert not torch.equal(value, made.get_parameter(name).detach())


def test_from_the_settings_of_the_probes(digits):
    settings = ProbeSettings("direct", images=128, network=Custom(as_built_in), train="all", training=SETTINGS)
    built_in = replace(settings, network=None)
    for own, other in zip(*(measure(POINTS, digits, s) for s in (settings, built_in)), strict=True):
        assert own.status == "ok" and own.values["train_epochs"] == 3
        assert own.values["accuracy"] == pytest.approx(other.values["accuracy"], abs=2.5 / 360)
        assert "train_flops" in other.values.keys() - own.values.keys()  # which are not known
        assert own.values["train_seconds"] > 0 and own.values["chance"] == other.values["chance"]
        np.testing.assert_allclose(own.curves["loss"], other.curves["loss"], rtol=1e-3)


class Wrong(nn.Module):
    """A module that does something wrong when it is trained."""

    def __init__(self, wrong):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Tanh(), nn.Linear(10, 10))
        self.wrong = wrong

    def forward(self, x):
        return self.wrong(self.layers(x)) if torch.is_grad_enabled() and self.training else self.layers(x)


def without_gradients(depth):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Tanh(), nn.Linear(10, 10)).requires_grad_(False)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda logits: logits.no_such_method(), "raised AttributeError: 'Tensor' object has no attribute"),
        (lambda logits: logits[:, :9], r"must give logits \[images, 10\], got the shape \[50, 9\]"),
        (lambda logits: [logits], r"must give logits \[images, 10\], got a list"),
        (None, "must have parameters that require gradients, to be trained"),
    ],
)
def test_networks_that_cannot_be_trained_fail_with_one_clear_line(digits, wrong, message):
    network = without_gradients if wrong is None else lambda depth: Wrong(wrong)
    prober = Prober(digits, ProbeSettings("direct", images=64, network=Custom(network), train="all", training=SETTINGS))
    for m in prober.measure([Point(1.0, 0.1, 1, s) for s in range(3)]):
        assert m.status == "failed" and re.search(f"^NetworkError: `network` \\w+|<lambda> {message}", m.error), m.error
        assert "\n" not in m.error


def test_a_pack_without_memory_is_trained_in_halves(digits, monkeypatch):
    def works(*_):
        raise torch.OutOfMemoryError("no memory for so many")

    monkeypatch.setattr(JointStack, "works", works)
    settings = ProbeSettings("direct", images=64, network=Custom(dense), train="all", training=SETTINGS)
    measured = measure(POINTS, digits, settings)  # two networks are trained one by one
    assert [(m.status, m.values["pack_halved"]) for m in measured] == [("ok", 1)] * 4


def test_one_network_that_fails_leaves_the_others_alone(digits):
    def network(sigma_w, sigma_b, depth, seed, classes):
        if seed == 2:
            return Wrong(lambda logits: 1 / 0)
        return dense(sigma_w, sigma_b, depth, classes)

    settings = ProbeSettings("direct", images=64, network=Custom(network), train="all", training=SETTINGS)
    points = [Point(1.2, 0.1, 1, s) for s in range(4)]
    measured = measure(points, digits, settings)
    assert [m.status for m in measured] == ["ok", "ok", "failed", "ok"]
    assert measured[2].error.endswith("ZeroDivisionError: division by zero") and "accuracy" in measured[3].values


def test_no_memory_is_kept_by_a_training_that_is_over(digits):
    import gc
    import weakref

    gc.collect()
    gc.disable()
    try:
        training = trained(POINTS, digits, dense)
        training.epoch()
        (stack,) = training.stacks
        parameters = [weakref.ref(p) for kind in stack.tensors for (p,) in kind.values()]
        del training, stack
        assert [p() for p in parameters] == [None] * len(parameters)  # without the garbage collector
    finally:
        gc.enable()
