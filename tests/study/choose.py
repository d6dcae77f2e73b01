"""Compare definitions of the trainable depth on the sets for selection: `python -m tests.study.choose`.

Of every network, the retained information of many layers, by a few penalties, and the change of its gradients are
measured once and kept in a folder. From these the trainable depth follows for any threshold and share, at once.
"""

from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import click
import numpy as np
import torch

from probes import entropy
from probes.definition import CURRENT_DEFINITION, MIN_BEST, MIN_HORIZON
from probes.direct import DirectDecoder, follow
from probes.gradients import KEPT_BYTES, Gradients, gradients, image_count
from probes.networks import Network
from probes.point import Point
from probes.settings import HELD_OUT_IMAGES, ProbeSettings
from probes.threads import plain_modes
from sweep.analysis.skill import auc, best_threshold
from sweep.measuring.settings import probe_settings, sweep_images
from tests.helpers.tables import markdown
from tests.study.make import DATA, located
from tests.study.sets import Study, hard_half, kept, point_of, studies_for, trained

PENALTIES = (0.01, 0.03, 0.1)
LAYERS = 28  # that are decoded up to the depth
LOWEST = 0.003  # retained information at which a network is followed no further
THRESHOLDS, SHARES = (0.05, 0.07, 0.1, 0.15, 0.2), (0.3, 0.4, 0.5, 0.6, 0.7)
CHANGES = (4.0, 4.5, 5.0, 5.5, 6.0, 7.0)
WITHOUT = 1e9  # a share or a change that decides nothing
CURRENT = (
    CURRENT_DEFINITION.direct_horizon,
    0.03,
    CURRENT_DEFINITION.direct_share,
    CURRENT_DEFINITION.gradient_horizon,
)


@dataclass
class Looked:
    """What was measured of a network: retained information by penalty and layer, and its gradients."""

    retained: dict[float, dict[int, float]]
    gradients: Gradients


@torch.no_grad()
@plain_modes()
def look(study: Study, data: Path) -> list[Looked]:
    """Measure the networks of a set, in the order of its file."""
    spec, settings = study.spec, probe_settings(study.spec)
    images = sweep_images(located(spec, data))
    architecture = settings.architecture_for(images)
    count = min(ProbeSettings.images // (4 if architecture.convolutional else 1), len(images.train))
    inputs = torch.cat([images.train[:count], images.test[:HELD_OUT_IMAGES]])
    decoders = {p: DirectDecoder(inputs[:count], inputs[count:], p) for p in PENALTIES}

    def one(point: Point) -> Looked:
        network = Network(point, architecture, settings.activation)
        network.keep(2 * KEPT_BYTES)
        found = gradients(network, inputs[: image_count(architecture, settings.activation, point.depth)])
        profiles = {
            p: follow(network, decoder, inputs, layers=LAYERS, threshold=LOWEST) for p, decoder in decoders.items()
        }
        return Looked({p: profile.retained for p, profile in profiles.items()}, found)

    return [one(point_of(row)) for row in study.read().itertuples()]


def horizon(retained: dict[int, float], threshold: float) -> float:
    """Return the direct horizon, in layers, for a threshold relative to the best layer."""
    layers = sorted(retained)
    values = [retained[n] for n in layers]
    return max(entropy.horizon(layers, values, threshold * max(MIN_BEST, *values))[0], MIN_HORIZON)


class Judged:
    """A set with its truth, by which a candidate is judged."""

    def __init__(self, study: Study, looked: list[Looked]) -> None:
        points = study.read()
        self.depth, self.outcome = points["depth"].to_numpy(float), trained(points).to_numpy()
        self.hard = hard_half(study, points)
        self._direct = {
            (t, p): np.array([horizon(network.retained[p], t) for network in looked])
            for t, p in product(THRESHOLDS, PENALTIES)
        }
        self._gradient = {c: np.array([n.gradients.horizon(c)[0] for n in looked]) for c in (*CHANGES, WITHOUT)}

    def skill(self, candidate: tuple[float, ...]) -> list[float]:
        """Return AUC, AUC of the hard half, accuracy at the own threshold and at the best one."""
        threshold, penalty, share, change = candidate
        allowed = 1 / np.hypot(share / self._direct[threshold, penalty], (change < WITHOUT) / self._gradient[change])
        score = np.log(allowed / self.depth)
        hard, right = self.hard, ((score >= 0) == self.outcome).mean()
        best = best_threshold(score, self.outcome)[1]
        return [auc(score, self.outcome), auc(score[hard], self.outcome[hard]), float(right), best]


def worth(skills: np.ndarray) -> float:
    """Return how good a candidate is, given its skills ``[sets, 4]``: on average, and where it is worst."""
    (area, hard, right, _), (worst, _, lowest, _) = skills.mean(0), skills.min(0)
    return float(area + 0.5 * worst + 0.3 * hard + 0.5 * right + 0.3 * lowest)


def table(sets: dict[str, Judged]) -> str:
    """Return the best candidates of each kind, and what is chosen if one set is left out."""
    skills = {
        c: np.array([judged.skill(c) for judged in sets.values()])
        for c in product(THRESHOLDS, PENALTIES, SHARES, (*CHANGES, WITHOUT))
    }
    chosen = max(skills, key=lambda c: worth(skills[c]))
    alone = max((c for c in skills if c[3] == WITHOUT), key=lambda c: worth(skills[c]))
    shown = dict.fromkeys([CURRENT, chosen, alone])
    for i, values in enumerate((THRESHOLDS, PENALTIES, SHARES, CHANGES)):
        shown |= dict.fromkeys((*CURRENT[:i], v, *CURRENT[i + 1 :]) for v in values)

    def cells(candidate: tuple[float, ...]) -> list[str]:
        mean, worst = skills[candidate].mean(0), skills[candidate].min(0)
        constants = [f"{v:g}" if v < WITHOUT else "none" for v in candidate]
        pairs = [f"{m:.3f}, {w:.3f}" for m, w in zip(mean[:3], worst[:3], strict=True)]
        mark = "**" if candidate == CURRENT else ""
        return [f"{mark}{cell}{mark}" for cell in (*constants, *pairs, f"{mean[3]:.3f}")]

    head = ("threshold", "penalty", "share", "change", "AUC", "hard half", "accuracy", "at the best threshold")
    text = markdown(head, map(cells, shown))
    for i, name in enumerate(sets):
        kept = [j for j in range(len(sets)) if j != i]
        best = max(skills, key=lambda c: worth(skills[c][kept]))
        text += f"without {name}: {best}, and on it {np.round(skills[best][i][:3], 3).tolist()}\n"
    return text


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/choose"), help="Folder of what is measured.")
@click.option("--data-dir", type=click.Path(path_type=Path), default=DATA, help="Folder of the data sets.")
def main(out: Path, data_dir: Path) -> None:
    """Print how well each definition of the trainable depth does on the sets for selection."""
    sets: dict[str, Judged] = {}
    for study in studies_for("selection"):
        looked = kept(out / f"{study.name}.pickle", partial(look, study, data_dir))
        sets[study.name] = Judged(study, looked)
        click.echo(f"{study.name}: {len(sets[study.name].depth)} networks")
    click.echo(table(sets))


if __name__ == "__main__":
    main()
