"""The sections of `sweep bench`, and the machine that they run on."""

import json
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from probes import Images
from sweep.bench.figure import Figure
from sweep.bench.memory import memory
from sweep.bench.probes import cascade, direct, gpu, gradients, pack
from sweep.bench.training import training


def machine() -> str:
    """Return processor, threads, GPU and versions in a line of text."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ", no GPU"
    return (
        f"{name}, {torch.get_num_threads()} threads{gpu}; torch {torch.__version__}, Python {platform.python_version()}"
    )


def orchestration(images: Images) -> Iterator[Figure]:
    """Yield the points per second that Ray Tune, Optuna and the store manage, and how busy the devices are."""
    from sweep.bench.orchestration import orchestration

    return orchestration(images)


def scale(images: Images) -> Iterator[Figure]:
    """Yield the figures of a simulated cluster of 64 GPUs and of a sweep of 100,000 points."""
    from sweep.bench.scale import scale

    return scale(images)


SECTIONS: dict[str, Callable[[Images], Iterator[Figure]]] = {
    "cascade": cascade,
    "direct": direct,
    "gradients": gradients,
    "pack": pack,
    "training": training,
    "memory": memory,
    "gpu": gpu,
    "orchestration": orchestration,
    "scale": scale,
}
_ONLY_IF_NAMED = ("scale",)  # since they take many minutes


def run(images: Images, only: Sequence[str] = ()) -> Iterator[tuple[str, Figure]]:
    """Run the named sections, or all short ones, and yield each figure with its section as it is measured.

    Parameters
    ----------
    images:
        The data set for the sections that measure networks.
    only:
        Names of sections (keys of `SECTIONS`). If empty, all run but those that take many minutes.

    Yields
    ------
    section : str
        Name of the section.
    figure : Figure
        A measured figure.
    """
    for name, section in SECTIONS.items():
        if name in only or (not only and name not in _ONLY_IF_NAMED):
            for figure in section(images):
                yield name, figure


def as_json(figures: list[tuple[str, Figure]]) -> str:
    """Return a JSON object with the machine and all figures, given with their sections."""
    return json.dumps(
        {"machine": machine(), "figures": [{"section": s, **asdict(f), "met": f.met} for s, f in figures]}
    )
