"""The command line of `sweep launch`: parse, call, translate errors."""

import math
import re
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import click

from sweep.cli.numbers import Number, Numbers
from sweep.cli.running import run_command
from sweep.cli.shared import usage_error
from sweep.errors import SpecError
from sweep.execution.capacity import share_of_gpu
from sweep.launch.plan import DATA, RESULTS, Job, Plan
from sweep.spec.options import CHANGEABLE, RANGES
from sweep.spec.ranges import Range
from sweep.spec.spec import SweepSpec

__all__ = ["launch"]

F = TypeVar("F", bound=Callable[..., Any])
_COUNT = {
    "nodes": Range(1, 10_000),
    "cpus": Range(1, 1024),
    "gpus": Range(0, 64),
    "memory": Range(1, 10_000),
    "storage_size": Range(1, 100_000),
}
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
_OURS = ("out", "address")  # of the options of `sweep run`, those that the job sets
arguments = click.argument("arguments", metavar="-- [OPTIONS OF sweep run]", nargs=-1, type=click.UNPROCESSED)


def _count(name: str, help: str, default: int | None) -> Callable[[F], F]:
    return click.option(
        "--" + name.replace("_", "-"),
        type=Number(_COUNT[name]),
        default=default,
        show_default=default is not None,
        help=f"{help} [{_COUNT[name]}]",
    )


def _job_options(command: F) -> F:
    for option in (
        arguments,
        click.option("--dry-run", is_flag=True, help="Print what would be submitted, and submit nothing."),
        _count("gpus", "GPUs of a node.", 0),
        _count("cpus", "Cores of a node.", 4),
        _count("nodes", "Nodes that run trials, at most.", 1),
        click.option("--name", default="sweep", show_default=True, help="Of the job, and of the sweep where it runs."),
    ):
        command = option(command)
    return command


@click.group()
def launch() -> None:
    """Launch a sweep as a job of a cluster; what stands after -- are options of sweep run.

    A job that is started again goes on with its sweep.

    \b
    Example: sweep launch slurm --nodes 4 --gpus 2 --time 4:00:00 -- --dataset mnist --out runs/mnist
    """


@launch.command("slurm")
@_job_options
@click.option("--time", default="1:00:00", show_default=True, metavar="D-HH:MM:SS", help="Limit of the job.")
@click.option("--partition", help="Default: the cluster's.")
@click.option("--account", help="Who is charged; default: the cluster's choice.")
def slurm_command(dry_run: bool, arguments: tuple[str, ...], **options: Any) -> None:
    """A batch job; --out must be on a file system that all nodes see.

    \b
    Example: sweep launch slurm --nodes 4 --cpus 16 --gpus 2 --time 4:00:00 -- --points 500 --out runs/first
    """
    _launch("slurm", dry_run, arguments, options, in_container=False)


@launch.command("kuberay")
@_job_options
@click.option("--image", required=True, help="Of the Dockerfile, in a registry that the cluster reaches.")
@click.option("--namespace", default="default", show_default=True, help="Of Kubernetes.")
@click.option(
    "--secret", metavar="NAME", help="A Secret of environment variables for the driver, such as keys for --storage."
)
@_count("memory", "GiB of a node; default: 2 a core.", None)
@_count("storage_size", "GiB of the volume for results.", 10)
def kuberay_command(dry_run: bool, arguments: tuple[str, ...], memory: int | None, **options: Any) -> None:
    """A RayJob of Kubernetes, by kubectl; --out is where its results are fetched to.

    \b
    Example: sweep launch kuberay --image registry.example.org/sweep:1 --nodes 8 --gpus 1 -- --points 500
    """
    _launch("kuberay", dry_run, arguments, {**options, "memory": memory or 2 * options["cpus"]})


@launch.command("ray")
@_job_options
@click.option("--provider", type=click.Choice(("aws", "gcp")), required=True, help="Of the machines.")
@click.option("--region", required=True, help="Such as us-east-1 (aws), us-central1 (gcp).")
@click.option("--zone", help="Within the region; must be given for gcp.")
@click.option("--project", help="Of gcp.")
@click.option("--bucket", required=True, help="Name of the bucket for results, unless --storage names another place.")
@click.option("--image", required=True, help="Of the Dockerfile, in a registry that the machines reach.")
@click.option(
    "--machine-image",
    required=True,
    help="What the machines boot, with Docker and, for GPUs, NVIDIA's driver: an AMI of aws, a sourceImage of gcp.",
)
@click.option("--machine", help="Type of the workers' machines; default: one with these cores and GPUs, if there is.")
def ray_command(dry_run: bool, arguments: tuple[str, ...], **options: Any) -> None:
    """Spot machines of a cloud, by `ray up`; --out is where results are fetched to.

    \b
    Example: sweep launch ray --provider aws --region us-east-1 --bucket mine --image registry.example.org/sweep:1
      --machine-image ami-0123456789abcdef0 --nodes 8 --cpus 16 -- --points 500
    """
    _launch("ray_up", dry_run, arguments, options)


