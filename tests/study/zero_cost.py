r"""Measure the zero-cost scores of the literature on the sets for evaluation: `python -m tests.study.zero_cost`.

They are scores of untrained networks, made for the search for architectures; the larger, the better. They are defined
as in their papers, for these networks, and in double precision:

=============  ======================================================================================================
naswot         Log-determinant of ``C C^T + (1 - C) (1 - C)^T``, where row i of C is the binary code of image i: which
               hidden units, of all layers, have a positive value. 128 images. Mellor et al., arXiv:2006.04647.
synflow        Logarithm of ``sum \|theta dR/dtheta\|`` over all parameters theta, which are replaced by their absolute
               values; R is the sum of the logits for an image of ones. The activation is the network's own. Tanaka et
               al., arXiv:2006.05467.
ntk_condition  Minus the logarithm of the condition number of the neural tangent kernel: of the Gram matrix, over 32
               images, of the gradients by all weights of the sum of the logits. Chen et al. (TE-NAS),
               arXiv:2102.11535.
zen            ``-\|log(E\|f(x) - f(x + a e)\| / E\|a e\|)\|``, where f is the last hidden layer, x and e are standard
               normal, and a is 0.01. 128 inputs. The logarithm of the first norm is the Zen-score of Lin et al.,
               arXiv:2102.01063, for a network without batch normalisation. It would prefer networks in which the
               signal explodes; so it is made two-sided, and is largest where a difference keeps its norm.
=============  ======================================================================================================

A score is minus infinity, the worst, where it is not finite, or where a kernel is singular or a difference vanishes, in
either case up to a part of 1e-12: below that, rounding decides.
"""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import numpy as np
import pandas as pd
import torch

from probes.datasets import Images
from probes.layers import Dense, Layer, Parameters, Phi
from probes.networks import READOUT, Network
from probes.point import Point
from probes.seeds import DRAWN, generator
from probes.threads import one_thread, plain_modes
from sweep.analysis.skill import auc
from sweep.analysis.statistics import score
from sweep.measuring.settings import probe_settings, sweep_images
from tests.study.make import DATA, POINT, located
from tests.study.sets import Study, hard_half, studies_for, trained

NAMES = {  # of the scores, in tables
    "naswot": "NASWOT",
    "synflow": "SynFlow",
    "ntk_condition": "condition number of the NTK",
    "zen": "Zen-score, two-sided",
}
_CODED_IMAGES, _KERNEL_IMAGES, _RANDOM_INPUTS = 128, 32, 128
_STEP = 0.01  # of the Zen-score
_LOST = 1e-12  # part of a number below which rounding decides
_WORST = -math.inf

_Layers = list[tuple[Layer, Parameters]]  # with their parameters; the last one is the read-out


def file_of(study: Study) -> Path:
    """Return the file with the scores of a set."""
    return Path(__file__).with_suffix("") / f"{study.name}.csv"


