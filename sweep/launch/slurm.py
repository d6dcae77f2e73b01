"""Launcher for SLURM: one `sbatch` of ``cluster/slurm/sweep.sbatch``."""

import re
from collections.abc import Collection, Sequence
from shlex import quote

from sweep.errors import SpecError
from sweep.launch.job import Job
from sweep.launch.plan import Plan, template

_TIME = re.compile(
    r"(?P<d>N)-(?P<dh>N)(:(?P<dm>N)(:N)?)?|((?P<h>N):(?=N:))?(?P<m>N)(:N)?".replace("N", "[0-9]{1,6}"),
)
_OPTION = re.compile(r"--(?P<name>[a-z][-a-z0-9]*)(=.+)?")
_OTHER_JOBS = ("array", "hetjob", "wrap", "ntasks", "ntasks-per-node")
_SETUP = "SWEEP_SETUP"  # variable of the batch script
_MIN_MINUTES = 5  # a job stops two to three minutes before its limit, to be requeued


def plan(
    job: Job,
    *,
    time: str,
    partition: str | None,
    account: str | None,
    sbatch: Sequence[str] = (),
    setup: str | None = None,
) -> Plan:
    """Return the plan of a batch job.

    Parameters
    ----------
    job:
        The job.
    time:
        The time limit of each run of the job, in SLURM's notation. A job that reaches it requeues itself.
    partition, account:
        Where the job runs and who is charged; None: the cluster's default.
    sbatch:
        Further options of sbatch, such as ``--qos=high``.
    setup:
        A line of the shell that runs on every node first, such as ``module load cuda``.

    Raises
    ------
    SpecError
        SLURM would not accept the time, or it is shorter than five minutes; or an option of sbatch is none, or is one
        that a sweep cannot have.
    """
    if (minutes := _minutes(time)) is None or minutes < _MIN_MINUTES:
        raise SpecError(
            f"`time` must be at least {_MIN_MINUTES} minutes, as minutes, hours:minutes:seconds, days-hours or "
            f"days-hours:minutes, got {time!r}"
        )
    values = {
        "job-name": job.name,
        "nodes": job.nodes,
        "cpus-per-task": job.cpus,
        "gpus-per-node": job.gpus or None,
        "time": time,
        "partition": partition,
        "account": account,
    }
    options = [f"--{name}={value}" for name, value in values.items() if value is not None]
    options += [_checked(option, values) for option in sbatch]
    environment = ["env", f"{_SETUP}={setup}"] if setup else []
    out = quote(job.out)
    return Plan(
        commands=[[*environment, "sbatch", *options, str(template("slurm/sweep.sbatch")), job.out, *job.arguments]],
        watch=f"squeue --me --name={job.name}; sweep status {out} --json; tail -F {job.name}-*.log",
        fetch=f"{out} is a URI, readable from everywhere: sweep results {out}"
        if "://" in job.out
        else f"nothing to do where {out} is on a shared file system; from elsewhere: scp -r LOGIN_NODE:{out} .",
        stop="scancel JOB (the number that sbatch printed); to continue later: the same without options of sweep run",
    )


def _checked(option: str, values: Collection[str]) -> str:
    """Return an option of sbatch, unless it is one that the launcher sets, or that makes another kind of job."""
    if not (match := _OPTION.fullmatch(option)):
        raise SpecError(f"`sbatch` must be an option of sbatch, such as --mem=64G or --exclusive, got {option[:120]!r}")
    if (name := match["name"]) in values:
        raise SpecError(f"`sbatch` must not be --{name}, which is set by an option of `sweep launch slurm`")
    if name in _OTHER_JOBS:
        raise SpecError(f"`sbatch` must not be --{name}: a sweep is one job, which shares out its points by itself")
    return option


def _minutes(time: str) -> int | None:
    """Return the minutes of a time in SLURM's notation, without its seconds; None if it is not one."""
    if not (match := _TIME.fullmatch(time)):
        return None
    part = {k: int(v or 0) for k, v in match.groupdict().items()}
    return 1440 * part["d"] + 60 * (part["dh"] + part["h"]) + part["dm"] + part["m"]
