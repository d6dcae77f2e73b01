"""Train networks by advice and by rules of thumb: `python -m tests.study.initialisations [CASE...]`.

Each case is a network that is trained at three depths and with two seeds, with every initialisation alike: those of
`RULES`, what `sweep.advise` recommends for this depth, and the critical sigmas of mean field theory. The data
are digits. Training is that of `tests.study.examples`, Adam at 0.001 and 15 epochs, but that it ends at a test accuracy
of 0.9. All rules have biases of zero; torch's default and advice have their own. What the file of a case lacks is
measured: the files are in `tests/examples/initialised`, and a new initialisation does not repeat the others.

An initialisation *trains* at a depth if the mean accuracy over the seeds is above half way between chance and the best
accuracy of the case. How deep it trains is the largest of the three depths at which it does, or 0.
"""

import math
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

import sweep
from probes import Custom, Images, Point, ProbeSettings, TrainingSettings, initialise, load_images
from probes.critical import critical_sigma_w
from probes.initialisations import NORMAL, ORTHOGONAL
from probes.prober import Prober
from probes.training.settings import chance
from tests.examples import networks

FOLDER = Path(networks.__file__).parent / "initialised"
DEFAULT = "torch's default"
SEEDS = 2
_SEED_STEP = 1000  # between the seeds of two initialisations, whose networks are trained together
_LSUV_IMAGES = 256
_TRAINING = TrainingSettings(epochs=15, optimizer="adam", lr=(0.001,), level=0.9, patience="auto")


def _plain(activation: type[nn.Module]) -> Callable[..., Any]:
    """Return a function that makes dense layers with an activation."""

    def network(depth, shape, classes):
        sizes = [math.prod(shape), *[networks.WIDTH] * depth]
        layers = [nn.Sequential(nn.Linear(a, b), activation()) for a, b in zip(sizes, sizes[1:], strict=False)]
        return nn.Sequential(nn.Flatten(), *layers, nn.Linear(networks.WIDTH, classes)), layers

    return network


def _tanh_cnn(depth, shape, classes):
    """Return the convolutions of `networks.vgg` with tanh."""
    module, layers = networks.vgg(depth, shape, classes)
    for block in layers:
        block[1] = nn.Tanh()
    return module, layers


