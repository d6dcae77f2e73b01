"""Networks of users: read as the built-in ones are, and refused in one clear line."""

import math
import random

import numpy as np
import pytest
import torch
from torch import nn

import probes
from probes import Point, ProbeSettings, measure
from probes.custom.function import ARGUMENTS, Custom, NetworkError
from probes.custom.network import CustomNetwork, is_nested
from probes.custom.quick import QuickProducts
from probes.custom.redrawing import redraw, sigmas
from probes.initialisations import INITIALISATIONS
from probes.seeds import generator

SHAPE, CLASSES = (8, 8), 10


def linear(inputs, outputs, sigma_w, sigma_b, seed, number):
    """Return a dense layer with the draws of a built-in network."""
    made, drawn = nn.Linear(inputs, outputs), generator(seed, "network", number)
    with torch.no_grad():
        made.weight.copy_((torch.randn(inputs, outputs, generator=drawn) * sigma_w / math.sqrt(inputs)).T)
        made.bias.copy_(torch.randn(outputs, generator=drawn) * sigma_b)
    return made


def mlp(sigma_w, sigma_b, depth, seed, shape, classes):
    pixels = math.prod(shape)
    layers = [nn.Flatten()]
    for number in range(1, depth + 1):
        layers += [linear(pixels, pixels, sigma_w, sigma_b, seed, number), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(pixels, classes)), layers[2::2]


def drawn_in_order(depth, shape, classes):
    """Return a network whose weights come from torch's global generator."""
    pixels = math.prod(shape)
    hidden = [nn.Sequential(nn.Linear(pixels, pixels), nn.ReLU(inplace=True)) for _ in range(depth)]
    return nn.Sequential(nn.Flatten(), nn.Sequential(*hidden), nn.Linear(pixels, classes))


def network(function, depth=3, layers=None, **place):
    return CustomNetwork(
        Point(**{"sigma_w": 1.2, "sigma_b": 0.1, **place, "depth": depth}), Custom(function, layers), SHAPE, CLASSES
    )


def activations(found, images):
    return [x.clone() for _, x in found.walk(images)]


@pytest.fixture(scope="module")
def images(digits):
    return digits.train[:80]


@pytest.mark.parametrize("place", [(1.4, 0.2, 20), (2.2, 0.2, 30), (0.7, 0.1, 25), (0.05, 0.1, 40), (20.0, 0.0, 3)])
def test_a_users_mlp_is_measured_as_the_built_in_one(digits, place):
    (one,), (other,) = (
        measure([Point(*place, seed=3)], digits, ProbeSettings("direct", images=256), network=n) for n in (mlp, None)
    )
    assert one.status == other.status == "ok"
    for name in ("direct_horizon", "direct_retained", "gradient_horizon", "gradient_norm", "gradient_ratio", "margin"):
        assert one.values[name] == pytest.approx(other.values[name], rel=1e-3, abs=1e-4), name
    assert one.values["margin_censored"] == other.values["margin_censored"]
    np.testing.assert_allclose(one.profiles["direct_retained"], other.profiles["direct_retained"], atol=1e-4)
    np.testing.assert_allclose(one.profiles["gradient_norm"], other.profiles["gradient_norm"], atol=1e-3)


def test_a_network_that_explodes_diverges(digits):
    def relu(depth, shape, classes):
        layers = [nn.Linear(64, 64) for _ in range(depth)]
        for layer in layers:
            nn.init.normal_(layer.weight, std=20.0)
        return nn.Sequential(nn.Flatten(), *(m for layer in layers for m in (layer, nn.ReLU())), nn.Linear(64, classes))

    (m,) = measure([Point(1.0, 0.1, 30)], digits, ProbeSettings("direct", images=64), network=relu)
    assert m.status == "diverged" and m.values["direct_retained"] == 0
    assert math.isfinite(m.values["margin"]) and m.values["gradient_norm"] > 20


