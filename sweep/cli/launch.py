"""The command line of `sweep launch`: parse, call, translate errors."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any, TypeVar

import click

from sweep.cli.numbers import Number, Numbers
from sweep.cli.running import run_command
from sweep.cli.shared import usage_error
from sweep.errors import SpecError
from sweep.launch.job import Job, container_options
from sweep.launch.plan import Plan
from sweep.spec.kinds import Range
from sweep.spec.options import changeable
from sweep.spec.spec import SweepSpec

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
        job = parse_job(arguments, name, nodes, cpus, gpus, in_container)
        planned: Plan = import_module(f"sweep.launch.{launcher}").plan(job, **options)
        if dry_run:
            click.echo(planned.text())
            return
        if printed := planned.submit():
            click.echo(printed)
        click.echo(planned.advice())
    except SpecError as error:
        raise usage_error(error) from None


def parse_job(arguments: Sequence[str], name: str, nodes: int, cpus: int, gpus: int, in_container: bool = True) -> Job:
    """Return the job, with the sweep's options as `sweep run` would read them.

    Raises
    ------
    SpecError
        What `sweep run` would refuse, or what a job cannot have.
    """
    if not _NAME.fullmatch(name):
        raise SpecError(f"`name` must be 1 to 40 lower-case letters, digits and hyphens, got {name[:60]!r}")
    root = click.get_current_context().find_root()
    given = run_command.make_context("sweep run", list(arguments), parent=root)
    spec = SweepSpec(**{k: v for k, v in given.params.items() if k in SweepSpec.__dataclass_fields__})
    if spec.address is not None:
        raise SpecError(f"`address` must be left out, the job sets it; got {spec.address!r}")
    if "@" in (spec.storage or "").partition("://")[2].partition("/")[0]:
        raise SpecError("`storage` must hold no keys, which the job's files would show; see cluster/README.md")
    values = {k: v for k, v in given.params.items() if _is_given(given, k) and k not in _OURS}
    job = Job(name, given.params["out"] or f"runs/{name}", (), nodes, cpus, gpus)
    if in_container:
        values, dataset = container_options(job, spec, values)
        job = replace(job, dataset=dataset)
    at_will = {"quiet", "as_json", *changeable(SweepSpec)}
    return replace(
        job,
        arguments=_words(values, values),
        resume_arguments=_words(values, at_will),
        fixed_arguments=_words(values, set(values) - at_will),
    )


def _is_given(context: click.Context, name: str) -> bool:
    """Whether the command line, a configuration file or a preset says it; ``auto`` is as good as nothing."""
    default = click.core.ParameterSource.DEFAULT
    return context.get_parameter_source(name) != default and context.params[name] is not None


def _words(values: Mapping[str, Any], names: Collection[str]) -> tuple[str, ...]:
    """Return the values of these options as they stand on the command line of `sweep run`."""
    words: list[str] = []
    for option in run_command.params:
        if (name := str(option.name)) not in names or name not in values:
            continue
        value = values[name]
        if isinstance(value, bool):
            words += [option.opts[0]] if value else option.secondary_opts[:1]
        elif isinstance(option.type, Numbers):
            words += [option.opts[0], ",".join(map(str, value))]
        elif option.multiple:
            words += [word for v in value for word in (option.opts[0], str(v))]
        elif isinstance(value, tuple):
            words += [option.opts[0], *map(str, value)]
        else:
            words += [option.opts[0], str(value)]
    return tuple(words)
