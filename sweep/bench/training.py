"""Benchmark of training: of a pack compared with a plain loop, and of a step compared with its products alone."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.functional import conv2d
from torch.nn.grad import conv2d_input, conv2d_weight

from probes import Custom, Images, Point, load_images
from probes.decoders import BATCH
from probes.layers import KERNEL_SIZE
from probes.networks import Architecture, Network
from probes.plain import descend_plainly, train_plainly
from probes.products import add_product, stacked_affine, stacked_matmul
from probes.threads import one_thread
from probes.training import Training, train_pack
from probes.training.data import TrainingData
from probes.training.settings import TEST_IMAGES, TrainingSettings
from probes.training.stack import LayeredStack
from sweep.bench.figure import Figure, default_device, timed_in_turns

SIGMA_B = 0.05**0.5
NETWORKS, TRAINED_DEPTH, TRAINED_STEPS = 12, 60, 30
STEPS = 10
PACKS: dict[str, dict[str, Any]] = {
    "width 196, depth 60, a pack of 12": {"depth": 60, "pack": 12},
    "width 32, depth 40, a pack of 12": {"width": 32, "depth": 40, "pack": 12},
    "shrinking, depth 40, a pack of 12": {"architecture": "shrinking", "depth": 40, "pack": 12},
    "convolutions, 8 channels on 14 x 14, depth 12, a pack of 4": {
        "architecture": "conv",
        "width": 8,
        "depth": 12,
        "pack": 4,
    },
}
OWN_NETWORKS, OWN_WIDTH, OWN_DEPTH = 24, 196, 30
_TINY_RATE = 1e-12  # so that weights that are updated with random numbers stay what they are


@torch.no_grad()
def training(images: Images) -> Iterator[Figure]:
    """Yield the time of training twelve networks of width 196 and depth 60, as a pack and one after another."""
    data, device = load_images("noise", resize=14), default_device()
    settings = TrainingSettings(epochs=1, images=BATCH * TRAINED_STEPS)
    points = [Point(1.0 + 0.1 * i, SIGMA_B, TRAINED_DEPTH, i) for i in range(NETWORKS)]
    architecture = Architecture("mlp", data.shape, data.classes)
    test = (data.test[:TEST_IMAGES].to(device), data.test_labels[:TEST_IMAGES].to(device))
    x, y = (t[: settings.images].to(device) for t in (data.train, data.train_labels))

    def plainly() -> None:
        for point in points:
            network = Network(point, architecture, "tanh", device)
            batches = zip(x.split(BATCH), y.split(BATCH), strict=True)
            plain = train_plainly(network, batches, learning_rate=settings.lr[0])
            (plain(test[0]).argmax(1) == test[1]).sum().item()

    def packed() -> None:
        train_pack(points, data, settings, architecture=architecture, activation="tanh", device=device)

    separate, together = timed_in_turns(plainly, packed, device=device, rounds=2)
    per_step = 1e3 / TRAINED_STEPS / NETWORKS
    yield Figure(f"plain loop, width 196, depth {TRAINED_DEPTH}, a step of a network", separate * per_step, "ms")
    yield Figure(f"a pack of {NETWORKS}", together * per_step, "ms")
    yield Figure("  times faster than one after another", separate / together, "x", 3.0)
    for name, keys in PACKS.items():
        step, limit = step_and_limit(data, device, **keys)
        yield Figure(f"{name}: a step", 1e3 * step, "ms")
        yield Figure("  the limit: one forward and two backward products a layer, and the update", 1e3 * limit, "ms")
        yield Figure("  a step takes, in units of the limit", step / limit, "x", 1.4, at_least=False)
    for name, (network, bar) in {"trained together": (dense, 0.75), "with dropout": (with_dropout, 1.05)}.items():
        plain, own = own_networks(data, device, settings, network)
        yield Figure(f"{OWN_NETWORKS} networks of a user, {name}: plain loop, a step of a network", plain, "ms")
        yield Figure("  as a pack, in units of the plain loop", own / plain, "x", bar, at_least=False)


def own_networks(
    images: Images, device: str, settings: TrainingSettings, network: Callable[..., nn.Module]
) -> list[float]:
    """Return the milliseconds a step of networks that a function makes: in a plain loop, and as a pack."""
    custom, points = Custom(network), [Point(1.0 + 0.05 * i, SIGMA_B, OWN_DEPTH, i) for i in range(OWN_NETWORKS)]
    layers = Architecture("mlp", images.shape, images.classes)  # which is not used
    data = TrainingData(images, settings, torch.device(device))

    def plainly() -> None:
        for point in points:
            module = custom.make(point, point.depth, images.shape, images.classes, dropout=True).module.to(device)
            descend_plainly(module, data.batches(0), learning_rate=settings.lr[0])
            module.eval()
            sum((module(x).argmax(1) == y).sum().item() for x, y in data.test_chunks())

    def packed() -> None:
        training = Training(
            points, images, settings, architecture=layers, activation="tanh", network=custom, device=device
        )
        while training.running:
            training.epoch()

    return [1e3 * t / data.steps / OWN_NETWORKS for t in timed_in_turns(plainly, packed, device=device, rounds=2)]


def dense(sigma_w: float, sigma_b: float, depth: int, classes: int, *, dropout: float = 0.0) -> nn.Module:
    """Return a dense tanh network of the width of its images, as a user would write it."""
    layers: list[nn.Module] = [nn.Flatten()]
    for _ in range(depth):
        linear = nn.Linear(OWN_WIDTH, OWN_WIDTH)
        nn.init.normal_(linear.weight, std=sigma_w / OWN_WIDTH**0.5)
        nn.init.normal_(linear.bias, std=sigma_b)
        layers += [linear, nn.Tanh(), *([nn.Dropout(dropout)] if dropout else [])]
    return nn.Sequential(*layers, nn.Linear(OWN_WIDTH, classes))


def with_dropout(sigma_w: float, sigma_b: float, depth: int, classes: int) -> nn.Module:
    """Return the same network with dropout, for which vmap does not apply."""
    return dense(sigma_w, sigma_b, depth, classes, dropout=0.1)


def step_and_limit(
    images: Images, device: str, *, depth: int, pack: int, architecture: str = "mlp", width: int | None = None
) -> tuple[float, float]:
    """Return the seconds of a training step of a pack, and of its products alone; on a CPU, of one thread."""
    settings = TrainingSettings(images=BATCH * STEPS)
    layers = Architecture(architecture, images.shape, images.classes, width)
    points = [Point(1.0 + 0.05 * i, SIGMA_B, depth, i) for i in range(pack)]
    every = Training(points, images, settings, architecture=layers, activation="tanh", device=device).stacks
    stacks = [s for s in every if isinstance(s, LayeredStack)]
    data = TrainingData(images, settings, torch.device(device))
    products = [products_of(stack) for stack in stacks]

    def steps() -> None:
        for stack in stacks:
            stack.steps(data)

    def limit() -> None:
        for work in products:
            for _ in range(data.steps):
                work()

    with one_thread():
        whole, alone = timed_in_turns(steps, limit, device=device)
    return whole / data.steps, alone / data.steps


def products_of(stack: LayeredStack) -> Callable[[], None]:
    """Return a function that computes the products of a training step of a stack of networks, and nothing else."""
    weights = [torch.randn_like(stack.parameters[n][0]) * layer.inputs**-0.5 for n, layer in stack.layers.items()]
    biases = [torch.zeros_like(stack.parameters[n][1]) for n in stack.layers]
    if stack.layers[1].size is not None:
        return _convolutions(weights, biases, [layer.size for layer in stack.layers.values() if layer.size])
    return _dense_products(weights, biases, stack.lone)


def _dense_products(weights: list[torch.Tensor], biases: list[torch.Tensor], lone: bool) -> Callable[[], None]:
    """Return the function of `products_of` for weights ``[stack, inputs, outputs]``."""
    sizes = [weights[0].shape[1], *(w.shape[2] for w in weights)]
    h = [weights[0].new_empty(len(weights[0]), BATCH, size).normal_() for size in sizes]

    def work() -> None:
        for i, w in enumerate(weights):
            h[i + 1] = stacked_affine(h[i], w, biases[i][:, None], h[i + 1], lone=lone)
        e = h[-1]
        for i in reversed(range(len(weights))):
            before = stacked_matmul(e, weights[i].mT, torch.empty_like(h[i]), lone=lone) if i else e
            add_product(weights[i], h[i].mT, e, -_TINY_RATE, lone=lone)
            e = before

    return work


def _convolutions(
    weights: list[torch.Tensor], biases: list[torch.Tensor], sizes: list[tuple[int, int]]
) -> Callable[[], None]:
    """Return the function of `products_of` for weights ``[stack, out, in, kernel, kernel]``."""
    groups, edges = len(weights[0]), KERNEL_SIZE - 1
    inputs = [
        w.new_empty(BATCH, groups * w.shape[2], height + edges, width + edges).normal_()
        for w, (height, width) in zip(weights, sizes, strict=True)
    ]
    weights, biases = [w.flatten(0, 1) for w in weights], [b.flatten() for b in biases]
    e = [x.new_empty(BATCH, len(w), *size).normal_() for x, w, size in zip(inputs, weights, sizes, strict=True)]

    def work() -> None:
        for x, w, b in zip(inputs, weights, biases, strict=True):
            conv2d(x, w, b, groups=groups)
        for i in reversed(range(len(weights))):
            if i:
                conv2d_input(inputs[i].shape, weights[i], e[i], groups=groups)
            by_weight = conv2d_weight(inputs[i], weights[i].shape, e[i], groups=groups)
            weights[i].sub_(by_weight, alpha=_TINY_RATE)

    return work
