"""The job that every launcher is told, and what it runs in a container."""

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.errors import SpecError
from sweep.spec.experiment import Workload
from sweep.spec.parts import CONCURRENCY, Resources

# In the containers of KubeRay, `ray up` and Docker.
RESULTS = "/results"
DATA = "/home/ray/data"


@dataclass(frozen=True)
class Job:
    """What every launcher is told.

    Parameters
    ----------
    name:
        Of the job: lower-case letters, digits and hyphens.
    out:
        The sweep's directory here: SLURM's jobs write it, the other launchers' results are fetched to it.
    arguments:
        Of ``sweep run``, without ``--out`` and ``--address``.
    nodes, cpus, gpus:
        Nodes (without a head of their own), cores and GPUs of each.
    again:
        Of ``sweep resume``, for a job that is started again.
    fixed:
        Those of ``arguments`` that must not change once the sweep has begun.
    dataset:
        A file here that the job needs at `DATA`.
    """

    name: str
    out: str
    arguments: tuple[str, ...]
    nodes: int
    cpus: int
    gpus: int
    again: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    dataset: Path | None = None

    @property
    def place(self) -> str:
        """Return the sweep's directory in a container."""
        return f"{RESULTS}/{self.name}"


def container_options(job: Job, spec: Workload, given: Mapping[str, Any]) -> tuple[dict[str, Any], Path | None]:
    """Return the options of `sweep run` as a container needs them, and the file here that must be brought there.

    ``given`` are the options that the user chose; they stand.

    Raises
    ------
    SpecError
        A trial needs more than a node has, or data that the container cannot have.
    """
    share, trials = _trials_that_fit(spec, job)
    options = {"concurrency": trials, "data_dir": f"{RESULTS}/data", **given}
    if job.gpus:
        options.setdefault("gpus_per_trial", share)
    if ".py:" in spec.dataset:
        raise SpecError(
            f"`dataset` must be a data set or an .npz file, which a container can have, got {spec.dataset!r}"
        )
    if spec.dataset.endswith(".npz"):
        if spec.dataset.startswith(f"{RESULTS}/"):
            return options, None
        brought = Path(spec.dataset).absolute()
        if not brought.is_file():
            raise SpecError(f"`dataset` must be a file here, or below {RESULTS} there, got {spec.dataset!r}")
        return {**options, "dataset": f"{DATA}/{brought.name}"}, brought
    if spec.dataset not in ("digits", "noise") and not spec.download and options["data_dir"] == f"{RESULTS}/data":
        raise SpecError(
            f"`download` must be given with data set {spec.dataset!r}: the job has no files of this machine"
        )
    return options, None


def _trials_that_fit(spec: Resources, job: Job) -> tuple[float, int]:
    """Return the share of a GPU that a trial gets, and the trials at once, on nodes that need not be there yet."""
    from sweep.execution.capacity import share_of_gpu  # loads numpy

    fit = math.floor(job.cpus / spec.cpus_per_trial + 1e-9)
    if fit < 1:
        least = math.ceil(spec.cpus_per_trial)
        raise SpecError(f"`cpus` must be at least {least}, what a trial takes, got {job.cpus}")
    share = spec.gpus_per_trial
    if share is None:
        share = share_of_gpu(job.gpus, fit)
    if share > job.gpus:
        raise SpecError(f"`gpus` must be at least {math.ceil(share)}, what a trial takes, got {job.gpus}")
    if share:
        fit = min(fit, math.floor(job.gpus / share + 1e-9))
    return share, min(job.nodes * fit, int(CONCURRENCY.high))


def script(job: Job) -> str:
    """Return what the driver of a container runs: the sweep, or the rest of it where it was begun before."""
    return f"""\
export RAY_AUTH_MODE=token
cd {RESULTS} || exit
asked={shlex.quote(shlex.join(job.fixed))}
if [ -e {job.place}/spec.json ]; then
    begun=$(cat {job.place}.job)
    if [ "$begun" != "$asked" ]; then
        printf '%s was begun with other options, %s: give this one another --name\\n' {job.place} "$begun" >&2
        exit 2
    fi
    exec sweep resume {job.place} --address auto {shlex.join(job.again)}
fi
printf '%s\\n' "$asked" > {job.place}.job || exit
exec sweep run --out {job.place} --address auto {shlex.join(job.arguments)}
"""
