"""The nodes of Ray's cluster and their resources; Ray must have been started."""

import math
from typing import NamedTuple


class Node(NamedTuple):
    """The resources of a node: cores, GPUs, and memory in bytes (infinity if it is not known)."""

    cores: float
    gpus: float
    memory: float = math.inf


def live_nodes() -> list[Node]:
    """Return the resources of every node that is alive."""
    import ray

    resources = (node["Resources"] for node in ray.nodes() if node["Alive"])
    return [Node(r.get("CPU", 0.0), r.get("GPU", 0.0), r.get("memory") or math.inf) for r in resources]
