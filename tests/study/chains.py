"""Compare readings of the cascade on the sets for selection: `python -m tests.study.chains`.

Of every dense network, the squared correlation of images and their reconstructions after each layer is measured once
and kept in a folder: by the chain of trained decoders, and by one of ridge regressions, which is the same idea without
training. From these the horizon follows for any threshold, at once.
"""

from functools import partial
from itertools import product
from pathlib import Path

import click
import numpy as np
import torch

from probes import entropy
from probes.cascade import chained
from probes.decoders import Decoder, train_decoders
from probes.definition import CURRENT_DEFINITION, MIN_BEST, MIN_HORIZON
from probes.networks import Network
from probes.prober import Prober
from probes.settings import HELD_OUT_IMAGES, ProbeSettings
from probes.threads import plain_modes
from sweep.analysis.skill import auc, best_threshold
from sweep.measuring.settings import probe_settings, sweep_images
from tests.helpers.tables import markdown
from tests.study.make import DATA, located
from tests.study.sets import Study, hard_half, kept, point_of, studies_for, trained

TRAINED = "trained"
PENALTIES = (0.003, 0.01, 0.03)
THRESHOLDS = (0.03, 0.05, 0.07, 0.1, 0.15)
CURRENT = (TRAINED, True, CURRENT_DEFINITION.cascade_correlation_horizon)

Profiles = dict[str, np.ndarray]  # squared correlations by the kind of chain, `[layers]`


def correlations(images: torch.Tensor, decoders: list[Decoder], activations: list[torch.Tensor]) -> np.ndarray:
    """Return the squared correlation of images and their reconstructions after each layer."""
    return entropy.squared_correlation(images, chained(decoders, activations)).numpy()


def ridge_decoders(network: Network, inputs: torch.Tensor) -> dict[float, list[Decoder]]:
    """Return decoders of all layers by ridge regression to the inputs of each, for each penalty (a variance)."""
    decoders: dict[float, list[Decoder]] = {penalty: [] for penalty in PENALTIES}
    x = inputs.double()
    for _, outputs in network.walk(inputs, until=network.point.depth):
        y = outputs.double()
        h, target = y - y.mean(0), x - x.mean(0)
        covariance, product = ((h.T @ other).div_(len(h)) for other in (h, target))
        for penalty, of_layers in decoders.items():
            weight = torch.linalg.solve(covariance + penalty * torch.eye(len(covariance)), product)
            bias = x.mean(0) - y.mean(0) @ weight
            of_layers.append(Decoder(weight.float(), bias.float(), outputs, inputs, bounded=False))
        x = y
    return decoders


@torch.no_grad()
@plain_modes()
def look(study: Study, data: Path) -> list[Profiles]:
    """Measure the networks of a set, in the order of its file."""
    settings, images = probe_settings(study.spec), sweep_images(located(study.spec, data))
    prober = Prober(images, settings)
    count = min(ProbeSettings.images, len(images.train))
    inputs = torch.cat([images.train[:count], images.test[:HELD_OUT_IMAGES]])
    shown = inputs[count : count + prober.reconstructed]

    def one(network: Network) -> Profiles:
        cascade = prober.cascade(network)
        train_decoders(cascade.prepare(), steps=prober.steps)
        found = {TRAINED: correlations(shown, cascade.decoders, cascade.activations)}
        for penalty, ridge in ridge_decoders(network, inputs[:count]).items():
            found[f"ridge {penalty:g}"] = correlations(shown, ridge, cascade.activations)
        return found

    return [one(prober.network(point_of(row))) for row in study.read().itertuples()]


class Judged:
    """A set with its truth, by which a reading is judged."""

    def __init__(self, study: Study, looked: list[Profiles]) -> None:
        points = study.read()
        self.depth, self.outcome = points["depth"].to_numpy(float), trained(points).to_numpy()
        self.hard, self._looked = hard_half(study, points), looked

    def skill(self, kind: str, relative: bool, threshold: float) -> list[float]:
        """Return AUC, AUC of the hard half, accuracy at the best threshold, and the share of the depth that it is."""
        horizons = []
        for curve in (profiles[kind] for profiles in self._looked):
            limit = threshold * (max(MIN_BEST, curve.max()) if relative else 1)
            horizons.append(max(entropy.horizon(range(1, len(curve) + 1), curve.tolist(), limit)[0], MIN_HORIZON))
        score = np.log(np.array(horizons) / self.depth)
        share, right = best_threshold(score, self.outcome)
        hard = self.hard
        return [auc(score, self.outcome), auc(score[hard], self.outcome[hard]), right, float(np.exp(share))]


def table(sets: dict[str, Judged]) -> str:
    """Return how well each reading does: means over the sets, the worst of them, and where the best shares are."""
    kinds = (TRAINED, *(f"ridge {p:g}" for p in PENALTIES))
    rows = []
    for reading in product(kinds, (False, True), THRESHOLDS):
        skills = np.array([judged.skill(*reading) for judged in sets.values()])
        pairs = [f"{m:.3f}, {w:.3f}" for m, w in zip(skills.mean(0)[:2], skills.min(0)[:2], strict=True)]
        shares = " ".join(f"{share:.2f}" for share in skills[:, 3])
        kind, relative, threshold = reading
        mark = "**" if reading == CURRENT else ""
        cells = (kind, "yes" if relative else "no", f"{threshold:g}", *pairs, f"{skills.mean(0)[2]:.3f}", shares)
        rows.append([f"{mark}{cell}{mark}" for cell in cells])
    head = ("decoders", "relative", "threshold", "AUC", "hard half", "at the best threshold")
    return markdown((*head, f"best share: {', '.join(sets)}"), rows)


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/chains"), help="Folder of what is measured.")
@click.option("--data-dir", type=click.Path(path_type=Path), default=DATA, help="Folder of the data sets.")
def main(out: Path, data_dir: Path) -> None:
    """Print how well each reading of the cascade does on the sets for selection whose networks are dense."""
    sets: dict[str, Judged] = {}
    for study in studies_for("selection"):
        settings = study.spec
        if settings.architecture in ("conv", "resnet") or settings.activation == "relu":
            continue  # of relu networks, what a decoder gives is not bounded, and chains are not comparable
        looked = kept(out / f"{study.name}.pickle", partial(look, study, data_dir))
        sets[study.name] = Judged(study, looked)
        click.echo(f"{study.name}: {len(sets[study.name].depth)} networks")
    click.echo(table(sets))


if __name__ == "__main__":
    main()
