"""Benchmark of the memory estimate of a pack, compared with the measured peak of a child process.

The child runs this module as its main module.
"""

import ctypes
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from probes import Custom, Images, Point, ProbeSettings, load_images
from probes.memory import peak_bytes
from probes.prober import Prober
from probes.programs import function_of
from sweep.bench.figure import Figure, default_device
from sweep.processes import command, environment

PACKS: dict[str, dict[str, Any]] = {
    "direct, width 784, depth 20, a pack of 1": {"probe": "direct", "resize": 28, "depth": 20, "pack": 1},
    "cascade, width 784, depth 40, a pack of 2": {"probe": "cascade", "resize": 28, "depth": 40, "pack": 2},
    "both, width 256, depth 60, a pack of 16": {"probe": "both", "resize": 16, "depth": 60, "pack": 16},
    "cascade, convolutions on 14 x 14, depth 10": {
        "probe": "cascade",
        "resize": 14,
        "depth": 10,
        "pack": 1,
        "architecture": "conv",
    },
}


def memory(images: Images) -> Iterator[Figure]:
    """Yield the measured peak memory of several kinds of packs, and the relative error of the estimate."""
    for name, keys in PACKS.items():
        peak, estimate = peak_and_estimate(keys, default_device())
        yield Figure(f"{name}: measured", peak / 1e6, "MB")
        yield Figure("  estimate / measured - 1", abs(estimate / peak - 1), "", 0.2, at_least=False)


def peak_and_estimate(keys: dict[str, Any], device: str = "cpu") -> tuple[int, int]:
    """Return the peak memory of a pack, measured in a child process, and its estimate, both in bytes.

    It needs Linux or a GPU.

    Parameters
    ----------
    keys:
        Fields of `ProbeSettings`, ``network`` as ``FILE.py:FUNCTION``, and ``pack`` (number of networks), ``depth`` and
        ``resize`` (width and height of the images of white noise).
    device:
        The device to measure on.
    """
    child = command("sweep.bench.memory", json.dumps({"probe_steps": 3, **keys}), device)
    out = subprocess.run(child, capture_output=True, text=True, check=True, env=environment())
    peak, estimate = json.loads(out.stdout)
    return peak, estimate


def _measured(keys: dict[str, Any], device: str) -> tuple[int, int]:
    """Measure a pack in this process, which must be new, and return its peak memory and the estimate, in bytes."""
    pack, depth, images = keys.pop("pack"), keys.pop("depth"), load_images("noise", resize=keys.pop("resize"))
    with ExitStack() as stack:
        if (name := keys.pop("network", None)) is not None:
            keys["network"] = Custom(stack.enter_context(function_of(name)))
        return _peak(ProbeSettings(**keys), images, depth, pack, device)


def _peak(settings: ProbeSettings, images: Images, depth: int, pack: int, device: str) -> tuple[int, int]:
    small = ProbeSettings(width=4, probe_steps=2, images=64)
    Prober(images, small, device).measure([Point(1.3, 0.2, 2)])  # load the libraries, so that they do not count
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        before = _status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # reset VmHWM
    measurements = Prober(images, settings, device).measure([Point(1.3, 0.2, depth, s) for s in range(pack)])
    assert all(m.status == "ok" for m in measurements), measurements[0].error
    after = torch.cuda.max_memory_allocated() if device == "cuda" else _status("VmHWM")
    return after - before, peak_bytes(settings, images, depth, pack, device, torch.get_num_threads())


def _status(key: str) -> int:
    """Return a field of /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(key))


if __name__ == "__main__":
    print(json.dumps(_measured(json.loads(sys.argv[1]), sys.argv[2])))