def test_layers_are_the_children_of_the_outermost_list(images):
    def of_activations(depth, shape, classes):
        hidden = [m for _ in range(depth) for m in (nn.Linear(64, 64), nn.Tanh())]
        return nn.Sequential(nn.Flatten(), nn.Sequential(*hidden), nn.Linear(64, classes))

    def flat(depth, shape, classes):
        hidden = [m for _ in range(depth) for m in (nn.Linear(64, 64), nn.Tanh())]
        return nn.Sequential(*hidden, nn.Linear(64, classes))

    class Wrapped(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x.flatten(1))

    # Flatten, the list and the read-out, which is no hidden layer: two layers at any depth
    with pytest.raises(NetworkError, match=r"of_activations has 2 layers at depth 3: name more with `layers`"):
        network(of_activations)
    found = network(lambda depth, shape, classes: Wrapped(flat(depth, shape, classes)))
    with torch.no_grad():
        for number, x in list(found.walk(images, until=3)):
            assert x.abs().max() <= 1  # of the modules Tanh
            module = found._own[0].made.module.inner[: 2 * number]
            torch.testing.assert_close(x, module(images))
    by_name = network(of_activations, layers=r"1\.\d*[13579]")
    assert all(isinstance(layer, nn.Tanh) for layer in by_name._own[0].made.layers)


def test_what_is_read_is_what_the_layer_gave(images):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(64, 64)

        def forward(self, x, kept=None):
            return self.linear(x), kept

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.block, self.head = Block(), nn.Linear(64, CLASSES)
            self.blocks = nn.ModuleList([self.block])

        def forward(self, x):
            x = x.flatten(1)
            for _ in range(3):  # the same layer, at every call
                x, _ = self.block(x)
                x.relu_()
            return self.head(x)

    found = network(lambda depth: Net(), layers=r"block", depth=3)
    first, *_ = activations(found, images)
    block = found._own[0].made.module.block
    with torch.no_grad():
        torch.testing.assert_close(first, block.linear(images))  # not yet rectified
    assert (first < 0).any() and found._own[1] == [1, 2, 3] and found.reach == 3
    assert found.gradients(images).norm < 0


def test_dropout_is_off_and_batch_norm_goes_by_the_images(images):
    def made(depth, shape, classes):
        hidden = [nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.Dropout(0.9)) for _ in range(depth)]
        return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(64, classes)), hidden

    found = network(made, depth=2)
    first, again = activations(found, images), activations(found, images)
    assert all(map(torch.equal, first, again))
    torch.testing.assert_close(first[0].mean(0), torch.zeros(64), atol=1e-5, rtol=0)


def test_a_walk_can_begin_anywhere(images):
    found = network(mlp, depth=6)
    whole = activations(found, images)
    assert len(whole) == 18
    list(found.walk(images, until=5))
    for start in (3, 9):  # among what is kept, and beyond
        number, x = next(iter(found.walk(whole[start - 1], start=start)))
        assert number == start + 1 and torch.equal(x, whole[start])


def test_a_walk_that_is_left_leaves_no_thread_behind(images):
    import threading

    before = threading.active_count()
    next(iter(network(mlp, depth=20).walk(images)))
    assert threading.active_count() == before


def test_numbers_depend_on_the_point_alone(digits):
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()

    def unruly(depth, shape, classes):
        torch.manual_seed(5), np.random.seed(5), random.seed(5)
        torch.set_default_dtype(torch.float64)
        print("made")
        return drawn_in_order(depth, shape, classes).float()

    points = [Point(1.0, 0.1, 3, seed) for seed in (0, 1)]
    settings = ProbeSettings("direct", images=64)
    for function, differs in ((drawn_in_order, True), (unruly, False)):
        custom = Custom(function, r"1\.\d+")
        together = measure(points, digits, settings, network=custom)
        alone = [measure([p], digits, settings, network=custom)[0] for p in reversed(points)][::-1]
        values = [[m.values["direct_retained"] for m in one] for one in (together, alone)]
        assert values[0] == values[1] and (values[0][0] != values[0][1]) == differs
    assert torch.get_default_dtype() == torch.float32
    assert before[:2] == (random.getstate(), np.random.get_state()[1].tolist())
    assert torch.equal(before[2], torch.get_rng_state())


