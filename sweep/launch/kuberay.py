"""A sweep as a RayJob of Kubernetes, from ``cluster/kuberay``; a dry run needs no kubectl."""

import re
import secrets
import shlex
from typing import Any

from sweep.errors import SpecError
from sweep.launch.documents import dump, read
from sweep.launch.plan import Job, Plan, script, template

__all__ = ["manifests", "plan"]


def plan(job: Job, *, image: str, namespace: str, memory: int, storage_size: int, secret: str | None = None) -> Plan:
    """A RayJob of at most ``job.nodes`` workers, its Redis, its volume and its network policies.

    ``memory`` and ``storage_size``: GiB of a node, GiB of the volume for results. ``secret``: one that holds
    environment variables of the driver.

    Raises
    ------
    SpecError
        A data set that is a file here.
    """
    if job.dataset:
        raise SpecError(
            f"`dataset` must be a name or a path below /results, where kubectl can copy it to, got {str(job.dataset)!r}"
        )
    password = secrets.token_hex(32)
    documents = [_renamed(d, job.name) for d in manifests("gpu" if job.gpus else "cpu")]
    for document in documents:
        _set_image(document, image)
    parts = {(d["kind"], d["metadata"]["name"]): d for d in documents}
    parts["ConfigMap", f"{job.name}-run"]["data"]["run.sh"] = script(job)
    volume = parts["PersistentVolumeClaim", f"{job.name}-results"]
    volume["spec"]["resources"]["requests"]["storage"] = f"{storage_size}Gi"
    # A Redis that is there already is started anew, with the new password.
    redis = parts["Deployment", f"{job.name}-redis"]["spec"]["template"]["metadata"]
    redis["annotations"] = {"launch": secrets.token_hex(8)}
    cluster = parts["RayJob", job.name]["spec"]["rayClusterSpec"]
    if secret:
        cluster["headGroupSpec"]["template"]["spec"]["containers"][0]["envFrom"] = [{"secretRef": {"name": secret}}]
    workers = cluster["workerGroupSpecs"][0]
    workers["maxReplicas"] = job.nodes
    resources = workers["template"]["spec"]["containers"][0]["resources"]
    for amount in resources.values():
        amount.update({"cpu": str(job.cpus), "memory": f"{memory}Gi"})
        if job.gpus:
            amount["nvidia.com/gpu"] = str(job.gpus)
    redis_password = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"{job.name}-redis", "labels": {"sweep": job.name, "part": "redis"}},
        "type": "Opaque",
        "stringData": {"password": password},
    }
    kubectl = ["kubectl", "-n", namespace]
    run, results = shlex.join(kubectl), f"deploy/{job.name}-results"
    out = shlex.quote(job.out)
    return Plan(
        # A sweep of this name that runs or has run is refused, before anything of it is changed.
        commands=[
            [*kubectl, "create", "--dry-run=server", "-l", "part=job", "-f", "-"],
            [*kubectl, "apply", "-f", "-"],
        ],
        stdin=dump([redis_password, *documents]),
        watch=f"{run} logs -f job/{job.name}",
        fetch=f"{run} scale --replicas 1 {results} && {run} rollout status {results} && mkdir -p {out} && "
        f"{run} exec {results} -- tar c -C {job.place} . | tar x -C {out} && {run} scale --replicas 0 {results}",
        stop=f"{run} delete rayjob {job.name}",
        secrets=(password,),
    )


def manifests(overlay: str) -> list[dict[str, Any]]:
    """What ``kubectl kustomize`` makes of an overlay: the base, and JSON patches of it."""
    folder = template(f"kuberay/overlays/{overlay}")
    (overlaid,) = read(folder / "kustomization.yaml")
    found = []
    for base in overlaid["resources"]:
        (names,) = read(folder / base / "kustomization.yaml")
        found += [document for name in names["resources"] for document in read(folder / base / name)]
    for patch in overlaid["patches"]:
        (steps,) = read(folder / patch["path"])
        for document in found:
            if document["kind"] == patch["target"]["kind"]:
                for step in steps:
                    _apply(document, step)
    return found


def _apply(document: Any, step: dict[str, Any]) -> None:
    """One ``add`` or ``replace`` of RFC 6902."""
    *parents, last = (p.replace("~1", "/").replace("~0", "~") for p in step["path"].split("/")[1:])
    for key in parents:
        document = document[int(key) if isinstance(document, list) else key]
    document[last] = step["value"]


def _renamed(node: Any, name: str) -> Any:
    """With ``name`` for the "sweep" that names and labels begin with."""
    if isinstance(node, dict):
        return {k: _renamed(v, name) for k, v in node.items()}
    if isinstance(node, list):
        return [_renamed(v, name) for v in node]
    return re.sub(r"^sweep(?=$|-|:)", name, node) if isinstance(node, str) else node


def _set_image(node: Any, image: str) -> None:
    if isinstance(node, dict):
        if node.get("image") == "trainability-sweep":
            node["image"] = image
        for value in node.values():
            _set_image(value, image)
    elif isinstance(node, list):
        for value in node:
            _set_image(value, image)
