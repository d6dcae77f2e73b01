"""Who finds a boundary with the fewest trials? Prints a table; ``python -m tests.benchmarks.boundary --help``.

Every contender measures the same functions with the same noise, in batches. Its error is the share of the domain on the
wrong side of the boundary, by its own estimate or by our model of its points, whichever is better on average: what is
compared is where it measures. A difference counts as significant if its 90 % interval over the seeds (paired,
Student's t) leaves out 0.
"""

import argparse
import json
import math
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from scipy.stats import t as student
from threadpoolctl import threadpool_limits

from sweep.levelset.level_set import LevelSet

from .competitors import COMPETITORS, SLOW
from .problems import PROBLEMS, Problem

__all__ = ["compare", "main", "run_ours"]

NOISES = (0.0, 0.05, 0.2)
SIZES = (64, 128, 256)
BATCH = 8
OURS = "ours"
_EARLY = range(16, 256, 8)  # sizes at which ours is looked at, to see when it reaches an error
_LINES = 12  # along which crossings are looked for
_DRAWS = 200


def measured(problem: Problem, noise: float, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """The function with noise."""
    rng = np.random.default_rng([seed, 7])
    return lambda points: problem(points) + noise * rng.standard_normal(len(points))


def run_ours(problem: Problem, noise: float, seed: int, count: int, batch: int = BATCH) -> Iterator[LevelSet]:
    """Our search, after every batch."""
    model = LevelSet(problem.axes, seed=seed)
    measure = measured(problem, noise, seed)
    while len(model) < count:
        points = model.ask(min(batch, count - len(model)))
        model.tell(points, measure(points))
        yield model


def _error(problem: Problem, model: LevelSet) -> float:
    return problem.error(lambda p: model.mean_and_deviation(p)[0])


def coverage(problem: Problem, model: LevelSet) -> tuple[int, int]:
    """How many of the crossings lie in their 90 % interval, and how many there are.

    A crossing is looked for where the true one is nearest to: among those of every draw, the nearest one.
    """
    x = np.linspace(problem.axes[0].low, problem.axes[0].high, 241)
    inside = total = 0
    for other, crossing in problem.crossings(_LINES):
        draws = model.sample(np.column_stack([x, np.broadcast_to(other, (len(x), len(other)))]), _DRAWS) > 0
        nearest = []
        for draw in draws:
            at = np.flatnonzero(draw[:-1] != draw[1:])
            if len(at):
                middle = (x[at] + x[at + 1]) / 2
                nearest.append(middle[np.abs(middle - crossing).argmin()])
        if len(nearest) * 2 > _DRAWS:
            step = x[1] - x[0]
            low, high = np.quantile(nearest, (0.05, 0.95))
            inside += bool(low - step / 2 <= crossing <= high + step / 2)
            total += 1
    return inside, total


Job = tuple[str, int, float, int, tuple[int, ...]]  # contender, problem, noise, seed, sizes
Found = dict[Job, dict[str, float]]


def _run(job: Job) -> dict[str, float]:
    """Errors of one contender on one problem: ``{"own 64": ..., "model 64": ..., ...}``."""
    name, index, noise, seed, sizes = job
    problem = PROBLEMS[index]
    found: dict[str, float] = {}
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started = time.perf_counter()
        if name == OURS:
            for model in run_ours(problem, noise, seed, sizes[-1]):
                if len(model) in sizes or len(model) in _EARLY:
                    found[f"own {len(model)}"] = _error(problem, model)
                if len(model) == sizes[0]:
                    found["covered"], found["crossings"] = coverage(problem, model)
        else:
            for size in sizes if name == "grid" else sizes[-1:]:
                trace = COMPETITORS[name](problem.axes, measured(problem, noise, seed), size, BATCH, seed)
                for n in [size] if name == "grid" else sizes:
                    told = min(n, len(trace.values))
                    if trace.predict:
                        found[f"own {n}"] = problem.error(trace.predict(told))
                    model = LevelSet(problem.axes, seed=seed)
                    model.tell(trace.points[:told], trace.values[:told])
                    found[f"model {n}"] = _error(problem, model)
        found["seconds"] = time.perf_counter() - started
    return found


def compare(
    seeds: int,
    sizes: tuple[int, ...],
    contenders: list[str],
    processes: int = 1,
    keep: Path | None = None,
    noises: tuple[float, ...] = NOISES,
) -> Found:
    """Run everything; what ``keep`` holds already is not run again, and what is run is appended to it."""
    for problem in PROBLEMS:
        problem.truth  # noqa: B018  # cached before the processes part
    jobs = [
        (name, index, noise, seed, sizes)
        for name in sorted(contenders, key=lambda n: n in SLOW)
        for index in range(len(PROBLEMS))
        for noise in noises
        for seed in range(min(seeds, 3) if name in SLOW else seeds)
    ]
    found: Found = {}
    if keep and keep.exists():
        for line in keep.read_text().splitlines():
            name, index, noise, seed, done, values = json.loads(line)
            found[name, index, noise, seed, tuple(done)] = values
    missing = [job for job in jobs if job not in found]
    with ProcessPoolExecutor(processes) as pool:
        for i, (job, values) in enumerate(zip(missing, pool.map(_run, missing), strict=True)):
            found[job] = values
            if keep:
                with keep.open("a") as file:
                    file.write(json.dumps([*job, values]) + "\n")
            print(f"\r{i + 1} of {len(missing)} runs", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return {job: found[job] for job in jobs}


def _errors(found: Found, name: str, index: int, noise: float, size: int) -> np.ndarray:
    """``[seeds]`` errors, by the better of the two estimates."""
    runs = [v for (n, i, e, _, _), v in found.items() if (n, i, e) == (name, index, noise)]
    if not runs:
        return np.empty(0)
    kinds = [[r[key] for r in runs] for key in (f"own {size}", f"model {size}") if key in runs[0]]
    return np.array(min(kinds, key=np.mean))


def _verdict(theirs: np.ndarray, ours: np.ndarray) -> str:
    """``+`` ours is significantly better, ``-`` significantly worse, else nothing."""
    d = theirs - ours[: len(theirs)]
    half = student.ppf(0.95, len(d) - 1) * d.std(ddof=1) / math.sqrt(len(d)) if len(d) > 1 else math.inf
    return "+" if d.mean() > half else "-" if d.mean() < -half else ""


def _reached(found: Found, index: int, noise: float, target: float) -> float:
    """Median over the seeds of the points after which our error is at most the target."""
    needed = []
    for (name, i, e, _, _), values in found.items():
        if (name, i, e) == (OURS, index, noise):
            errors = {int(k.split()[1]): v for k, v in values.items() if k.startswith("own")}
            needed.append(min((n for n, v in errors.items() if v <= target), default=math.inf))
    return float(np.median(needed))


def table(found: Found) -> str:
    """Errors in per cent; + where ours is significantly better, - where it is worse."""
    names = list(dict.fromkeys(name for name, *_ in found))
    rivals = [n for n in names if n != OURS]
    sizes = next(iter(found))[-1]
    lines = [f"{'problem':25}{'noise':>6}{'points':>7}{OURS:>8}" + "".join(f"{n[:12]:>14}" for n in rivals)]
    score = {n: [0, 0, 0] for n in rivals}
    for index, noise in dict.fromkeys((i, e) for _, i, e, *_ in found):
        for size in sizes:
            ours = _errors(found, OURS, index, noise, size)
            cells = ""
            for n in rivals:
                theirs = _errors(found, n, index, noise, size)
                if not len(theirs):
                    cells += f"{'':>14}"
                    continue
                verdict = _verdict(theirs, ours)
                score[n]["+-".find(verdict) if verdict else 2] += 1
                cells += f"{100 * theirs.mean():>12.2f} {verdict or ' '}"
            lines.append(f"{PROBLEMS[index].name:25}{noise:>6.2f}{size:>7}{100 * ours.mean():>8.2f}{cells}")
    lines.append(f"{'ours better/worse/neither':46}" + "".join(f"{'/'.join(map(str, score[n])):>14}" for n in rivals))
    for n in [n for n in ("sobol", "grid") if n in rivals]:
        for kind in ("own", "model"):
            reached = []
            for index, noise in dict.fromkeys((i, e) for _, i, e, *_ in found):
                runs = [v for (m, i, e, _, _), v in found.items() if (m, i, e) == (n, index, noise)]
                target = float(np.mean([r[f"{kind} {sizes[-1]}"] for r in runs]))
                reached.append(_reached(found, index, noise, target))
            text = " ".join(f"{r:.0f}" if math.isfinite(r) else f">{sizes[-1]}" for r in reached)
            estimate = "its own estimate" if kind == "own" else "our model of its points"
            lines.append(f"points to the error of {n} at {sizes[-1]} by {estimate}, problem by problem: {text}")
    covered = [(v["covered"], v["crossings"]) for (n, *_), v in found.items() if n == OURS]
    inside, total = (sum(c) for c in zip(*covered, strict=True))
    lines.append(f"90 % intervals at {sizes[0]} points hold {100 * inside / total:.1f} % of {total:.0f} crossings")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10, help="of each; 3 at most for contenders that take minutes")
    parser.add_argument("--noises", type=float, nargs="+", default=NOISES, help="standard deviations of the noise")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="points at which errors are compared")
    parser.add_argument("--contenders", nargs="+", default=[OURS, *COMPETITORS], choices=[OURS, *COMPETITORS])
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", type=Path, help="JSON lines of runs: what is there is not run again")
    args = parser.parse_args()
    started = time.perf_counter()
    found = compare(args.seeds, tuple(args.sizes), args.contenders, args.processes, args.keep, tuple(args.noises))
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores; {args.seeds} seeds, batches of {BATCH}"
    )
    print(table(found))
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