class _Patches(nn.Module):
    """The four quarters of an image as tokens, each with its position."""

    def __init__(self, shape):
        super().__init__()
        channels, *sides = (1, *shape) if len(shape) == 2 else shape
        size = [side // 2 for side in sides]
        self.shape = channels, *sides
        self.embedding = nn.Conv2d(channels, networks.WIDTH, size, stride=size)
        self.positions = nn.Parameter(0.02 * torch.randn(4, networks.WIDTH))

    def forward(self, images):
        """Return tokens ``[N, 4, WIDTH]``."""
        return self.embedding(images.view(-1, *self.shape)).flatten(2).mT + self.positions


def _post_norm_transformer(depth, shape, classes):
    """Return `networks.post_norm_transformer` on four tokens, where it takes a fourth of the time."""
    module, layers = networks.post_norm_transformer(depth, shape, classes)
    module[0] = _Patches(shape)
    return module, layers


@dataclass(frozen=True)
class Case:
    """A network that a function makes, at some depths.

    Attributes
    ----------
    function:
        As of `probes.Custom`.
    depths:
        The depths.
    gain:
        What `nn.init.calculate_gain` is asked for; that of relu where it does not know the activation.
    theory:
        The activation that mean field theory is asked for; None where there is none of such networks.
    """

    function: Callable[..., Any]
    depths: tuple[int, ...]
    gain: str
    theory: str | None = None


_DENSE, _OTHERS = (10, 30, 90), (4, 12, 36)
CASES = {
    "tanh_mlp": Case(networks.tanh_mlp, _DENSE, "tanh", "tanh"),
    "relu_mlp": Case(_plain(nn.ReLU), _DENSE, "relu", "relu"),
    "gelu_mlp": Case(networks.gelu_mlp, _DENSE, "relu", "gelu"),
    "selu_mlp": Case(networks.selu_mlp, _DENSE, "selu", "selu"),
    "sigmoid_mlp": Case(_plain(nn.Sigmoid), (3, 10, 30), "sigmoid", "sigmoid"),
    "pre_norm_mlp": Case(networks.pre_norm_mlp, _DENSE, "relu"),
    "tanh_cnn": Case(_tanh_cnn, _OTHERS, "tanh", "tanh"),
    "vgg": Case(networks.vgg, _OTHERS, "relu", "relu"),
    "resnet": Case(networks.resnet, (3, 9, 27), "relu"),
    "post_norm_transformer": Case(_post_norm_transformer, (2, 6, 18), "relu"),
}

Rule = Callable[[nn.Module, Case, Images], None]


def _weights(module: nn.Module) -> Iterator[torch.Tensor]:
    """Yield the matrices and kernels of a module; those of queries, keys and values one by one."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            yield part.weight
        elif isinstance(part, nn.MultiheadAttention):
            yield from part.in_proj_weight.chunk(3)


@torch.no_grad()
def _without_biases(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            nn.init.zeros_(part.bias)
        elif isinstance(part, nn.MultiheadAttention):
            nn.init.zeros_(part.in_proj_bias)


def _by(draw: Callable[[torch.Tensor, str], Any]) -> Rule:
    """Return the rule that draws every weight by a function of `torch.nn.init`; biases are zero."""

    @torch.no_grad()
    def rule(module: nn.Module, case: Case, images: Images) -> None:
        for weight in _weights(module):
            draw(weight, case.gain)
        _without_biases(module)

    return rule


def _as_made(module: nn.Module, case: Case, images: Images) -> None:
    """Leave a module as its function has made it."""


@torch.no_grad()
def _lsuv(module: nn.Module, case: Case, images: Images) -> None:
    """Draw orthogonal weights, and scale those of each layer to outputs of variance 1 (arXiv:1511.06422).

    As biases are zero, outputs are proportional to the weight: one division does what the paper's steps come to.
    """

    def scale(part: nn.Module, _: Any, output: torch.Tensor) -> torch.Tensor:
        deviation = output.std()
        (part.out_proj if isinstance(part, nn.MultiheadAttention) else part).weight.div_(deviation)
        return output / deviation

    _by(lambda weight, _: nn.init.orthogonal_(weight))(module, case, images)
    scaled = (nn.Linear, nn.Conv2d, nn.MultiheadAttention)
    hooks = [part.register_forward_hook(scale) for part in module.modules() if isinstance(part, scaled)]
    module(images.train[:_LSUV_IMAGES].view(-1, *images.shape))
    for hook in hooks:
        hook.remove()


RULES: dict[str, Rule] = {
    DEFAULT: _as_made,
    "Kaiming": _by(lambda weight, gain: nn.init.normal_(weight, std=_gain(gain) / math.sqrt(weight[0].numel()))),
    "Xavier": _by(lambda weight, gain: nn.init.xavier_normal_(weight, _gain(gain))),
    "orthogonal": _by(lambda weight, gain: nn.init.orthogonal_(weight, _gain(gain))),
    "LSUV": _lsuv,
}
# Whose sigmas `probes.initialise` draws weights with.
ADVICE, ADVICE_NORMAL = "advice", "advice, normal"
MEAN_FIELD, MEAN_FIELD_ORTHOGONAL = "mean field", "mean field, orthogonal"
INITIALISATIONS = (ADVICE, ADVICE_NORMAL, *RULES, MEAN_FIELD, MEAN_FIELD_ORTHOGONAL)
Place = tuple[float, float, str]  # sigma_w, sigma_b and the distribution of the weights


def _gain(name: str) -> float:
    return float(nn.init.calculate_gain(name))


def place(name: str, case: Case, depth: int, images: Images) -> Place | None:
    """Return the sigmas and the weights of an initialisation; those of mean field are critical without biases."""
    if name in (ADVICE, ADVICE_NORMAL):
        asked = None if name == ADVICE else NORMAL
        advice = sweep.advise(case.function, depth=depth, data=images, initialise=asked)
        return advice.sigma_w, advice.sigma_b, advice.initialise
    if name in (MEAN_FIELD, MEAN_FIELD_ORTHOGONAL) and case.theory:
        return critical_sigma_w(0.0, case.theory), 0.0, NORMAL if name == MEAN_FIELD else ORTHOGONAL
    return None


def measure(name: str, known: Collection[tuple[str, int]] = ()) -> Iterator[pd.DataFrame]:
    """Yield the networks of a case, trained with each initialisation, one depth after another.

    Initialisations and depths that are ``known`` are left out.
    """
    case, images = CASES[name], load_images("digits")
    names = [each for each in INITIALISATIONS if case.theory or each not in (MEAN_FIELD, MEAN_FIELD_ORTHOGONAL)]
    for depth in case.depths:
        if lacking := [each for each in names if (each, depth) not in known]:
            yield trained(case, depth, images, {each: place(each, case, depth, images) for each in lacking})


def trained(case: Case, depth: int, images: Images, places: dict[str, Place | None]) -> pd.DataFrame:
    """Return the networks of one depth after training, with initialisations whose places are given, if they have some.

    They are trained together.
    """
    names = list(places)

    def network(depth, seed, shape, classes):
        number, own_seed = divmod(seed, _SEED_STEP)
        torch.manual_seed(own_seed)
        module, layers = case.function(depth=depth, shape=shape, classes=classes)
        if (drawn := places[names[number]]) is not None:
            initialise(module, *drawn, seed=own_seed)
        else:
            RULES[names[number]](module, case, images)
        return module, layers

    prober = Prober(images, ProbeSettings("direct", network=Custom(network), train="all", training=_TRAINING))
    points = [Point(1.0, 0.0, depth, _SEED_STEP * n + seed) for n in range(len(names)) for seed in range(SEEDS)]
    rows = []
    training = prober.training(points)
    while training.running:
        training.epoch()
    for point, curve in zip(points, training.curves(), strict=True):
        number, seed = divmod(point.seed, _SEED_STEP)
        sigma_w, sigma_b, weights = places[names[number]] or (math.nan, math.nan, "")
        row = {"initialisation": names[number], "depth": depth, "seed": seed, "weights": weights}
        rows.append({**row, "sigma_w": sigma_w, "sigma_b": sigma_b, "accuracy": float(curve.accuracy[curve.best])})
    return pd.DataFrame(rows).assign(chance=chance(images))


def measured() -> list[str]:
    """Return the names of the cases that have a file."""
    return [name for name in CASES if (FOLDER / f"{name}.csv").exists()]


def read(name: str) -> pd.DataFrame:
    """Return what was measured of a case."""
    return pd.read_csv(FOLDER / f"{name}.csv")


def reached(table: pd.DataFrame) -> dict[str, int]:
    """Return how deep each initialisation of a case trains."""
    level = (table["chance"].max() + table["accuracy"].max()) / 2
    means = table.groupby(["initialisation", "depth"])["accuracy"].mean()
    trains = means[means > level].reset_index().groupby("initialisation")["depth"].max()
    return {name: int(trains.get(name, 0)) for name in INITIALISATIONS if name in {*table["initialisation"]}}


def complete(name: str) -> None:
    """Measure the initialisations that the file of a case lacks at some depths, and write them into it."""
    tables = [read(name)] if name in measured() else []
    known = {each for table in tables for each in zip(table["initialisation"], table["depth"], strict=True)}
    table = pd.concat([*tables, *measure(name, known)])
    order = table["initialisation"].map(INITIALISATIONS.index)
    table = table.assign(order=order).sort_values(["depth", "order", "seed"]).drop(columns="order")
    FOLDER.mkdir(exist_ok=True)
    table.to_csv(FOLDER / f"{name}.csv", index=False, float_format="%.6g")


if __name__ == "__main__":
    for case_name in sys.argv[1:] or CASES:
        complete(case_name)
        print(case_name, reached(read(case_name)), flush=True)
