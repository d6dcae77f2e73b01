"""The search on the real probe, against a dense grid of probes: how far off are boundary and critical line?

The grid is a sweep of its own, made once:

    sweep run --search grid --dataset mnist --data-dir DIR --resize 14 --depth 60 60 --points 1024 --probe direct \
        --out runs/dense
    python -m tests.benchmarks.real runs/dense --points 48 --seeds 3
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import sweep
from probes.prober import Prober
from sweep.execution.cost import cost_of_depth
from sweep.measuring.settings import probe_settings, sweep_images
from sweep.model.estimate import PhaseModel
from sweep.search.study import SweepStudy
from sweep.spec.rows import row
from sweep.spec.spec import SweepSpec

BATCH = 8
DEPTHS = (10, 25, 60)


def search(spec: SweepSpec) -> tuple[PhaseModel, float, float]:
    """The sweep without Ray, in batches; its model, the seconds it took, and those of them that the search took."""
    images = sweep_images(spec)
    prober = Prober(images, probe_settings(spec))
    started, searched, rows = time.perf_counter(), 0.0, []
    with tempfile.TemporaryDirectory() as folder:
        study = SweepStudy(spec, Path(folder), cost=cost_of_depth(prober.settings, images), batch=BATCH)
        while True:
            began = time.perf_counter()
            points = study.ask(BATCH)
            searched += time.perf_counter() - began
            if not points:
                break
            new = [row(m) for m in prober.measure(points)]
            began = time.perf_counter()
            study.tell(new)
            searched += time.perf_counter() - began
            rows += new
    return PhaseModel(spec, pd.DataFrame(rows)), time.perf_counter() - started, searched


def off(found: pd.DataFrame, truth: pd.DataFrame, column: str) -> str:
    """Mean and largest relative difference over sigma_b, where both have the line."""
    relative = (found[column].to_numpy() / truth[column].to_numpy() - 1)[
        (found[column].notna() & truth[column].notna())
    ]
    if not len(relative):
        return "-"
    return f"{100 * np.abs(relative).mean():.1f} % (at most {100 * np.abs(relative).max():.1f} %)"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dense", help="directory of the grid's sweep")
    parser.add_argument("--points", type=int, default=48)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--prior", choices=("none", "theory"), default="none")
    args = parser.parse_args()
    torch.set_num_threads(1)
    dense = sweep.load(args.dense)
    depths = [d for d in DEPTHS if d <= dense.spec.depth[1]]
    truth = dense.phase.boundary(depths)
    for seed in range(args.seeds):
        spec = replace(
            dense.spec,
            search="boundary",
            points=args.points,
            first_points=None,
            depth=(depths[0], depths[-1]),
            prior=args.prior,
            seed=1000 + seed,
        )
        phase, seconds, searched = search(spec)
        found = phase.boundary(depths)
        print(f"seed {seed}: {seconds:.0f} s, of which the search {100 * searched / seconds:.1f} %")
        for depth in depths:
            ours, theirs = (f[f["depth"] == depth].reset_index() for f in (found, truth))
            print(f"  depth {depth}: lower {off(ours, theirs, 'lower')}, upper {off(ours, theirs, 'upper')}")
        print(f"  critical line {off(ours, theirs, 'critical')}")


if __name__ == "__main__":
    main()
