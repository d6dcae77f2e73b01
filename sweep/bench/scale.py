"""Benchmark of the orchestration at scale: a simulated cluster of 64 GPUs, and a sweep of 100,000 points."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from probes import Images
from sweep.bench.figure import Figure
from sweep.bench.orchestration import watched
from sweep.execution.tuner import TUNE_ENVIRONMENT
from sweep.measuring.rehearsal import Rehearsal

_NODES, _GPUS_PER_NODE = 8, 8


def scale(images: Images) -> Iterator[Figure]:
    """Yield the figures of a simulated cluster of 64 GPUs and of a sweep of 100,000 points (ten minutes, 16 GiB)."""
    slots = _NODES * _GPUS_PER_NODE
    with _cluster() as address:
        keys: dict[str, Any] = {"address": address, "slots": slots, "gpus_per_trial": 1, "search": "sobol", "pack": 4}
        watch = watched(images, Rehearsal(7.5), points=slots * 4 * 6, **keys)
    busy = watch.busy(slots)
    yield Figure(f"{slots} fake GPUs on {_NODES} nodes, packs of 30 s: busy after the first round", busy, "", 0.9)
    watch = watched(images, Rehearsal(0.0), points=100_000, search="sobol", pack=64)
    yield Figure("100,000 no-op points, packs of 64", watch.rate, "points/s")
    yield Figure("  rate of the last tenth, relative to the first", watch.last_tenth, "", 0.8)
    yield Figure(
        "  growth of the driver's memory per point, after the first tenth",
        watch.bytes_per_point / 1024,
        "KiB",
        8.0,
        False,
    )


@contextmanager
def _cluster() -> Iterator[str]:
    """Start a Ray cluster on this machine, whose nodes claim to have GPUs, and yield its address."""
    from ray.cluster_utils import Cluster

    os.environ.update(TUNE_ENVIRONMENT)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(_NODES):
            cluster.add_node(num_cpus=_GPUS_PER_NODE, num_gpus=_GPUS_PER_NODE, object_store_memory=100 * 2**20)
        cluster.wait_for_nodes()
        yield cluster.address
    finally:
        cluster.shutdown()
