"""The job that is given to a launcher, and the script that it runs in a container."""

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.errors import SpecError
from sweep.spec.experiment import Workload
from sweep.spec.parts import Resources
from sweep.spec.ranges import CONCURRENCY

# Folders in the containers of KubeRay, `ray up` and Docker.
RESULTS = "/results"
DATA = "/home/ray/data"


@dataclass(frozen=True)
class Job:
    """The description of a job that is given to every launcher.

    Parameters
    ----------
    name:
        The job's name: lower-case letters, digits and hyphens.
    out:
        The sweep's directory on this machine. SLURM's jobs write to it; the results of other jobs are fetched to it.
    arguments:
        The options of ``sweep run``, without ``--out`` and ``--address``.
    nodes, cpus, gpus:
        The number of nodes that run trials, and the cores and GPUs of each node.
    resume_arguments:
        The options of ``sweep resume``, for a job that is started again.
    fixed_arguments:
        Those of ``arguments`` that must not change once the sweep has started.
    dataset:
        A file on this machine that the job needs in the folder `DATA`; None: it needs none.
    """

    name: str
    out: str
    arguments: tuple[str, ...]
    nodes: int
    cpus: int
    gpus: int
    resume_arguments: tuple[str, ...] = ()
    fixed_arguments: tuple[str, ...] = ()
    dataset: Path | None = None

    @property
    def container_directory(self) -> str:
        """The sweep's directory in a container."""
        return f"{RESULTS}/{self.name}"


def container_options(job: Job, spec: Workload, given: Mapping[str, Any]) -> tuple[dict[str, Any], Path | None]:
    """Return the options of `sweep run` in a container, and the file on this machine that it needs there.

    Parameters
    ----------
    job:
        The job, for its nodes.
    spec:
        The sweep's specification.
    given:
        The options that the user chose; they are kept, except for the path of a file that is copied.

    Raises
    ------
    SpecError
        A trial needs more than a node has, or the sweep needs data that is not available in a container.
    """
    share, trials = _trials_that_fit(spec, job)
    options = {"concurrency": trials, "data_dir": f"{RESULTS}/data", **given}
    if job.gpus:
        options.setdefault("gpus_per_trial", share)
    if spec.network is not None:
        raise SpecError(
            f"`network` must be left out for this launcher, which does not bring your code: {spec.network!r}"
        )
    if ".py:" in spec.dataset:
        raise SpecError(
            f"`dataset` must be the name of a data set or an .npz file for this launcher, got {spec.dataset!r}"
        )
    if spec.dataset.endswith(".npz"):
        if spec.dataset.startswith(f"{RESULTS}/"):
            return options, None
        file = Path(spec.dataset).absolute()
        if not file.is_file():
            raise SpecError(f"`dataset` must be a file here, or below {RESULTS} in the container, got {spec.dataset!r}")
        return {**options, "dataset": f"{DATA}/{file.name}"}, file
    if spec.dataset not in ("digits", "noise") and not spec.download and options["data_dir"] == f"{RESULTS}/data":
        raise SpecError(
            f"`download` must be given with data set {spec.dataset!r}: the job cannot read files of this machine"
        )
    return options, None


def _trials_that_fit(spec: Resources, job: Job) -> tuple[float, int]:
    """Return the share of a GPU for each trial, and the number of trials that run at once on all nodes together."""
    from sweep.execution.capacity import share_of_gpu  # loads numpy

    fit = math.floor(job.cpus / spec.cpus_per_trial + 1e-9)
    if fit < 1:
        needed = math.ceil(spec.cpus_per_trial)
        raise SpecError(f"`cpus` must be at least {needed}, which a trial takes, got {job.cpus}")
    share = spec.gpus_per_trial
    if share is None:
        share = share_of_gpu(job.gpus, fit)
    if share > job.gpus:
        raise SpecError(f"`gpus` must be at least {math.ceil(share)}, which a trial takes, got {job.gpus}")
    if share:
        fit = min(fit, math.floor(job.gpus / share + 1e-9))
    return share, min(job.nodes * fit, int(CONCURRENCY.high))


def script(job: Job) -> str:
    """Return the shell script that the driver in a container runs: it starts the sweep, or resumes it if it exists.

    A sweep that was started with other fixed options is refused, with exit code 2.
    """
    return f"""\
export RAY_AUTH_MODE=token
cd {RESULTS} || exit
options={shlex.quote(shlex.join(job.fixed_arguments))}
if [ -e {job.container_directory}/spec.json ]; then
    previous=$(cat {job.container_directory}.job)
    if [ "$previous" != "$options" ]; then
        printf '%s has other options, %s: choose another --name\\n' {job.container_directory} "$previous" >&2
        exit 2
    fi
    exec sweep resume {job.container_directory} --address auto {shlex.join(job.resume_arguments)}
fi
printf '%s\\n' "$options" > {job.container_directory}.job || exit
exec sweep run --out {job.container_directory} --address auto {shlex.join(job.arguments)}
"""
