"""What a launcher would submit, and how to watch, fetch and stop it."""

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..spec import SpecError

__all__ = ["Job", "Plan", "template"]


@dataclass(frozen=True)
class Job:
    """What every launcher is told.

    Parameters
    ----------
    name:
        Of the job: lower-case letters, digits and hyphens.
    out:
        The sweep's directory or URI, as the machine sees it on which the driver runs.
    arguments:
        Of ``sweep run``, without ``--out`` and ``--address``.
    nodes, cpus, gpus:
        Nodes (without a head of their own), cores and GPUs of each.
    """

    name: str
    out: str
    arguments: tuple[str, ...]
    nodes: int
    cpus: int
    gpus: int


@dataclass
class Plan:
    """Files to be written, then commands to be run; lines that tell how to go on.

    Parameters
    ----------
    commands:
        Submit the job, in this order.
    stdin:
        Given to the last command.
    files:
        Path -> text; written before the commands run, mode 0600.
    watch, fetch, stop:
        Command lines for people.
    """

    commands: list[list[str]]
    watch: str
    fetch: str
    stop: str
    stdin: str | None = None
    files: dict[Path, str] = field(default_factory=dict)

    def text(self) -> str:
        """All that would be written and run."""
        lines = []
        for path, content in self.files.items():
            lines += [f"# {path}", content.rstrip(), ""]
        if self.stdin is not None:
            lines += ["# standard input of the last command", self.stdin.rstrip(), ""]
        lines += [f"$ {shlex.join(c)}" for c in self.commands]
        return "\n".join(lines)

    def advice(self) -> str:
        """How to watch, fetch and stop it."""
        return f"watch   {self.watch}\nfetch   {self.fetch}\nstop    {self.stop}"

    def submit(self) -> str:
        """Write the files, run the commands; what they printed.

        Raises
        ------
        SpecError
            A program that is not here, or that fails.
        """
        for path, content in self.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(content)
        printed = []
        for i, command in enumerate(self.commands):
            stdin = self.stdin if i == len(self.commands) - 1 else None
            printed.append(_run(command, stdin))
        return "\n".join(p for p in printed if p)


def _run(command: Sequence[str], stdin: str | None) -> str:
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True)
    except OSError as error:
        raise SpecError(f"{command[0]!r} cannot be run here: {error.strerror or error}") from None
    if done.returncode:
        reason = " ".join((done.stderr or done.stdout).split())[-500:]
        raise SpecError(f"{command[0]!r} failed with exit code {done.returncode}: {reason}")
    return done.stdout.strip()


def template(name: str) -> Path:
    """A file of the folder ``cluster/``: beside the packages in a source tree, within `sweep` once installed."""
    package = Path(__file__).parents[1]
    for folder in (package / "cluster", package.parent / "cluster"):
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(name)
