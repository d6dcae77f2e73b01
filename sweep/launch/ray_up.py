"""Launcher for machines of a cloud, started by `ray up` with a configuration from ``cluster/ray-up``."""

import secrets
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from sweep.errors import SpecError
from sweep.launch.documents import dump, read
from sweep.launch.job import DATA, Job, script
from sweep.launch.plan import Plan, template

# (cores, GPUs) -> type of machine.
_MACHINE_TYPES = {
    "aws": {
        **{(2 * n, 0): f"m7i.{size}" for n, size in ((1, "large"), (2, "xlarge"), (4, "2xlarge"), (8, "4xlarge"))},
        **{(16 * n, 0): f"m7i.{4 * n}xlarge" for n in (2, 3, 4, 6, 12)},
        **{(4 * n, 1): f"g6.{n}xlarge" for n in (2, 4, 8, 16)},
        **{(4, 1): "g6.xlarge", (48, 4): "g6.12xlarge", (192, 8): "g6.48xlarge"},
    },
    "gcp": {
        **{(n, 0): f"n2-standard-{n}" for n in (2, 4, 8, 16, 32, 48, 64, 80, 96, 128)},
        **{(n, 1): f"g2-standard-{n}" for n in (4, 8, 12, 16, 32)},
        **{(24, 2): "g2-standard-24", (48, 4): "g2-standard-48", (96, 8): "g2-standard-96"},
    },
}
_BUCKET_SCHEMES = {"aws": "s3", "gcp": "gs"}


def plan(
    job: Job,
    *,
    provider: str,
    region: str,
    zone: str | None,
    project: str | None,
    bucket: str,
    image: str,
    machine_image: str,
    machine: str | None,
) -> Plan:
    """Return the plan of a cluster with one head and at most ``job.nodes`` workers, which are spot machines.

    The files of the plan are written beside the results.

    Parameters
    ----------
    job:
        The job.
    provider:
        ``aws`` or ``gcp``.
    region, zone, project:
        Where the machines are; gcp needs a zone and a project.
    bucket:
        Name of the bucket for results, unless the job's arguments have ``--storage``.
    image:
        The image of the containers on all machines.
    machine_image:
        The image that the machines boot from.
    machine:
        Type of the workers' machines; None: one with the job's cores and GPUs.

    Raises
    ------
    SpecError
        gcp is given no zone or project, or no machine type is known with the job's cores and GPUs.
    """
    folder = Path(f"{job.out}.launch")
    path, token, run = folder / "cluster.yaml", folder / "auth_token", folder / "run.sh"
    if "--storage" not in job.arguments:
        storage = ("--storage", f"{_BUCKET_SCHEMES[provider]}://{bucket}/{job.name}")
        job = replace(job, arguments=(*job.arguments, *storage), fixed_arguments=(*job.fixed_arguments, *storage))
    (config,) = read(template(f"ray-up/{provider}.yaml"))
    config["cluster_name"] = job.name
    config["docker"]["image"] = image
    config["provider"] |= _provider_settings(provider, region, zone, project)
    _set_nodes(config, job, machine_image, machine or _machine_type(provider, job))
    config["file_mounts"] = {
        "~/.ray/auth_token": str(token.absolute()),
        "~/run.sh": str(run.absolute()),
        **({f"{DATA}/{job.dataset.name}": str(job.dataset)} if job.dataset else {}),
    }
    files = {path: dump([config]), run: script(job)}
    secret = secrets.token_hex(32)
    if not token.exists():  # a cluster that uses the existing one may be running
        files[token] = secret + "\n"
    config_path, log = shlex.quote(str(path)), f"{job.container_directory}.log"
    return Plan(
        files=files,
        commands=[
            ["ray", "up", "-y", str(path)],
            ["ray", "exec", str(path), f"sh ~/run.sh >> {log} 2>&1", "--tmux"],
        ],
        watch=f"ray exec {config_path} 'tail -F {log}'",
        fetch=f"mkdir -p {shlex.quote(job.out)} && "
        f"ray rsync-down {config_path} {job.container_directory}/ {shlex.quote(job.out)}",
        stop=f"ray down -y {config_path}",
        secrets=(secret,),
        quiet=False,
    )


def _provider_settings(provider: str, region: str, zone: str | None, project: str | None) -> dict[str, str]:
    """Return the settings of `ray up` for the region, the zone and the project of the machines."""
    settings = {"region": region}
    if zone:
        settings["availability_zone"] = zone
    if provider == "gcp":
        for name, value in (("zone", zone), ("project", project)):
            if not value:
                raise SpecError(f"`{name}` must be given with provider 'gcp'")
        settings["project_id"] = str(project)
    return settings


def _set_nodes(config: dict[str, Any], job: Job, machine_image: str, machine: str) -> None:
    """Set the image of all machines, and the number, size and type of the workers."""
    config["max_workers"] = job.nodes
    nodes = config["available_node_types"]
    for node in nodes.values():
        _set_machine_image(node["node_config"], machine_image)
    worker = nodes["worker"]
    worker["max_workers"] = job.nodes
    worker["resources"] = {"CPU": job.cpus, **({"GPU": job.gpus} if job.gpus else {})}
    if job.gpus:  # a machine can be up before NVIDIA's driver works
        worker["initialization_commands"] = ["timeout 600 sh -c 'until nvidia-smi; do sleep 5; done'"]
    worker["node_config"]["machineType" if "machineType" in worker["node_config"] else "InstanceType"] = machine


def _machine_type(provider: str, job: Job) -> str:
    try:
        return _MACHINE_TYPES[provider][job.cpus, job.gpus]
    except KeyError:
        known = ", ".join(f"{c} and {g}" for g, c in sorted((g, c) for c, g in _MACHINE_TYPES[provider]))
        raise SpecError(
            f"`machine` must be given with {job.cpus} cores and {job.gpus} GPUs; types are known for {known}"
        ) from None


def _set_machine_image(node: dict[str, Any], image: str) -> None:
    if "ImageId" in node:
        node["ImageId"] = image
    else:
        node["disks"][0]["initializeParams"]["sourceImage"] = image
