"""How many points a boundary takes by what is observed; ``python -m tests.benchmarks.outcomes --help``.

Every way to see the outcomes searches the same problems with the same noise, in batches of 8. The error is the share
of the domain on the wrong side of the boundary.
"""

import argparse
import json
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from sweep.levelset.level_set import LevelSet
from sweep.levelset.outcome import OUTCOMES as WAYS

from .problems import OUTCOMES, Problem

__all__ = ["main", "run", "table"]

SIZES = (64, 128)
BATCH = 8
NOISE = 0.05
Errors = dict[tuple[str, str, int], dict[str, float]]  # of a way to model and a problem by a seed: by points, and time


def run(problem: Problem, seed: int, count: int, **options: Any) -> Iterator[LevelSet]:
    """Our search, after every batch."""
    model = LevelSet(problem.axes, levels=level(problem), seed=seed, **options)
    rng = np.random.default_rng([seed, 7])
    while len(model) < count:
        points = model.ask(min(BATCH, count - len(model)))
        # Of a value, the count would be its noise, which users did not give before there were other ways to see it.
        counts = [problem.draws] * len(points) if problem.draws > 1 and options.get("outcome") != "value" else None
        model.tell(points, problem.observed(points, NOISE, rng), counts=counts)
        yield model


def level(problem: Problem) -> float:
    """Value of the outcome at the boundary."""
    return 0.5 if problem.draws else 0.0


def errors(problem: Problem, seed: int, sizes: tuple[int, ...], **options: Any) -> dict[str, float]:
    """Errors of a search at some sizes, and its seconds."""
    found: dict[str, float] = {}
    seconds = 0.0
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started = time.perf_counter()
        for model in run(problem, seed, sizes[-1], **options):
            seconds += time.perf_counter() - started
            if len(model) in sizes:
                found[str(len(model))] = problem.error(lambda p, model=model: model.mean(p) - level(problem))
            started = time.perf_counter()
    return {**found, "seconds": seconds}


def table(found: Errors, sizes: tuple[int, ...]) -> str:
    """Medians over the seeds of the errors in per cent, and of the seconds."""
    ways = list(dict.fromkeys(way for way, *_ in found))
    lines = [f"{'problem':27}{'points':>7}" + "".join(f"{way:>10}" for way in ways)]
    for name in dict.fromkeys(name for _, name, _ in found):
        for key in (*map(str, sizes), "seconds"):
            scale = 1 if key == "seconds" else 100
            runs = [[v[key] for (w, n, _), v in found.items() if (w, n) == (way, name)] for way in ways]
            cells = "".join(f"{scale * np.median(r):>10.2f}" if r else f"{'':>10}" for r in runs)
            lines.append(f"{name:27}{key:>7}{cells}")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="points at which errors are compared")
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS)
    parser.add_argument("--problems", nargs="+", default=[""], help="parts of the names of problems")
    parser.add_argument("--keep", type=Path, help="JSON lines of runs: what is there is not run again")
    args = parser.parse_args()
    found: Errors = {}
    if args.keep and args.keep.exists():
        for line in args.keep.read_text().splitlines():
            way, name, seed, values = json.loads(line)
            found[way, name, seed] = values
    for problem in (p for p in OUTCOMES if any(part in p.name for part in args.problems)):
        for way, seed in ((w, s) for w in args.ways for s in range(args.seeds)):
            if (way, problem.name, seed) in found:
                continue
            values = errors(problem, seed, tuple(args.sizes), outcome=way)
            found[way, problem.name, seed] = values
            if args.keep:
                with args.keep.open("a") as file:
                    file.write(json.dumps([way, problem.name, seed, values]) + "\n")
    print(table(found, tuple(args.sizes)))


if __name__ == "__main__":
    main()
