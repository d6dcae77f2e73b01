"""Launcher for Docker on one machine: head, workers and driver as in ``cluster/docker/compose.yaml``."""

import logging
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from sweep import limits
from sweep.errors import SpecError
from sweep.launch.documents import dump, read
from sweep.launch.job import DATA, Job, script
from sweep.launch.plan import Plan, template


def plan(job: Job, *, image: str, env: Sequence[str] = ()) -> Plan:
    """Return the plan of a sweep on Docker: a Compose file beside the results, with ``job.nodes`` workers.

    Parameters
    ----------
    job:
        The job.
    image:
        The image of all containers.
    env:
        Names of environment variables that Compose hands on to the driver. Their values are in no file.

    Raises
    ------
    SpecError
        There are several workers with GPUs: each container would use the same GPUs.
    """
    if job.gpus and job.nodes > 1:
        raise SpecError(f"`nodes` must be 1 with GPUs, since all containers would use the same ones, got {job.nodes}")
    _warn_of_few_cores(job)
    (compose,) = read(template("docker/compose.yaml"))
    compose["name"] = job.name
    del compose["x-node"]  # the alias has been copied into every service
    services = compose["services"]
    for service in services.values():
        service["image"] = image
    worker, driver = services["worker"], services["driver"]
    worker["cpus"] = job.cpus
    worker["command"] += [f"--num-cpus={job.cpus}", f"--num-gpus={job.gpus}"]
    if job.gpus:
        device = {"driver": "nvidia", "count": job.gpus, "capabilities": ["gpu"]}
        worker["deploy"] = {"resources": {"reservations": {"devices": [device]}}}
    driver["command"][-1] = driver["command"][-1].replace("sweep --version\n", _escaped(script(job)))
    driver["environment"].update(dict.fromkeys(env))
    if job.dataset:
        driver["volumes"].append(
            {
                "type": "bind",
                "source": _escaped(str(job.dataset)),
                "target": f"{DATA}/{_escaped(job.dataset.name)}",
                "read_only": True,
            }
        )
    path = Path(f"{job.out}.launch") / "compose.yaml"
    start = ["docker", "compose", "-f", str(path)]
    compose_command, out = shlex.join(start), shlex.quote(job.out)
    return Plan(
        files={path: dump([compose])},
        commands=[[*start, "up", "-d", "--scale", f"worker={job.nodes}"]],
        watch=f"{compose_command} logs -f driver",
        fetch=f"mkdir -p {out} && {compose_command} cp driver:{job.container_directory}/. {out}",
        stop=f"{compose_command} down",
    )


def _warn_of_few_cores(job: Job) -> None:
    """Log a warning if the workers ask for more cores than this machine has, unless Docker runs on another one."""
    wanted, cores = job.nodes * job.cpus, limits.cores()
    if wanted > cores and not (os.environ.get("DOCKER_HOST") or os.environ.get("DOCKER_CONTEXT")):
        logging.getLogger(__name__).warning(
            "--nodes %d with --cpus %d asks for %d cores, of which this machine has %d: Docker may refuse it, and "
            "workers that share cores are slower",
            *(job.nodes, job.cpus, wanted, cores),
        )


def _escaped(text: str) -> str:
    """Escape each ``$`` of a text, which Compose would take for the beginning of a variable."""
    return text.replace("$", "$$")