@launch.command("docker")
@_job_options
@click.option("--image", default="trainability-sweep", show_default=True, help="Of the Dockerfile.")
@click.option(
    "--env",
    metavar="NAME",
    multiple=True,
    help="A variable of this environment for the driver, such as a key for --storage.",
)
def docker_command(dry_run: bool, arguments: tuple[str, ...], **options: Any) -> None:
    """Containers on this machine, by Docker Compose; --out is where results are fetched to.

    \b
    Example: sweep launch docker --nodes 2 --cpus 4 -- --points 64 --out runs/first
    """
    _launch("docker", dry_run, arguments, options)


def _launch(
    launcher: str,
    dry_run: bool,
    arguments: tuple[str, ...],
    options: dict[str, Any],
    in_container: bool = True,
) -> None:
    """Check the sweep, plan the job, print or submit it."""
    try:
        name, nodes, cpus, gpus = (options.pop(k) for k in ("name", "nodes", "cpus", "gpus"))
        job = _job(arguments, name, nodes, cpus, gpus, in_container)
        planned: Plan = import_module(f".launchers.{launcher}", __package__).plan(job, **options)
        if dry_run:
            click.echo(planned.text())
            return
        if printed := planned.submit():
            click.echo(printed)
        click.echo(planned.advice())
    except SpecError as error:
        raise usage_error(error) from None


def _job(arguments: tuple[str, ...], name: str, nodes: int, cpus: int, gpus: int, in_container: bool) -> Job:
    """The job, with the sweep's options as `sweep run` would read them.

    Raises
    ------
    SpecError
        What `sweep run` would refuse, or what a job cannot have.
    """
    if not _NAME.fullmatch(name):
        raise SpecError(f"`name` must be 1 to 40 lower-case letters, digits and hyphens, got {name[:60]!r}")
    here = click.get_current_context()
    given = run_command.make_context("sweep run", list(arguments), parent=here.find_root())
    fields = {k: v for k, v in given.params.items() if k in SweepSpec.__dataclass_fields__}
    spec = SweepSpec(**fields)
    if spec.address is not None:
        raise SpecError(f"`address` must be left out, the job sets it; got {spec.address!r}")
    if "@" in (spec.storage or "").partition("://")[2].partition("/")[0]:
        raise SpecError("`storage` must hold no keys, which the job's files would show; see cluster/README.md")
    values = {k: v for k, v in given.params.items() if _is_given(given, k) and k not in _OURS}
    job = Job(name, given.params["out"] or f"runs/{name}", (), nodes, cpus, gpus)
    if in_container:
        share, trials = _fitting(spec, nodes, cpus, gpus)
        values = {"concurrency": trials, **({"gpus_per_trial": share} if gpus else {}), **values}
        job = replace(job, dataset=_moved(spec, values))
    words, at_will = partial(_words, run_command, values), {"quiet", "as_json", *CHANGEABLE}
    return replace(job, arguments=words(values), again=words(at_will), fixed=words(set(values) - at_will))


def _is_given(context: click.Context, name: str) -> bool:
    """By the command line, a configuration file or a preset; ``auto`` is as good as nothing."""
    default = click.core.ParameterSource.DEFAULT
    return context.get_parameter_source(name) != default and context.params[name] is not None


def _fitting(spec: SweepSpec, nodes: int, cpus: int, gpus: int) -> tuple[float, int]:
    """Share of a GPU that a trial gets, and trials at once, on nodes that need not be there yet."""
    fit = math.floor(cpus / spec.cpus_per_trial + 1e-9)
    if fit < 1:
        raise SpecError(f"`cpus` must be at least {math.ceil(spec.cpus_per_trial)}, what a trial takes, got {cpus}")
    share = spec.gpus_per_trial
    if share is None:
        share = share_of_gpu(gpus, fit)
    if share > gpus:
        raise SpecError(f"`gpus` must be at least {math.ceil(share)}, what a trial takes, got {gpus}")
    if share:
        fit = min(fit, math.floor(gpus / share + 1e-9))
    return share, min(nodes * fit, int(RANGES["concurrency"].high))


def _moved(spec: SweepSpec, values: dict[str, Any]) -> Path | None:
    """Let the data be where a container has them; the file here that must be brought there, if there is one."""
    values.setdefault("data_dir", f"{RESULTS}/data")
    brought = Path(spec.dataset).absolute() if spec.dataset.endswith(".npz") else None
    if brought and spec.dataset.startswith(f"{RESULTS}/"):
        return None
    if brought:
        if not brought.is_file():
            raise SpecError(f"`dataset` must be a file here, or below {RESULTS} there, got {spec.dataset!r}")
        values["dataset"] = f"{DATA}/{brought.name}"
    elif spec.dataset not in ("digits", "noise") and not spec.download and values["data_dir"] == f"{RESULTS}/data":
        raise SpecError(
            f"`download` must be given with data set {spec.dataset!r}: the job has no files of this machine"
        )
    return brought


def _words(command: click.Command, values: dict[str, Any], names: Collection[str]) -> tuple[str, ...]:
    """Values as they stand on the command line."""
    words: list[str] = []
    for option in command.params:
        name, value = str(option.name), values.get(str(option.name))
        if name not in names or name not in values:
            continue
        if isinstance(value, bool):
            words += [option.opts[0]] if value else option.secondary_opts[:1]
        elif isinstance(value, tuple):
            words += [
                option.opts[0],
                *([",".join(map(str, value))] if isinstance(option.type, Numbers) else map(str, value)),
            ]
        else:
            words += [option.opts[0], str(value)]
    return tuple(words)
