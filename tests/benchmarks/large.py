"""A made-up sweep of 100,000 points and 60 layers: how long tables, figures and the report take, how large they are.

python -m tests.benchmarks.large --pack 64
python -m tests.benchmarks.large --pack 16
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from probes.definition import CURRENT_DEFINITION
from probes.point import Point
from sweep.bench.bench import machine
from sweep.bench.figure import Figure
from sweep.execution.recorder import Recorder
from sweep.results.loading import load
from sweep.spec.rows import row
from sweep.spec.spec import SweepSpec
from sweep.storage.store import Store
from sweep.storage.sweep_files import SPEC_FILE
from tests.helpers.browser import Page, browser
from tests.helpers.landscape import made_up, true_horizon

DECODED = 16  # layers of a network, as the direct probe's default
_COMMAND = """
import re, sys, time
from pathlib import Path
from sweep.cli.main import main
try:
    main(sys.argv[1:])
finally:
    memory = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
    print(f"{time.process_time():.1f} {memory}", file=sys.stderr)
"""
PLOTS = ("phase", "depth", "profiles", "history", "paper")


def make(folder: Path, points: int, pack: int) -> Store:
    """Such a sweep as both probes leave it, stored as while it runs; depths of 5 to 60."""
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
        lasts = CURRENT_DEFINITION.threshold("direct_horizon") ** (
            layers / (CURRENT_DEFINITION.share("direct_horizon") * horizon)
        )
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

    recorder = Recorder(store, lambda rows: None)
    for start in range(0, points, pack):
        recorder.put([one(seed) for seed in range(start, min(start + pack, points))])
    recorder.flush()
    recorder.close(60)
    return store


def timed(name: str, work: Callable[[], Any], bar: float | None = None) -> Figure:
    """Seconds that it takes, the best of two times; processor time beside it, for machines that do other things."""
    times = []
    for _ in range(2):
        started, processor = time.perf_counter(), time.process_time()
        work()
        times.append((time.perf_counter() - started, time.process_time() - processor))
    took, processor = min(times)
    return Figure(f"{name} ({processor:.2f} s of processor time)", took, "s", bar, False)


def tables(folder: Path) -> list[Figure]:
    """Of a sweep that was just loaded."""
    return [
        timed("points", lambda: load(folder).points, 1.0),
        timed("profiles of one depth", lambda: load(folder).profiles_at(depth=60), 2.0),
        timed("profiles at one layer", lambda: load(folder).profiles_at(layer=30)),
        timed("all profiles", lambda: load(folder).profiles),
    ]


def command(name: str, words: tuple[str, ...], bar: float | None = None) -> Figure:
    """Seconds of a whole `sweep` command."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", _COMMAND, *words], capture_output=True, text=True, check=True)
    took = time.perf_counter() - started
    processor, memory = done.stderr.split()[-2:]
    what = f"sweep {name} ({processor} s of processor time, {int(memory) // 1024} MiB)"
    return Figure(what, took, "s", bar, False)


def commands(folder: Path) -> list[Figure]:
    """Whole commands, from start to end."""
    place = str(folder)
    return [
        command("status", ("status", place)),
        command("results, as CSV", ("results", place, "-o", str(folder / "points.csv"))),
        *(command(f"plot {k}", ("plot", place, "--kind", k, "-o", str(folder / f"{k}.pdf")), 10.0) for k in PLOTS),
        command("report", ("report", place)),
    ]


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

        show(f"{len(store.read([]).parts)} parts, while it runs", tables(folder))
        started = time.perf_counter()
        store.compact()
        took = time.perf_counter() - started
        show(
            f"{len(store.read([]).parts)} parts, at the end",
            [Figure("putting them together", took, "s"), *tables(folder)],
        )
        show("Commands", commands(folder))
        show("Report", report(folder / "report.html"))


if __name__ == "__main__":
    main()
