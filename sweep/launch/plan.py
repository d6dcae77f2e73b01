"""The plan of a launcher: what is submitted, and how to watch, fetch and stop it."""

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from sweep.errors import SpecError


@dataclass
class Plan:
    """The files and commands that submit a job, and the command lines for afterwards.

    Parameters
    ----------
    commands:
        The commands that submit the job, in this order.
    stdin:
        The standard input of each command.
    files:
        The text of each file by its path; they are written before the commands run, with mode 0600.
    watch, fetch, stop:
        Command lines for the user, who watches the job, fetches its results and stops it with them.
    secrets:
        Texts that `text` must not show.
    quiet:
        Whether the output of the commands is returned at the end, not printed at once; False if they take minutes.
    """

    commands: list[list[str]]
    watch: str
    fetch: str
    stop: str
    stdin: str | None = None
    files: dict[Path, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    quiet: bool = True

    def text(self) -> str:
        """Return the files and commands as one text, without secrets."""
        lines = []
        for path, content in self.files.items():
            lines += [f"# {path}", content.rstrip(), ""]
        if self.stdin is not None:
            lines += ["# standard input", self.stdin.rstrip(), ""]
        lines += [f"$ {shlex.join(c)}" for c in self.commands]
        text = "\n".join(lines)
        for secret in self.secrets:
            text = text.replace(secret, "(made anew when submitted)")
        return text

    def write_input(self, path: Path) -> str:
        """Write the standard input of the commands to a file, and return the lines that submit it.

        Raises
        ------
        SpecError
            The file cannot be written.
        """
        _write_private(path, self.stdin or "")
        return "\n".join(shlex.join(str(path) if word == "-" else word for word in c) for c in self.commands)

    def advice(self) -> str:
        """Return three lines that say how to watch, fetch and stop the job."""
        return f"watch   {self.watch}\nfetch   {self.fetch}\nstop    {self.stop}"

    def submit(self) -> str:
        """Write the files, run the commands and return what they printed.

        Raises
        ------
        SpecError
            A file cannot be written, or a program is not installed or fails.
        """
        for path, content in self.files.items():
            _write_private(path, content)
        return "\n".join(p for p in (self._run(c) for c in self.commands) if p)

    def _run(self, command: Sequence[str]) -> str:
        try:
            completed = subprocess.run(command, input=self.stdin, capture_output=self.quiet, text=True)
        except OSError as error:
            raise SpecError(f"{command[0]!r} cannot be run here: {error.strerror or error}") from None
        if completed.returncode:
            reason = " ".join((completed.stderr or completed.stdout or "see its output above").split())[-500:]
            raise SpecError(f"{command[0]!r} failed with exit code {completed.returncode}: {reason}")
        return (completed.stdout or "").strip()


def _write_private(path: Path, content: str) -> None:
    """Write a file that only its owner may read; raises a `SpecError` if that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(content)
    except OSError as error:
        raise SpecError(f"{str(path)!r} cannot be written: {error.strerror or error}") from None


def template(name: str) -> Path:
    """Return the path of a file or folder in ``cluster/``.

    That folder is beside the packages in a source tree, and within the package `sweep` once it is installed.
    """
    package = Path(str(files("sweep")))
    for folder in (package / "cluster", package.parent / "cluster"):
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(name)
