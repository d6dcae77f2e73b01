"""Train the networks of `tests/examples/networks.py`: `python -m tests.study.examples` measures those without a file.

Each is probed and trained at places that are spread evenly: sigma_w from 0.3 to 4 (logarithmic), sigma_b from 0 to 0.5,
and three depths. The data are digits; training is Adam at 0.001, 15 epochs. The files are in `tests/examples/trained`.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import qmc

from probes import Custom, Point, ProbeSettings, TrainingSettings, load_images
from probes.prober import Prober
from sweep.analysis.skill import auc, bootstrap_auc, bootstrap_counts, quantile_interval
from tests.examples import networks

FOLDER = Path(networks.__file__).parent / "trained"
PLACES = 12  # of each depth
SIGMA_W, SIGMA_B = (0.3, 4.0), (0.0, 0.5)
_DENSE, _OTHERS = (6, 16, 40), (3, 8, 16)
# Depths, how weights are drawn, and what is known of such networks.
EXAMPLES: dict[str, tuple[tuple[int, ...], str, str]] = {
    "tanh_mlp": (_DENSE, "orthogonal", "orthogonal weights carry further than normal ones (arXiv:1312.6120)"),
    "gelu_mlp": (
        _DENSE,
        "normal",
        "critical where mean field says (`sweep theory --activation gelu --sigma-b 0 0.5`)",
    ),
    "selu_mlp": (_DENSE, "normal", "normalises itself at σ<sub>w</sub> = 1 (arXiv:1706.02515)"),
    "pre_norm_mlp": (_DENSE, "normal", "the norm makes σ<sub>w</sub> matter little"),
    "post_norm_mlp": (_DENSE, "normal", "the same"),
    "vgg": (_OTHERS, "normal", "relu is critical at σ<sub>w</sub> = √2 (arXiv:1502.01852)"),
    "resnet": (_OTHERS, "normal", "without normalisation, signals grow with every block (arXiv:1901.09321)"),
    "scaled_resnet": (_OTHERS, "normal", "branches scaled by 1/√depth do not (arXiv:1901.09321)"),
    "pre_norm_transformer": (_OTHERS, "normal", "trains well when deep (arXiv:2002.04745)"),
    "post_norm_transformer": (_OTHERS, "normal", "trains badly when deep (arXiv:2002.04745)"),
}
_TRAINING = TrainingSettings(epochs=15, optimizer="adam", lr=(0.001,), patience="auto")
_LEAST_SHARE = 0.1  # of either outcome, for an AUC to say something
_DRAWS = 1000


def measure(name: str) -> Iterator[pd.DataFrame]:
    """Yield the networks of an example, probed and trained, one depth after another."""
    depths, initialise, _ = EXAMPLES[name]
    custom = Custom(getattr(networks, name), initialise=initialise)
    prober = Prober(load_images("digits"), ProbeSettings("direct", network=custom, train="all", training=_TRAINING))
    for number, depth in enumerate(depths):
        places = qmc.scale(
            qmc.Sobol(2, rng=np.random.default_rng([0, number])).random(16)[:PLACES],
            [np.log(SIGMA_W[0]), SIGMA_B[0]],
            [np.log(SIGMA_W[1]), SIGMA_B[1]],
        )
        points = [Point(float(np.exp(w)), float(b), depth, seed) for seed, (w, b) in enumerate(places)]
        rows = []
        for m in prober.measure(points):
            known = {n: m.values.get(n) for n in ("margin", "margin_censored", "accuracy", "chance", "train_epochs")}
            rows.append({**vars(m.point), "status": m.status, **known})
        yield pd.DataFrame(rows)


def read(name: str) -> pd.DataFrame:
    """Return what was measured of an example, with the column ``trained``: whether the accuracy is above half way."""
    table = pd.read_csv(FOLDER / f"{name}.csv")
    level = (table["chance"].max() + table["accuracy"].max()) / 2
    return table.assign(trained=table["accuracy"] > level)


def measured() -> list[str]:
    """Return the names of the examples that have a file."""
    return [name for name in EXAMPLES if (FOLDER / f"{name}.csv").exists()]


def skill(table: pd.DataFrame) -> dict[str, float]:
    """Return the AUC of the margin (NaN without both outcomes), its 90 % interval, and the share of right answers."""
    margin, trained = table["margin"].to_numpy(float), table["trained"].to_numpy(bool)
    counts = bootstrap_counts(np.random.default_rng(0), len(table), _DRAWS)
    known = {"auc": auc(margin, trained), **quantile_interval("auc", bootstrap_auc(margin, trained, counts))}
    if min(trained.mean(), 1 - trained.mean()) < _LEAST_SHARE:
        known = dict.fromkeys(known, float("nan"))
    return {**known, "right": float(((margin > 0) == trained).mean())}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in sys.argv[1:] or [n for n in EXAMPLES if n not in measured()]:
        parts = []
        for part in measure(name):
            parts.append(part)
            print(name, part["depth"].iloc[0], part.to_string(), flush=True)
        pd.concat(parts).to_csv(FOLDER / f"{name}.csv", index=False, float_format="%.6g")
        print(name, skill(read(name)), flush=True)
