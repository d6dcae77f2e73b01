"""A made-up sweep of 100,000 points and 60 layers: how long tables, figures and the report take, how large they are.

python -m tests.benchmarks.large --pack 64
python -m tests.benchmarks.large --pack 16
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from probes.point import NEEDED, THRESHOLDS, Point
from sweep.bench import Figure, machine
from sweep.frame import SPEC_FILE, load, row
from sweep.spec import SweepSpec
from sweep.store import Store
from tests.browser import browser
from tests.landscape import made_up, true_horizon
from tests.sweep.test_report import Page

DECODED = 16  # layers of a network, as the direct probe's default
PLOTS = ("phase", "depth", "profiles", "history", "paper")


def make(folder: Path, points: int, pack: int) -> Store:
    """Such a sweep as both probes leave it: a part for each pack, depths of 5 to 60."""
    spec = SweepSpec(points=points, search="sobol")
    spec.save(folder / SPEC_FILE)
    store = Store(folder, spec.digest)
    store.create()
    random = np.random.default_rng(0)

    def one(seed: int) -> dict[str, Any]:
        w, b = (float(random.uniform(*ends)) for ends in (spec.sigma_w, spec.sigma_b))
        m = made_up(Point(w, b, int(random.integers(spec.depth[0], spec.depth[1] + 1)), seed))
        depth, horizon = m.point.depth, float(true_horizon(w, b))
        layers = np.arange(1, depth + 1)
        lasts = THRESHOLDS["direct_horizon"] ** (layers / (NEEDED["direct_horizon"] * horizon))
        profile = lasts + random.normal(0, 0.005, depth)
        direct = np.full(depth, np.nan)
        at = np.unique(np.geomspace(1, depth, DECODED).round().astype(int)) - 1
        direct[at] = profile[at]
        m.profiles.update(direct_retained=direct, cascade_retained=profile)
        m.profiles.update(cascade_relative_entropy=1 - profile, differential_entropy=-3 - profile)
        m.values.update({name: float(values[-1]) for name, values in m.profiles.items()})
        m.values.update(cascade_horizon=horizon, cascade_horizon_censored=False, cascade_cutoff=5, probe_steps=300)
        m.values.update(direct_images=4096, direct_flops=1e9, cascade_seconds=1.0, cascade_flops=1e11)
        return row(m, pack=pack, pack_halved=0, device="cpu", hostname="here", finished=1e9 + seed)

    for start in range(0, points, pack):
        store.write([one(seed) for seed in range(start, min(start + pack, points))])
    return store


def seconds(work: Callable[[], Any]) -> float:
    """That it takes, the best of two times."""
    times = []
    for _ in range(2):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def command(*words: str) -> tuple[float, float]:
    """Seconds and most MiB of a whole `sweep` command."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "sweep", *words], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"sweep {' '.join(words)} failed")
    return time.perf_counter() - started, used.ru_maxrss / 1024


def tables(folder: Path) -> list[Figure]:
    """Of a sweep that was just loaded."""
    return [
        Figure("points", seconds(lambda: load(folder).points), "s", 1.0, False),
        Figure("profiles of one depth", seconds(lambda: load(folder).profiles_at(depth=60)), "s", 2.0, False),
        Figure("profiles at one layer", seconds(lambda: load(folder).profiles_at(layer=30)), "s"),
        Figure("all profiles", seconds(lambda: load(folder).profiles), "s"),
    ]


def commands(folder: Path) -> list[Figure]:
    """Whole commands, from start to end."""
    wanted = {"status": ("status",), "results, as CSV": ("results", "-o", "points.csv")}
    wanted |= {f"plot --kind {kind}": ("plot", "--kind", kind, "-o", f"{kind}.pdf") for kind in PLOTS}
    wanted |= {"report": ("report", "-o", "report.html")}
    found = []
    for name, (verb, *rest) in wanted.items():
        rest = [str(folder / word) if "." in word else word for word in rest]
        took, most = command(verb, str(folder), *rest)
        found.append(
            Figure(f"sweep {name} (at most {most:.0f} MiB)", took, "s", 10.0 if verb == "plot" else None, False)
        )
    return found


def report(path: Path) -> list[Figure]:
    """Its size, and how long Chromium takes to open it."""
    found = [Figure("report", path.stat().st_size / 1e6, "MB", 10.0, False)]
    if chromium := browser():
        try:
            opened = min(Page(chromium, path).seconds for _ in range(2))
        finally:
            chromium.quit()
        found.append(Figure("report, opened in Chromium", opened, "s", 3.0, False))
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--pack", type=int, default=64, help="points of a part")
    args = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = make(folder, args.points, args.pack)

        def show(title: str, figures: list[Figure]) -> None:
            print(f"\n{title}", *figures, sep="\n", flush=True)

        show(f"{len(store.names())} parts, as written while it runs", tables(folder))
        started = time.perf_counter()
        store.put_together()
        took = time.perf_counter() - started
        show(f"{len(store.names())} parts, at the end", [Figure("putting them together", took, "s"), *tables(folder)])
        show("Commands", commands(folder))
        show("Report", report(folder / "report.html"))


if __name__ == "__main__":
    main()