def read(study: Study, points: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the scores of a set, each in the order of the set's table."""
    table = pd.read_csv(file_of(study), index_col="seed").loc[points["seed"]]
    return {name: table[name].to_numpy(float) for name in NAMES}


def measured(study: Study, images: Images, points: Iterable[Point]) -> pd.DataFrame:
    """Return a table with the scores of points of a set, in their order."""
    settings = probe_settings(study.spec)
    architecture = settings.architecture_for(images)
    rows = [vars(p) | scores(Network(p, architecture, settings.activation), images.train) for p in points]
    return pd.DataFrame(rows)[[*POINT, *NAMES]]


@plain_modes()
def scores(network: Network, images: torch.Tensor) -> dict[str, float]:
    """Return every score of a network, given images ``[n, pixels]``."""
    depth = network.point.depth
    layers = [
        (network.layer(number), [p.double() for p in network.parameters(number)])
        for number in (*range(1, depth + 1), READOUT)
    ]
    images = images[:_CODED_IMAGES].double()
    found = {
        "naswot": _naswot(layers, network.phi, images),
        "synflow": _synflow(layers, network.phi, images.shape[1]),
        "ntk_condition": _ntk_condition(layers, network.phi, images[:_KERNEL_IMAGES]),
        "zen": _zen(layers, network.phi, images.shape[1], generator(network.point.seed, "zen")),
    }
    return {name: value if math.isfinite(value) else _WORST for name, value in found.items()}


def _naswot(layers: _Layers, phi: Phi, images: torch.Tensor) -> float:
    codes = []

    def recorded(z: torch.Tensor) -> torch.Tensor:  # also called inside residual blocks
        values = phi(z)
        codes.append((values > 0).flatten(1))
        return values

    with torch.no_grad():
        _last_hidden(layers, recorded, images)
        code = torch.cat(codes, 1).double()
        return float(_eigenvalues(code @ code.T + (1 - code) @ (1 - code).T).log().sum())


def _synflow(layers: _Layers, phi: Phi, pixels: int) -> float:
    positive = [(layer, [p.abs().requires_grad_() for p in parameters]) for layer, parameters in layers]
    out = _last_hidden(positive, phi, torch.ones(1, pixels, dtype=torch.float64))
    readout, of_readout = positive[-1]
    flat = [p for _, parameters in positive for p in parameters]
    by_parameters = torch.autograd.grad(readout.apply(out, of_readout, torch.positive).sum(), flat)
    return float(sum((p * g).detach().sum() for p, g in zip(flat, by_parameters, strict=True)).log())


def _ntk_condition(layers: _Layers, phi: Phi, images: torch.Tensor) -> float:
    eigenvalues = _eigenvalues(tangent_kernel(layers, phi, images))
    return float(eigenvalues[0].log() - eigenvalues[-1].log())


def tangent_kernel(layers: _Layers, phi: Phi, images: torch.Tensor) -> torch.Tensor:
    """Return the products ``[n, n]`` of the gradients, by all weights, of the sum of the logits of n images.

    A dense layer's part is the Gram matrix of its inputs times that of the gradients before its activation. These are
    the gradients by its bias, if every image has a bias of its own. In a convolution, every image has a weight, too.
    """
    count, x = len(images), images
    inputs, own = [], []
    for layer, parameters in layers:
        activation = torch.positive if layer is layers[-1][0] else phi
        inputs.append(x.detach())
        if isinstance(layer, Dense):
            weight, bias = parameters
            own.append([bias.expand(count, -1).clone().requires_grad_()])
            x = layer.apply(x, [weight, *own[-1]], activation)
        else:
            own.append([p.expand(count, *p.shape).clone().requires_grad_() for p in parameters])
            x = layer.apply(x[:, None], own[-1], activation)[:, 0]
    gradients = iter(torch.autograd.grad(x.sum(), [p for of_layer in own for p in of_layer]))
    kernel = torch.zeros(count, count, dtype=torch.float64)
    for (layer, _), x, of_layer in zip(layers, inputs, own, strict=True):
        flat = [next(gradients).flatten(1) for _ in of_layer]
        if isinstance(layer, Dense):
            kernel += (x @ x.T) * (flat[0] @ flat[0].T)
        else:
            kernel += sum(g @ g.T for g in flat[::2])  # without biases
    return kernel


@torch.no_grad()
def _zen(layers: _Layers, phi: Phi, pixels: int, random: torch.Generator) -> float:
    x, e = (torch.randn(_RANDOM_INPUTS, pixels, generator=random, **DRAWN).double() for _ in range(2))
    out, moved = _last_hidden(layers, phi, torch.cat([x, x + _STEP * e])).chunk(2)
    after, before, whole = (v.norm(dim=1).mean() for v in (out - moved, _STEP * e, out))
    return -abs(float((after / before).log())) if after > _LOST * whole else _WORST


def _last_hidden(layers: _Layers, phi: Phi, x: torch.Tensor) -> torch.Tensor:
    """Return the activations of the last hidden layer."""
    for layer, parameters in layers[:-1]:
        x = layer.apply(x, parameters, phi)
    return x


def _eigenvalues(kernel: torch.Tensor) -> torch.Tensor:
    """Return the eigenvalues of a kernel, the smallest first; NaN where it is singular or not finite."""
    if bool(kernel.isfinite().all()):
        eigenvalues = torch.linalg.eigvalsh(kernel)
        if eigenvalues[0] > _LOST * eigenvalues[-1]:
            return eigenvalues
    return torch.full((len(kernel),), math.nan, dtype=torch.float64)


def _skills(study: Study) -> Iterator[str]:
    """Yield, for the default statistic and every score, a line with its AUC and that of the hard half."""
    points, spec = study.read(), study.spec
    outcome, hard = trained(points).to_numpy(), hard_half(study, points)
    for name, values in {spec.statistic: score(spec.statistic, points, spec), **read(study, points)}.items():
        yield f"  {name:<18}{auc(values, outcome):>8.3f}{auc(values[hard], outcome[hard]):>8.3f}"


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([study.name for study in studies_for("evaluation")]))
@click.option("--data-dir", type=click.Path(path_type=Path), default=DATA, help="Folder of the data sets.")
@one_thread()
def main(names: tuple[str, ...], data_dir: Path) -> None:
    """Measure the scores of the sets NAMES, or of all for evaluation, write their files, and print their AUC."""
    for study in studies_for("evaluation"):
        if study.name in names or not names:
            table = measured(study, sweep_images(located(study.spec, data_dir)), sorted(study.points))
            file_of(study).parent.mkdir(exist_ok=True)
            table.to_csv(file_of(study), index=False, lineterminator="\n")
            click.echo(f"{study.name}: {len(table)} networks; AUC, that of the hard half")
            click.echo("\n".join(_skills(study)))


if __name__ == "__main__":
    main()