def test_which_networks_are_followed_beyond_their_depth():
    assert is_nested(Custom(mlp), SHAPE, CLASSES)
    assert is_nested(Custom(drawn_in_order, r"1\.\d+"), SHAPE, CLASSES)  # its read-out is drawn last

    def of_readout(depth, shape, classes):
        readout = nn.Linear(64, classes)
        nn.init.normal_(readout.weight, std=depth)
        hidden = [nn.Sequential(nn.Linear(64, 64), nn.Tanh()) for _ in range(depth)]
        for k, layer in enumerate(hidden):
            nn.init.normal_(layer[0].weight, std=(depth - k) / 64)
        return nn.Sequential(nn.Flatten(), *hidden, readout), hidden

    assert not is_nested(Custom(of_readout), SHAPE, CLASSES)
    assert network(of_readout, depth=5).reach == 5


def test_a_function_without_a_depth_has_that_of_its_module(digits):
    def made(classes):
        hidden = [nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten()]
        return nn.Sequential(nn.Unflatten(1, (1, 8)), *hidden, nn.Linear(64, classes))

    wrong, right = measure(
        [Point(1.0, 0.1, depth) for depth in (4, 6)], digits, ProbeSettings("direct", images=64), network=made
    )
    assert (
        wrong.status == "failed" and "`depth` must be 6, the number of layers of `network` made, got 4" in wrong.error
    )
    assert right.status == "ok" and right.profiles["direct_retained"].shape == (6,)
    assert network(made, depth=6).convolutional


def test_outputs_that_are_not_numbers_diverge(digits):
    def made(depth, classes):
        layers = [nn.Flatten(), *(nn.Linear(64, 64) for _ in range(depth)), nn.Linear(64, classes)]
        nn.init.constant_(layers[1].weight, math.nan)
        return nn.Sequential(*layers), layers[1:-1]

    (m,) = measure([Point(1.0, 0.1, 3)], digits, ProbeSettings("direct", images=64), network=made)
    assert m.status == "diverged" and m.values["direct_retained"] == 0


@pytest.mark.parametrize(
    ("function", "layers", "message"),
    [
        (lambda sigma_w, width: None, None, rf"may have the arguments {', '.join(ARGUMENTS)}, got width"),
        (3, None, "must be a function with a signature, got 3"),
        (mlp, "(", "`layers` must be a regular expression, got '\\('"),
    ],
)
def test_functions_that_cannot_be_called_are_refused(function, layers, message):
    with pytest.raises(NetworkError, match=message):
        Custom(function, layers)


def test_arguments_that_a_function_does_not_have_are_left_out():
    assert Custom(lambda depth, width=3: None).arguments == ("depth",)
    assert Custom(lambda **all_of_them: None).arguments == ARGUMENTS
    with pytest.raises(NetworkError, match=r"`layers` must match names of modules, got 'x': the first are 0, 1, 1.0, "):
        network(drawn_in_order, layers="x")


class Mixed(nn.Module):
    """A module with layers of many kinds."""

    def __init__(self):
        super().__init__()
        self.linear, self.grouped = nn.Linear(60, 90), nn.Conv2d(40, 80, 3, groups=2)
        self.attention, self.norm = nn.MultiheadAttention(64, 4), nn.LayerNorm(64)
        self.position, self.embedding = nn.Parameter(torch.zeros(3, 64)), nn.Embedding(5, 6)
        self.back = nn.ConvTranspose2d(4, 4, 3)


@pytest.mark.parametrize("initialise", INITIALISATIONS)
def test_which_parameters_are_drawn_anew_and_how(initialise):
    module = Mixed()
    before = {n: p.detach().clone() for n, p in module.named_parameters()}
    redraw(module, Point(1.5, 0.3, 1, 4), initialise)
    fan_ins = {"linear": 60, "grouped": 20 * 9, "attention.in_proj": 64, "attention.out_proj": 64}
    for name, parameter in module.named_parameters():
        part = name.removesuffix("_weight").removesuffix(".weight").removesuffix("_bias").removesuffix(".bias")
        if part not in fan_ins:
            assert torch.equal(parameter, before[name]), name
        elif name.endswith("weight"):
            assert float(parameter.detach().std()) == pytest.approx(1.5 / math.sqrt(fan_ins[part]), rel=0.05), name
        else:
            assert float(parameter.detach().std()) == pytest.approx(0.3, rel=0.35), name
    if initialise == "orthogonal":
        query, key, _ = module.attention.in_proj_weight.detach().chunk(3)
        for matrix in (query, module.attention.out_proj.weight.detach()):
            torch.testing.assert_close(matrix @ matrix.T, 2.25 * torch.eye(64), atol=1e-4, rtol=0)
        assert not torch.equal(query, key)
        first, second = module.grouped.weight.detach().flatten(1).chunk(2)
        for group in (first, second):
            off = group @ group.T - torch.diag((group @ group.T).diagonal())
            assert off.abs().max() < 1e-4


