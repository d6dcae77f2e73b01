"""The commands about this machine: `sweep bench` and `sweep doctor`."""

import sys
from collections.abc import Sequence
from typing import Any

import click

from sweep.cli.numbers import Number
from sweep.cli.options import spec_options
from sweep.cli.shared import bad_input_is_usage, json_option
from sweep.doctor.answers import FAULT, OK, WARNING, Check
from sweep.spec.kinds import Address, expanded
from sweep.spec.options import BENCHMARKS
from sweep.spec.ranges import RESIZE
from sweep.spec.spec import SweepSpec
from sweep.text import printable

_SIGNS = {OK: ("✓", "green"), WARNING: ("!", "yellow"), FAULT: ("✗", "red")}


@click.command("bench")
@click.option(
    "--only",
    type=click.Choice(BENCHMARKS),
    multiple=True,
    help="Run this section alone; can be given several times.",
)
@click.option("--orchestration", is_flag=True, help="Run --only orchestration.")
@click.option(
    "--dataset", default="noise", show_default=True, metavar="NAME|FILE.npz", help="Data set, as for sweep run."
)
@spec_options(["data_dir", "download", "layout"])
@click.option(
    "--resize", type=Number(RESIZE), default=28, show_default=True, help="Pool or enlarge images to N x N pixels."
)
@json_option
@bad_input_is_usage
def bench_command(only: tuple[str, ...], orchestration: bool, as_json: bool, **fields: Any) -> None:
    """Measure how fast this machine is, beside the project's targets (takes minutes).

    \b
    Example: sweep bench --only cascade
    """
    from sweep.bench import bench
    from sweep.measuring.settings import sweep_images

    images = sweep_images(SweepSpec(points=1, **fields), run_code=True)
    if not as_json:
        click.echo(f"{bench.machine()}\n{images.name}, {len(images.train)} images of {images.pixels} numbers")
    figures, last_section = [], ""
    for section, figure in bench.run(images, (*only, "orchestration") if orchestration else only):
        figures.append((section, figure))
        if not as_json:
            click.echo((f"\n{section}\n" if section != last_section else "") + str(figure))
        last_section = section
    if as_json:
        click.echo(bench.as_json(figures))


@click.command("doctor")
@click.option(
    "--out", metavar="DIR", default="runs", show_default=True, help="Directory or URI that results are to go to."
)
@spec_options(["data_dir"])
@click.option("--address", metavar="ADDRESS", help="Ray cluster to try to join; default: try to start Ray here.")
@json_option
@bad_input_is_usage
def doctor_command(out: str, data_dir: str, address: str | None, as_json: bool) -> None:
    """Check everything that a sweep needs, and say how to mend what is missing.

    Takes at most 20 seconds, on a busy machine a minute, and leaves nothing behind. The exit code is 1 if there is a
    fault.

    \b
    Example: sweep doctor --data-dir data --out runs/first
    """
    from sweep.doctor import doctor

    if address is not None:
        Address().check("address", address)
    checks = doctor.examine(expanded(data_dir), address, expanded(out))
    click.echo(doctor.as_json(checks) if as_json else _doctor_text(checks))
    sys.exit(any(c.verdict == FAULT for c in checks))


def _doctor_text(checks: Sequence[Check]) -> str:
    """Return a line for each check, and one with advice where there is some."""
    width = max(len(c.name) for c in checks)
    lines = []
    for c in checks:
        sign, colour = _SIGNS[c.verdict]
        lines.append(f"{click.style(sign, fg=colour, bold=True)} {c.name:{width}}  {printable(c.found)}")
        if c.advice:
            lines.append(f"  {'':{width}}  → {printable(c.advice)}")
    faults, warnings = (sum(c.verdict == v for c in checks) for v in (FAULT, WARNING))
    counts = [f"{n} {what}{'s' * (n > 1)}" for n, what in ((faults, "fault"), (warnings, "warning")) if n]
    return "\n".join([*lines, "", ", ".join(counts) or "all is well"])
