"""A sweep on one machine's Docker: head, workers and driver, from ``cluster/docker/compose.yaml``."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from sweep.errors import SpecError
from sweep.launch.documents import dump, read
from sweep.launch.job import DATA, Job, script
from sweep.launch.plan import Plan, template


def plan(job: Job, *, image: str, env: Sequence[str] = ()) -> Plan:
    """The Compose file of ``job.nodes`` workers, written beside the results.

    ``env``: names of variables that Compose takes from its own environment for the driver, so that no file holds them.

    Raises
    ------
    SpecError
        Several workers with GPUs: each container would see the same ones.
    """
    if job.gpus and job.nodes > 1:
        raise SpecError(f"`nodes` must be 1 with GPUs, which one container has all of, got {job.nodes}")
    (compose,) = read(template("docker/compose.yaml"))
    compose["name"] = job.name
    del compose["x-node"]  # is in every service
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
    run, out = shlex.join(start), shlex.quote(job.out)
    return Plan(
        files={path: dump([compose])},
        commands=[[*start, "up", "-d", "--scale", f"worker={job.nodes}"]],
        watch=f"{run} logs -f driver",
        fetch=f"mkdir -p {out} && {run} cp driver:{job.place}/. {out}",
        stop=f"{run} down",
    )


def _escaped(text: str) -> str:
    """Compose reads ``$`` as the beginning of a variable."""
    return text.replace("$", "$$")
