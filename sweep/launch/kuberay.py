"""Launcher for Kubernetes: a RayJob from the manifests in ``cluster/kuberay``; a dry run needs no kubectl."""

import re
import secrets
import shlex
from typing import Any

from jsonpatch import JsonPatch
from jsonpointer import set_pointer

from sweep.errors import SpecError
from sweep.launch.documents import dump, read
from sweep.launch.job import Job, script
from sweep.launch.plan import Plan, template
from sweep.launch.pods import PodOptions


def plan(job: Job, *, image: str, namespace: str, memory: int, storage_size: int, **options: Any) -> Plan:
    """Return the plan of a RayJob of at most ``job.nodes`` workers, with its Redis, volume and network policies.

    Parameters
    ----------
    job:
        The job.
    image:
        The image of the head, the workers and the driver.
    namespace:
        The namespace in Kubernetes.
    memory:
        Memory of a worker, in GiB.
    storage_size:
        Size of the volume for results, in GiB.
    **options:
        Those of `PodOptions`.

    Raises
    ------
    SpecError
        The data set is a file on this machine, or an option is not valid.
    """
    if job.dataset:
        raise SpecError(
            f"`dataset` must be a name, or a path below /results, where kubectl can copy it, got {str(job.dataset)!r}"
        )
    pods = PodOptions(**options)
    password = secrets.token_hex(32)
    documents = [_renamed(d, job.name) for d in manifests("gpu" if job.gpus else "cpu")]
    documents.insert(0, _redis_password(job.name, password))
    values = _values(job, memory, storage_size)
    for document in documents:
        for path, value in values.get((document["kind"], document["metadata"]["name"]), {}).items():
            set_pointer(document, path, value)
        _set_image(document, image)
    pods.apply(documents, job.nodes)
    kubectl = ["kubectl", "-n", namespace]
    kubectl_line, results = shlex.join(kubectl), f"deploy/{job.name}-results"
    out = shlex.quote(job.out)
    return Plan(
        # The dry run refuses a name that is in use, before anything of that sweep is changed.
        commands=[
            [*kubectl, "create", "--dry-run=server", "-l", "part=job", "-f", "-"],
            [*kubectl, "apply", "-f", "-"],
        ],
        stdin=dump(documents),
        watch=f"{kubectl_line} logs -f job/{job.name}",
        fetch=f"{kubectl_line} scale --replicas 1 {results} && {kubectl_line} rollout status {results} "
        f"&& mkdir -p {out} && {kubectl_line} exec {results} -- tar c -C {job.container_directory} . | tar x -C {out} "
        f"&& {kubectl_line} scale --replicas 0 {results}",
        stop=f"{kubectl_line} delete rayjob {job.name}",
        secrets=(password,),
    )


def _values(job: Job, memory: int, storage_size: int) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the values that the job sets in the documents: (kind, name) -> JSON pointer -> value."""
    cluster = "/spec/rayClusterSpec"
    workers = f"{cluster}/workerGroupSpecs/0"
    amounts = {"cpu": str(job.cpus), "memory": f"{memory}Gi", **({"nvidia.com/gpu": str(job.gpus)} if job.gpus else {})}
    job_values = {
        f"{workers}/maxReplicas": job.nodes,
        f"{workers}/template/spec/containers/0/resources": {"requests": amounts, "limits": amounts},
    }
    return {
        ("RayJob", job.name): job_values,
        ("ConfigMap", f"{job.name}-run"): {"/data/run.sh": script(job)},
        ("PersistentVolumeClaim", f"{job.name}-results"): {"/spec/resources/requests/storage": f"{storage_size}Gi"},
        # The annotation is always new, so that a running Redis restarts with the new password.
        ("Deployment", f"{job.name}-redis"): {"/spec/template/metadata/annotations": {"launch": secrets.token_hex(8)}},
    }


def _redis_password(name: str, password: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"{name}-redis", "labels": {"sweep": name, "part": "redis"}},
        "type": "Opaque",
        "stringData": {"password": password},
    }


def manifests(overlay: str) -> list[dict[str, Any]]:
    """Return the documents of an overlay as ``kubectl kustomize`` does: the base, with JSON patches applied."""
    folder = template(f"kuberay/overlays/{overlay}")
    (overlaid,) = read(folder / "kustomization.yaml")
    documents = []
    for base in overlaid["resources"]:
        (names,) = read(folder / base / "kustomization.yaml")
        documents += [document for name in names["resources"] for document in read(folder / base / name)]
    for patch in overlaid["patches"]:
        (steps,) = read(folder / patch["path"])
        for document in documents:
            if document["kind"] == patch["target"]["kind"]:
                JsonPatch(steps).apply(document, in_place=True)
    return documents


def _renamed(node: Any, name: str) -> Any:
    """Return a copy of a document in which ``name`` replaces the "sweep" that names and labels begin with."""
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
