"""The command line of `sweep launch`: parse, call, translate errors."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from .options import Number
from .spec import Range

__all__ = ["launch"]

F = TypeVar("F", bound=Callable[..., Any])
_COUNT = {"nodes": Range(1, 10_000), "cpus": Range(1, 1024), "gpus": Range(0, 64)}
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")

arguments = click.argument("arguments", metavar="-- [OPTIONS OF sweep run]", nargs=-1, type=click.UNPROCESSED)


def _count(name: str, help: str, default: int) -> Callable[[F], F]:
    text = f"{help} [{_COUNT[name]}]"
    return click.option(f"--{name}", type=Number(_COUNT[name]), default=default, show_default=True, help=text)


def _job_options(command: F) -> F:
    for option in (
        click.option("--dry-run", is_flag=True, help="Print what would be submitted, and submit nothing."),
        _count("gpus", "GPUs of a node.", 0),
        _count("cpus", "Cores of a node.", 4),
        _count("nodes", "Nodes that run trials, at most.", 1),
        click.option("--name", default="sweep", show_default=True, help="Of the job."),
    ):
        command = option(command)
    return command


@click.group()
def launch() -> None:
    """Launch a sweep as a job of a cluster; what stands after -- are options of sweep run.

    \b
    Example: sweep launch slurm --nodes 4 --gpus 2 --time 4:00:00 -- --dataset mnist --out runs/mnist
    """
