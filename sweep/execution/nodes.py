"""The nodes of Ray's cluster and their resources."""

from collections.abc import Mapping


def alive() -> list[tuple[float, float]]:
    """(cores, GPUs) of every node."""
    return [cores_and_gpus(node) for node in resources_of_nodes()]


def resources_of_nodes() -> list[dict[str, float]]:
    """Ray's resources of every node."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def cores_and_gpus(resources: Mapping[str, float]) -> tuple[float, float]:
    """Return the cores and GPUs among Ray's resources of a node."""
    return resources.get("CPU", 0.0), resources.get("GPU", 0.0)
