"""The command `sweep launch`, with a sub-command for each launcher."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import click

from sweep.cli.numbers import Number, Numbers
from sweep.cli.running import run_command
from sweep.cli.shared import is_given, usage_error
from sweep.errors import SpecError
from sweep.launch.job import Job, container_options
from sweep.launch.plan import Plan
from sweep.spec.kinds import Range, expanded
from sweep.spec.options import changeable
from sweep.spec.spec import SweepSpec

F = TypeVar("F", bound=Callable[..., Any])
_RANGES = {
    "nodes": Range(1, 10_000),
    "cpus": Range(1, 1024),
    "gpus": Range(0, 64),
    "memory": Range(1, 10_000),
    "storage_size": Range(1, 100_000),
}
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
_SET_BY_JOB = ("out", "address")  # options of `sweep run`
arguments = click.argument("arguments", metavar="-- [OPTIONS OF sweep run]", nargs=-1, type=click.UNPROCESSED)


def _count(name: str, help: str, default: int | None) -> Callable[[F], F]:
    return click.option(
        "--" + name.replace("_", "-"),
        type=Number(_RANGES[name]),
        default=default,
        show_default=default is not None,
        help=f"{help} [{_RANGES[name]}]",
    )


def _several(name: str, metavar: str, help: str) -> Callable[[F], F]:
    return click.option(f"--{name}", metavar=metavar, multiple=True, help=f"{help} Can be given several times.")


def _job_options(command: F) -> F:
    for option in (
        arguments,
        click.option("--dry-run", is_flag=True, help="Print what would be submitted, and submit nothing."),
        _count("gpus", "GPUs of each node.", 0),
        _count("cpus", "Cores of each node.", 4),
        _count("nodes", "Largest number of nodes that run trials.", 1),
        click.option("--name", default="sweep", show_default=True, help="Name of the job, and of its sweep."),
    ):
        command = option(command)
    return command


@click.group()
def launch() -> None:
    """Submit a sweep as a job to a cluster; options of sweep run follow after --.

    A job that is started again continues its sweep.

    \b
    Example: sweep launch slurm --nodes 4 --gpus 2 --time 4:00:00 -- --dataset mnist --out runs/mnist
    """


@launch.command("slurm")
@_job_options
@click.option("--time", default="1:00:00", show_default=True, metavar="D-HH:MM:SS", help="Time limit of the job.")
@click.option("--partition", help="Partition; default: that of the cluster.")
@click.option("--account", help="Account that is charged; default: that of the cluster.")
@_several("sbatch", "OPTION", "Further option of sbatch, such as --sbatch --qos=high.")
@click.option(
    "--setup", metavar="LINE", help="Line of the shell to run on every node first, such as 'module load cuda'."
)
def slurm_command(dry_run: bool, arguments: tuple[str, ...], **options: Any) -> None:
    """Submit a batch job to SLURM; --out must be on a file system that all nodes see.

    \b
    Example: sweep launch slurm --nodes 4 --cpus 16 --gpus 2 --time 4:00:00 -- --points 500 --out runs/first
    """
    _launch("slurm", dry_run, arguments, options, in_container=False)


@launch.command("kuberay")
@_job_options
@click.option("--image", required=True, help="Image built from the Dockerfile, in a registry that the cluster reaches.")
@click.option("--namespace", default="default", show_default=True, help="Namespace of Kubernetes.")
@click.option(
    "--secret",
    metavar="NAME",
    help="Secret with environment variables for driver and workers, such as keys for --storage.",
)
@_several("env", "NAME=VALUE", "Environment variable of driver and workers.")
@click.option("--pull-secret", metavar="NAME", help="Secret with which the image is pulled.")
@click.option("--service-account", metavar="NAME", help="Service account of driver and workers.")
@_several("node-selector", "KEY=VALUE", "Label of the nodes that workers run on.")
@_several("toleration", "KEY[=VALUE][:EFFECT]", "Taint of nodes that workers put up with.")
@click.option("--priority", metavar="NAME", help="Priority class of the pods.")
@click.option("--storage-class", metavar="NAME", help="Storage class of the volume for results.")
@_several("label", "KEY=VALUE", "Label of everything that is created.")
@click.option(
    "--queue", metavar="NAME", help="Queue of Kueue, which starts all nodes at once; there is no autoscaling then."
)
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    help="With --dry-run: write the documents to DIR/manifests.yaml, to be edited and applied.",
)
@_count("memory", "Memory of each node in GiB; default: 2 per core.", None)
@_count("storage_size", "Size of the volume for results in GiB.", 10)
def kuberay_command(
    dry_run: bool, arguments: tuple[str, ...], memory: int | None, output: str | None, **options: Any
) -> None:
    """Submit a RayJob to Kubernetes with kubectl; --out is where results are fetched to.

    \b
    Example: sweep launch kuberay --image registry.example.org/sweep:1 --nodes 8 --gpus 1 -- --points 500
    """
    _launch("kuberay", dry_run, arguments, {**options, "memory": memory or 2 * options["cpus"]}, output=output)


@launch.command("ray")
@_job_options
@click.option("--provider", type=click.Choice(("aws", "gcp")), required=True, help="Cloud provider.")
@click.option("--region", required=True, help="Region, such as us-east-1 (aws) or us-central1 (gcp).")
@click.option("--zone", help="Zone within the region; required for gcp.")
@click.option("--project", help="Project; required for gcp.")
@click.option("--bucket", required=True, help="Bucket for results, unless --storage names another location.")
@click.option("--image", required=True, help="Image built from the Dockerfile, in a registry that the machines reach.")
@click.option(
    "--machine-image",
    required=True,
    help="Image that machines boot, with Docker and, for GPUs, NVIDIA's driver: an AMI (aws) or a sourceImage (gcp).",
)
@click.option("--machine", help="Machine type of the workers; default: one that has these cores and GPUs.")
def ray_command(dry_run: bool, arguments: tuple[str, ...], **options: Any) -> None:
    """Start spot machines in a cloud with `ray up`; --out is where results are fetched to.

    \b
    Example: sweep launch ray --provider aws --region us-east-1 --bucket mine --image registry.example.org/sweep:1
      --machine-image ami-0123456789abcdef0 --nodes 8 --cpus 16 -- --points 500
    """
    _launch("ray_up", dry_run, arguments, options)


@launch.command("docker")
@_job_options
@click.option("--image", default="trainability-sweep", show_default=True, help="Image built from the Dockerfile.")
@click.option(
    "--env",
    metavar="NAME",
    multiple=True,
    help="Environment variable to pass on to the driver, such as a key for --storage; can be given several times.",
)
def docker_command(dry_run: bool, arguments: tuple[str, ...], **options: Any) -> None:
    """Start containers on this machine with Docker Compose; --out is where results are fetched to.

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
    output: str | None = None,
) -> None:
    """Check the sweep, plan the job, and print or submit it, or write what is submitted to a file in ``output``."""
    try:
        if output is not None and not dry_run:
            raise SpecError("`output` must be left out without --dry-run")
        name, nodes, cpus, gpus = (options.pop(k) for k in ("name", "nodes", "cpus", "gpus"))
        job = parse_job(arguments, name, nodes, cpus, gpus, in_container)
        planned: Plan = import_module(f"sweep.launch.{launcher}").plan(job, **options)
        if dry_run:
            path = None if output is None else Path(expanded(output)) / "manifests.yaml"
            click.echo(planned.text() if path is None else planned.write_input(path))
            return
        if printed := planned.submit():
            click.echo(printed)
        click.echo(planned.advice())
    except SpecError as error:
        raise usage_error(error) from None


