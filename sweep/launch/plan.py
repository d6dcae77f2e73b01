"""What a launcher would submit, and how to watch, fetch and stop it."""

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from sweep.errors import SpecError


@dataclass
class Plan:
    """Files to be written, then commands to be run; lines that tell how to go on.

    Parameters
    ----------
    commands:
        Submit the job, in this order.
    stdin:
        Given to every command.
    files:
        Path -> text; written before the commands run, mode 0600.
    watch, fetch, stop:
        Command lines for people.
    secrets:
        What `text` must not show.
    quiet:
        Whether what the commands print is kept for the end; False where they take minutes.
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
        """All that would be written and run."""
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

    def advice(self) -> str:
        """How to watch, fetch and stop it."""
        return f"watch   {self.watch}\nfetch   {self.fetch}\nstop    {self.stop}"

    def submit(self) -> str:
        """Write the files, run the commands; what they printed.

        Raises
        ------
        SpecError
            A file that cannot be written, a program that is not here or that fails.
        """
        for path, content in self.files.items():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch(mode=0o600)
                path.chmod(0o600)
                path.write_text(content)
            except OSError as error:
                raise SpecError(f"{str(path)!r} cannot be written: {error.strerror or error}") from None
        return "\n".join(p for p in (self._run(c) for c in self.commands) if p)

    def _run(self, command: Sequence[str]) -> str:
        try:
            done = subprocess.run(command, input=self.stdin, capture_output=self.quiet, text=True)
        except OSError as error:
            raise SpecError(f"{command[0]!r} cannot be run here: {error.strerror or error}") from None
        if done.returncode:
            reason = " ".join((done.stderr or done.stdout or "it has said why").split())[-500:]
            raise SpecError(f"{command[0]!r} failed with exit code {done.returncode}: {reason}")
        return (done.stdout or "").strip()


def template(name: str) -> Path:
    """A file of the folder ``cluster/``: beside the packages in a source tree, within `sweep` once installed."""
    package = Path(str(files("sweep")))
    for folder in (package / "cluster", package.parent / "cluster"):
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(name)