def test_networks_drawn_anew_depend_on_the_point_alone(digits, images):
    found = network(drawn_in_order, 4, r"1\.\d+")
    one, other = (
        CustomNetwork(Point(1.2, 0.1, 4, seed), Custom(drawn_in_order, r"1\.\d+", "normal"), SHAPE, CLASSES)
        for seed in (0, 0)
    )
    own, first, second = (activations(n, images) for n in (found, one, other))
    assert all(map(torch.equal, first, second)) and not torch.equal(own[0], first[0])
    assert one.reach == 12  # a deeper network contains the shallower one
    with pytest.raises(NetworkError, match="`initialise` must be one of normal, .*, got 'x'"):
        Custom(mlp, initialise="x")


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(64, 64)), "is computed from other parameters"),
        (lambda: nn.LazyLinear(64), "has no shape yet"),
    ],
)
def test_weights_that_cannot_be_drawn_anew(digits, layer, message):
    def made(classes):
        return nn.Sequential(nn.Flatten(), layer(), nn.Linear(64, classes))

    (m,) = measure([Point(1.0, 0.1, 2)], digits, network=Custom(made, initialise="normal"))
    assert m.status == "failed" and message in m.error and "'1'" in m.error


def test_a_module_of_ones_own_is_initialised():
    module = nn.Sequential(nn.Conv2d(4, 64, 3, groups=2), nn.LayerNorm(5), nn.Linear(400, 300), nn.Linear(300, 9))
    assert probes.initialise(module, 1.7, 0.3) is module
    sigma_w, sigma_b = sigmas(module)
    assert sigma_w == pytest.approx([1.7] * 4, rel=0.05) and sigma_b == pytest.approx([0.3] * 3, rel=0.6)
    assert module[2].weight.std().item() == pytest.approx(1.7 / math.sqrt(400), rel=0.02)
    assert torch.equal(module[1].weight, torch.ones(5))
    before = module[2].weight.clone()
    assert torch.equal(probes.initialise(module, 1.7, 0.3)[2].weight, before)
    assert not torch.equal(probes.initialise(module, 1.7, 0.3, seed=1)[2].weight, before)
    square = probes.initialise(nn.Linear(50, 50), 2.0, 0.0, "orthogonal").weight
    torch.testing.assert_close(square @ square.T, 4 * torch.eye(50), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("module", "more", "message"),
    [
        ("linear", {}, "`module` must be a torch.nn.Module, got str"),
        (nn.Tanh(), {}, "`module` must have a Linear, Conv or MultiheadAttention"),
        (nn.Linear(2, 2), {"kind": "xavier"}, "`kind` must be one of normal, .*, got 'xavier'"),
        (nn.Linear(2, 2), {"sigma_w": 0}, "`sigma_w` must be above 0"),
        (nn.LazyLinear(2), {}, "has no shape yet"),
    ],
)
def test_what_cannot_be_initialised_is_refused(module, more, message):
    with pytest.raises(ValueError, match=message):
        probes.initialise(module, **{"sigma_w": 1.0, "sigma_b": 0.1, **more})


@pytest.mark.parametrize("shape", [(600, 64), (40, 30, 64), (4, 64)])
@pytest.mark.parametrize("bias", [True, False])
def test_quick_products_are_those_of_torch(shape, bias):
    layer, x = nn.Linear(64, 48, bias=bias), torch.randn(shape)
    with torch.no_grad(), QuickProducts():
        torch.testing.assert_close(layer(x), layer.double()(x.double()).float(), rtol=1e-5, atol=1e-5)
        assert layer(x.double()).dtype == torch.float64
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert layer.float()(x).dtype == torch.bfloat16
    with QuickProducts():
        assert layer(x).requires_grad
