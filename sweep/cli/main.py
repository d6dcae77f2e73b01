"""The command `sweep`, which groups all others."""

from typing import Any

import click

from sweep.cli.advise import advise_command
from sweep.cli.launch import launch
from sweep.cli.machine import bench_command, doctor_command
from sweep.cli.reading import (
    compare_command,
    diff_command,
    merge_command,
    plot_command,
    report_command,
    results_command,
    status_command,
)
from sweep.cli.running import probe_command, resume_command, run_command
from sweep.cli.streams import safe_streams
from sweep.cli.theory import theory_command
from sweep.version import __version__


class _Commands(click.Group):
    """A group of commands that cannot be stopped by the state of the standard streams."""

    def main(self, *args: Any, **more: Any) -> Any:
        """Run a command."""
        with safe_streams():
            return super().main(*args, **more)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="sweep")
def main() -> None:
    """Map where random deep networks can be trained, on one machine or many.

    \b
    Example: sweep run --dataset digits --points 64
    """


for _command in (
    *(run_command, resume_command, launch, status_command, results_command, plot_command, merge_command, diff_command),
    *(report_command, compare_command, probe_command, advise_command, doctor_command, bench_command, theory_command),
):
    main.add_command(_command)
