"""Networks of users are trained as a plain loop over their modules trains them, together or one by one."""

import math
from functools import partial

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from probes import Point
from probes.custom.function import Custom
from probes.networks import READOUT, Architecture
from probes.training import Training, TrainingSettings
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
    "weight norm": weight_normed,
    "lazy": lazy,
}
ONE_BY_ONE = {
    "dropout": with_(nn.Tanh, partial(nn.Dropout, 0.3)),
    "data-dependent": with_(Deciding),
    "cumulative batch norm": with_(partial(nn.BatchNorm1d, WIDTH, momentum=None), nn.Tanh),
    "convolutions": convolutions,
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
