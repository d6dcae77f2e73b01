"""A sweep on machines of a cloud that `ray up` starts, from ``cluster/ray-up``."""

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
_MACHINES = {
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
_SCHEME = {"aws": "s3", "gcp": "gs"}


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
    """Return the plan of a cluster: a head that stays, ``job.nodes`` spot machines at most.

    Its files stand beside the results.

    Raises
    ------
    SpecError
        A zone or project that gcp needs; cores and GPUs that no type of machine known here has.
    """
    folder = Path(f"{job.out}.launch")
    path, token, run = folder / "cluster.yaml", folder / "auth_token", folder / "run.sh"
    if "--storage" not in job.arguments:
        storage = ("--storage", f"{_SCHEME[provider]}://{bucket}/{job.name}")
        job = replace(job, arguments=(*job.arguments, *storage), fixed=(*job.fixed, *storage))
    (config,) = read(template(f"ray-up/{provider}.yaml"))
    config["cluster_name"] = job.name
    config["docker"]["image"] = image
    config["provider"] |= _place(provider, region, zone, project)
    _set_nodes(config, job, machine_image, machine or _machine(provider, job))
    config["file_mounts"] = {
        "~/.ray/auth_token": str(token.absolute()),
        "~/run.sh": str(run.absolute()),
        **({f"{DATA}/{job.dataset.name}": str(job.dataset)} if job.dataset else {}),
    }
    files = {path: dump([config]), run: script(job)}
    secret = secrets.token_hex(32)
    if not token.exists():  # that of a cluster which may be running
        files[token] = secret + "\n"
    where, log = shlex.quote(str(path)), f"{job.place}.log"
    return Plan(
        files=files,
        commands=[
            ["ray", "up", "-y", str(path)],
            ["ray", "exec", str(path), f"sh ~/run.sh >> {log} 2>&1", "--tmux"],
        ],
        watch=f"ray exec {where} 'tail -F {log}'",
        fetch=f"mkdir -p {shlex.quote(job.out)} && ray rsync-down {where} {job.place}/ {shlex.quote(job.out)}",
        stop=f"ray down -y {where}",
        secrets=(secret,),
        quiet=False,
    )


def _place(provider: str, region: str, zone: str | None, project: str | None) -> dict[str, str]:
    """Return where in the cloud the machines are, in the words of `ray up`."""
    place = {"region": region}
    if zone:
        place["availability_zone"] = zone
    if provider == "gcp":
        for name, value in (("zone", zone), ("project", project)):
            if not value:
                raise SpecError(f"`{name}` must be given with provider 'gcp'")
        place["project_id"] = str(project)
    return place


def _set_nodes(config: dict[str, Any], job: Job, machine_image: str, machine: str) -> None:
    """Give every machine its image, and the workers their number, size and type."""
    config["max_workers"] = job.nodes
    nodes = config["available_node_types"]
    for node in nodes.values():
        _boot(node["node_config"], machine_image)
    worker = nodes["worker"]
    worker["max_workers"] = job.nodes
    worker["resources"] = {"CPU": job.cpus, **({"GPU": job.gpus} if job.gpus else {})}
    if job.gpus:  # a machine is up before its driver is
        worker["initialization_commands"] = ["timeout 600 sh -c 'until nvidia-smi; do sleep 5; done'"]
    worker["node_config"]["machineType" if "machineType" in worker["node_config"] else "InstanceType"] = machine


def _machine(provider: str, job: Job) -> str:
    try:
        return _MACHINES[provider][job.cpus, job.gpus]
    except KeyError:
        known = ", ".join(f"{c} and {g}" for g, c in sorted((g, c) for c, g in _MACHINES[provider]))
        raise SpecError(
            f"`machine` must be given with {job.cpus} cores and {job.gpus} GPUs; known are {known}"
        ) from None


def _boot(node: dict[str, Any], image: str) -> None:
    if "ImageId" in node:
        node["ImageId"] = image
    else:
        node["disks"][0]["initializeParams"]["sourceImage"] = image
