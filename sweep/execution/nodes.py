"""The nodes of Ray's cluster and their resources; Ray must have been started."""

from collections.abc import Mapping


def live_nodes() -> list[tuple[float, float]]:
    """Return the numbers of cores and GPUs of every node that is alive."""
    return [cores_and_gpus(node) for node in resources_of_nodes()]


def resources_of_nodes() -> list[dict[str, float]]:
    """Return the resources of every node that is alive, as Ray names them."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def cores_and_gpus(resources: Mapping[str, float]) -> tuple[float, float]:
    """Return the numbers of cores and GPUs from the resources of a node."""
    return resources.get("CPU", 0.0), resources.get("GPU", 0.0)
