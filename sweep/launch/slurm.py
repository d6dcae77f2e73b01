"""A sweep as a SLURM job: one `sbatch` of ``cluster/slurm/sweep.sbatch``."""

import re
from shlex import quote

from sweep.errors import SpecError
from sweep.launch.job import Job
from sweep.launch.plan import Plan, template

_TIME = re.compile(
    r"(?P<d>N)-(?P<dh>N)(:(?P<dm>N)(:N)?)?|((?P<h>N):(?=N:))?(?P<m>N)(:N)?".replace("N", "[0-9]{1,6}"),
)
_SHORTEST = 5  # minutes: the job stops two to three before its end, to be requeued


def plan(job: Job, *, time: str, partition: str | None, account: str | None) -> Plan:
    """What submits the job; ``time`` is the limit of each of its runs, between which it requeues itself.

    Raises
    ------
    SpecError
        A time that SLURM would not take, or that is too short to get anywhere.
    """
    if (minutes := _minutes(time)) is None or minutes < _SHORTEST:
        raise SpecError(
            f"`time` must be at least {_SHORTEST} minutes, as minutes, hours:minutes:seconds, days-hours or "
            f"days-hours:minutes, got {time!r}"
        )
    wanted = {
        "job-name": job.name,
        "nodes": job.nodes,
        "cpus-per-task": job.cpus,
        "gpus-per-node": job.gpus or None,
        "time": time,
        "partition": partition,
        "account": account,
    }
    options = [f"--{name}={value}" for name, value in wanted.items() if value is not None]
    out = quote(job.out)
    return Plan(
        commands=[["sbatch", *options, str(template("slurm/sweep.sbatch")), job.out, *job.arguments]],
        watch=f"squeue --me --name={job.name}; sweep status {out} --json; tail -F {job.name}-*.log",
        fetch=f"{out} is a URI, readable from everywhere: sweep results {out}"
        if "://" in job.out
        else f"nothing to do where {out} is on a shared file system; from elsewhere: scp -r LOGIN_NODE:{out} .",
        stop="scancel JOB, the number that sbatch printed; go on later: the same without options of sweep run",
    )


def _minutes(time: str) -> int | None:
    """Of a SLURM time, without its seconds."""
    if not (found := _TIME.fullmatch(time)):
        return None
    part = {k: int(v or 0) for k, v in found.groupdict().items()}
    return 1440 * part["d"] + 60 * (part["dh"] + part["h"]) + part["dm"] + part["m"]
