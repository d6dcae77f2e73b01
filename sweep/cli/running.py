"""The commands that measure: `sweep run`, `sweep resume` and `sweep probe`."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sweep.cli.config import config_option, preset_option, sequence_key
from sweep.cli.numbers import Number
from sweep.cli.options import Sectioned, spec_options
from sweep.cli.shared import (
    at_option,
    bad_input_is_usage,
    directory,
    is_given,
    json_option,
    log_option,
    quiet_option,
    verbose_option,
)
from sweep.errors import SpecError
from sweep.spec.axes import fixed_axes
from sweep.spec.experiment import Measuring
from sweep.spec.kinds import expanded
from sweep.spec.options import changeable, local, names
from sweep.spec.ranges import DEPTH, POINTS, SIGMA_B, SIGMA_W
from sweep.spec.spec import SweepSpec
from sweep.text import one_line

if TYPE_CHECKING:
    from sweep.results.results import Results

T = TypeVar("T")


@click.command("run", cls=Sectioned)
@click.option("--out", metavar="DIR", help="Directory or URI of the sweep; default: runs/<timestamp>.")
@spec_options(names(SweepSpec))
@log_option
@preset_option
@config_option
@sequence_key
@click.option(
    "--dry-run", is_flag=True, help="Show what would run, where, and how long it would take, without running it."
)
@quiet_option
@verbose_option
@json_option
@bad_input_is_usage
def run_command(
    out: str | None, log: tuple[str, ...], dry_run: bool, quiet: bool, verbose: bool, as_json: bool, **fields: Any
) -> None:
    """Run a sweep on this machine or a Ray cluster.

    \b
    Example: sweep run --points 64 --sigma-w 0.5 2.5 --sigma-b 0.05 1 --depth 5 60 --out runs/first
    """
    _check_verbose(verbose, quiet)
    spec = SweepSpec(**_with_probe_of_network(fields))
    from sweep.execution import runner

    path = expanded(out) if out else str(runner.default_directory())
    if dry_run:
        preview = runner.dry_run(spec, path)
        click.echo(json.dumps(preview) if as_json else "\n".join(f"{name:<9}{text}" for name, text in preview.items()))
        return
    if spec.search == "grid" and not quiet:
        from sweep.spec.design import grid_axes, grid_size

        shape = " x ".join(str(len(v)) for v in grid_axes(spec).values())
        click.echo(f"grid of {shape} = {grid_size(spec)} points (sigma_w x sigma_b x depth)", err=True)
    _drive(lambda: runner.run(spec, path, quiet=quiet, verbose=verbose, log=log), path, quiet, as_json)


@click.command("resume")
@directory
@click.option("--points", type=Number(POINTS), default=None, help="Raise the number of points to N.")
@spec_options([n for n in changeable(SweepSpec) if n != "points"], defaults=False)
@spec_options(local(SweepSpec), defaults=False)
@click.option("--retry-failed", is_flag=True, help="Measure points that failed once more.")
@log_option
@quiet_option
@verbose_option
@json_option
@click.pass_context
@bad_input_is_usage
def resume_command(
    ctx: click.Context,
    /,
    directory: str,
    retry_failed: bool,
    log: tuple[str, ...],
    quiet: bool,
    verbose: bool,
    as_json: bool,
    **fields: Any,
) -> None:
    """Continue a sweep that was stopped in any way.

    \b
    Example: sweep resume runs/first --points 128
    """
    _check_verbose(verbose, quiet)
    given = click.core.ParameterSource.COMMANDLINE
    changes = {k: v for k, v in fields.items() if ctx.get_parameter_source(k) == given}
    from sweep.execution import runner

    changes |= {"quiet": quiet, "verbose": verbose, "log": log, "retry_failed": retry_failed}
    _drive(lambda: runner.resume(directory, **changes), directory, quiet, as_json)


def _check_verbose(verbose: bool, quiet: bool) -> None:
    if verbose and quiet:
        raise SpecError("`verbose` must be left out where `quiet` is given")


def _drive(work: Callable[[], Any], path: str, quiet: bool, as_json: bool) -> None:
    """Run the sweep, report, and exit: 0 when done, 1 if points failed or are missing, 130 if interrupted."""
    import time

    started = time.monotonic()
    try:
        results = work()
    except KeyboardInterrupt:
        click.echo(f"\ninterrupted; continue with: sweep resume {path}", err=True)
        sys.exit(130)
    from sweep.results import status

    seconds = time.monotonic() - started
    picture = _unless_it_fails("the picture", lambda: _save_picture(results), path)
    summary = status.status(results)
    if as_json:
        click.echo(json.dumps({**summary, "directory": path}))
    elif not quiet:
        if text := _unless_it_fails("the table", lambda: _table(results, seconds, picture), path):
            click.echo(text)
    missing = summary["total"] - summary["done"] - summary["failed"]
    if missing > 0 and status.is_accurate_enough(summary):
        click.echo(f"the boundary is as accurate as asked for; {missing} points were not needed", err=True)
        missing = 0
    if missing > 0:
        click.echo(f"{missing} points are missing; continue with: sweep resume {path}", err=True)
    sys.exit(1 if missing > 0 or summary["failed"] else 0)


def _save_picture(results: "Results") -> Path:
    from sweep.plots.diagram import save_phase_diagram

    return save_phase_diagram(results)


def _table(results: "Results", seconds: float, picture: Path | None) -> str:
    from sweep.cli import tables

    return tables.table(results, seconds, picture)


def _unless_it_fails(what: str, make: Callable[[], T], path: str) -> T | None:
    """Return what a function makes; if it fails, say so and return None, since the points themselves are stored."""
    try:
        return make()
    except Exception as error:  # whatever it is, it must not hide the results
        reason = f"{type(error).__name__}: {one_line(error)[:300]}"
        click.echo(f"{what} could not be made ({reason}); all points are stored in {path}", err=True)
        return None


@click.command("probe", cls=Sectioned)
@click.option("--sigma-w", type=Number(SIGMA_W), required=True, help="Standard deviation of the weights.")
@click.option("--sigma-b", type=Number(SIGMA_B), required=True, help="Standard deviation of the biases.")
@click.option("--depth", type=Number(DEPTH), required=True, help="Hidden layers.")
@at_option(
    "Value of a further argument of the function of --network, or of lr (with --train), width or residual_scale "
    "(resnet); can be given several times."
)
@spec_options([*names(SweepSpec, Measuring), "seed"])
@click.option(
    "--images-out",
    metavar="FILE.png",
    help="Also train the network, and draw what it makes of images before and after training: reconstructions layer by "
    "layer, and the image that each class would like best.",
)
@preset_option
@config_option
@json_option
@bad_input_is_usage
def probe_command(
    sigma_w: float,
    sigma_b: float,
    depth: int,
    at: dict[str, float],
    images_out: str | None,
    as_json: bool,
    **fields: Any,
) -> None:
    """Measure a single point in this process, without Ray.

    \b
    Example: sweep probe --sigma-w 1.3 --sigma-b 0.2 --depth 30 --images-out point.png
    """
    fields = _with_probe_of_network(fields)
    if fields["network"] is not None and images_out is not None:
        raise SpecError("`images_out` must be left out with `network`")
    place: dict[str, Any] = {"sigma_w": (sigma_w, sigma_w), "sigma_b": (sigma_b, sigma_b), "depth": (depth, depth)}
    try:
        spec = SweepSpec(points=1, **place, axis=fixed_axes(at), **fields)
    except SpecError as error:
        raise SpecError(str(error).replace("`axis`", "`at`", 1)) from None
    from sweep.cli.point import point_json, point_text
    from sweep.measuring import single
    from sweep.monitor.screen import progress_bar

    picture = Path(expanded(images_out)) if images_out is not None else None
    if picture:
        from sweep.plots.saving import check_picture

        check_picture(picture, "images_out")
    measurement, seen = single.probe(spec, pictures=picture is not None, steps=progress_bar)
    if picture and seen:
        from sweep.plots.gallery import gallery_figure
        from sweep.plots.saving import save_picture

        save_picture(gallery_figure(seen, Path(spec.dataset).name), picture, "images_out")
    click.echo(point_json(measurement) if as_json else point_text(measurement))
    sys.exit(1 if measurement.status == "failed" else 0)


def _with_probe_of_network(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a command; the default probe of networks of the user is the one that suits any size."""
    if fields["network"] is not None and not is_given(click.get_current_context(), "probe"):
        return {**fields, "probe": "direct"}
    return fields
