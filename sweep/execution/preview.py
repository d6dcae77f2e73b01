"""The preview that `sweep run --dry-run` shows."""

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.execution.capacity import Capacity
from sweep.execution.cost import cost_of_point, guessed_speeds, typical_extra
from sweep.execution.deadline import time_left
from sweep.execution.packing import Packer, fitting_pack
from sweep.limits import available_bytes, cores
from sweep.measuring.memory import largest
from sweep.spec.design import budget, grid_axes, point_at
from sweep.spec.experiment import Workload
from sweep.spec.spec import SweepSpec
from sweep.text import duration, printable

if TYPE_CHECKING:
    from probes import Images, ProbeSettings

_MAX_MEASUREMENT_S = 30.0  # networks that take longer, by the estimate, are not measured for a preview
_PREVIEWED = 16  # number of points, from one corner of the ranges to the opposite one, whose cost is averaged


def preview(spec: SweepSpec, settings: "ProbeSettings", images: "Images", directory: Path) -> dict[str, str]:
    """Return a description of what a sweep would do: its points, trials, memory, expected time and files.

    For a sweep on this machine, one network is measured to estimate the time; a cluster is not joined.

    Returns
    -------
    dict of str to str
        The topics (``points``, ``data``, ``trials``, ``time``, ...) with what is to be said about each.
    """
    points = budget(spec) * spec.replicas
    plan = {"points": _points(spec, points), "data": f"{printable(spec.dataset)}, {_data(images)}"}
    if spec.is_here:
        capacity = Capacity(spec, lambda: [(cores(), _gpus(), available_bytes())])
        cost, max_points = cost_of_point(settings, images), fitting_pack(spec, settings, images, capacity)
        packer = Packer(spec, cost, guessed_speeds(capacity), max_points)
        pack = packer.max_size(capacity.slots)
        plan |= {
            "trials": f"about {math.ceil(points / pack)} of up to {pack} points, {capacity.slots} at once",
            "device": _device(capacity),
            "memory": _memory(spec, settings, images, capacity, pack),
            "time": _expected_time(spec, settings, images, capacity, points),
        }
    else:
        plan |= {
            "trials": f"on the cluster at {printable(str(spec.address))}, as many at once as it has room for",
            "time": "not known: the cluster is not joined for a dry run",
        }
    if (limit := time_left(spec)) is not None:
        plan["limit"] = f"{duration(limit)}, after which the sweep stops; `sweep resume` goes on with it"
    plan["results"] = printable(spec.storage or str(directory))
    plan["study"] = printable(spec.study or f"a journal in {directory}")
    return plan


def _points(spec: Workload, points: int) -> str:
    ranges = [f"{axis.name} {axis.low:g} to {axis.high:g}" for axis in spec.axes.values()]
    if spec.search == "grid":
        ranges.append("a grid of " + " x ".join(str(len(v)) for v in grid_axes(spec).values()))
    trained = {"none": "", "boundary": ", those near the boundary trained", "all": ", all trained"}[spec.train]
    return f"{points} ({', '.join(ranges)}; search: {spec.search}{trained})"


def _data(images: "Images") -> str:
    return f"{len(images.train)} training and {len(images.test)} test images of {images.pixels} numbers"


def _gpus() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _device(capacity: Capacity) -> str:
    if not capacity.gpus:
        return f"{capacity.cpus:g} of {cores()} cores a trial, no GPU"
    return f"{capacity.gpus:g} of {_gpus()} GPUs and {capacity.cpus:g} of {cores()} cores a trial"


def _memory(spec: Workload, settings: "ProbeSettings", images: "Images", capacity: Capacity, pack: int) -> str:
    from probes.memory import peak_bytes

    device, threads = "cuda" if capacity.gpus else "cpu", max(1, math.floor(capacity.cpus))
    needed = peak_bytes(largest(settings, images, spec), images, spec.depth[1], pack, device, threads)
    return f"up to {needed / 2**30:.1f} GiB a trial, of the deepest networks"


def _expected_time(spec: Workload, settings: "ProbeSettings", images: "Images", capacity: Capacity, points: int) -> str:
    """Measure one network of middle depth, and return a text that says how long all points will take."""
    import torch

    from sweep.execution.trainable import make_prober

    cost = cost_of_point(settings, images)
    shares = [(i + 0.5) / _PREVIEWED for i in range(_PREVIEWED)]
    points_between = [point_at(spec, tuple(a.at(share) for a in spec.axes.values()), spec.seed) for share in shares]
    point = replace(points_between[_PREVIEWED // 2], extra=typical_extra(spec, settings))
    if cost(point) / guessed_speeds(capacity)[capacity.kinds[0]] > _MAX_MEASUREMENT_S:
        return "not known: measuring one network for the estimate would take too long"
    threads = torch.get_num_threads()
    try:
        prober = make_prober(images, settings, max(1, math.floor(capacity.cpus)), capacity.gpus)
        started = time.monotonic()
        measured = prober.probe([point])
        trains = spec.train != "none"
        for _ in prober.train(measured, doubtful=[point]) if trains else ():
            pass
        took = time.monotonic() - started
    finally:
        torch.set_num_threads(threads)
    mean = sum(map(cost, points_between)) / len(points_between) / cost(point) * took
    return (
        f"about {duration(points * mean / capacity.slots)} ({took:.2g} s for a network of {point.depth} layers, alone)"
    )