def parse_job(arguments: Sequence[str], name: str, nodes: int, cpus: int, gpus: int, in_container: bool = True) -> Job:
    """Return the job of a sweep, whose options are read as `sweep run` reads them.

    Raises
    ------
    SpecError
        An option that `sweep run` would refuse, or that a job cannot have.
    """
    if not _NAME.fullmatch(name):
        raise SpecError(f"`name` must be 1 to 40 lower-case letters, digits and hyphens, got {name[:60]!r}")
    root = click.get_current_context().find_root()
    given = run_command.make_context("sweep run", list(arguments), parent=root)
    spec = SweepSpec(**{k: v for k, v in given.params.items() if k in SweepSpec.__dataclass_fields__})
    if spec.address is not None:
        raise SpecError(f"`address` must be left out, the job sets it; got {spec.address!r}")
    if is_given(given, "sequence"):  # a job's command has no words for it
        raise SpecError("`sequence` must be left out in a job")
    if "@" in (spec.storage or "").partition("://")[2].partition("/")[0]:
        raise SpecError("`storage` must hold no keys, which the job's files would show; see cluster/README.md")
    values = {k: v for k, v in given.params.items() if is_given(given, k) and k not in _SET_BY_JOB}
    job = Job(name, given.params["out"] or f"runs/{name}", (), nodes, cpus, gpus)
    if in_container:
        values, dataset = container_options(job, spec, values)
        job = replace(job, dataset=dataset)
    changeable_options = {"quiet", "as_json", *changeable(SweepSpec)}
    return replace(
        job,
        arguments=_words(values, values),
        resume_arguments=_words(values, changeable_options),
        fixed_arguments=_words(values, set(values) - changeable_options),
    )


def _words(values: Mapping[str, Any], names: Collection[str]) -> tuple[str, ...]:
    """Return the words that give these options of `sweep run` on a command line."""
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
