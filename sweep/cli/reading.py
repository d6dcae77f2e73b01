"""The commands that read sweeps: status, results, plot, report, compare, diff, merge."""

import json
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from sweep.cli.numbers import Number, Numbers
from sweep.cli.shared import at_option, bad_input_is_usage, directory, json_option
from sweep.errors import SpecError
from sweep.spec.kinds import Range
from sweep.spec.options import FIGURES, TABLES
from sweep.spec.ranges import DEPTH, SIGMA_B

F = TypeVar("F", bound=Callable[..., Any])


@click.command("status")
@directory
@click.option(
    "--watch",
    "watched",
    is_flag=True,
    help="Show the live view until the sweep is done (exit code 0) or its driver is gone (1).",
)
@json_option
@bad_input_is_usage
def status_command(directory: str, watched: bool, as_json: bool) -> None:
    """Show the progress, the critical line so far and the last error of a sweep, also while it runs.

    \b
    Example: sweep status --watch runs/first
    """
    if watched:
        if as_json:
            raise SpecError("`json` must be left out where `watch` is given")
        from sweep.monitor.watch import watch

        sys.exit(watch(directory))
    from sweep.cli import tables
    from sweep.results import status
    from sweep.results.loading import load

    summary = status.status(load(directory))
    click.echo(json.dumps(summary) if as_json else tables.status_text(summary))


@click.command("results")
@click.argument("directories", metavar="DIR...", nargs=-1, required=True, type=click.Path())
@click.option("--table", type=click.Choice(TABLES), default="points", show_default=True, help="Table to write.")
@click.option(
    "--depths",
    type=Numbers(DEPTH),
    help="Depths of the table boundary, within the range of the sweep (default: four, evenly on a log scale), or of "
    "the networks in the table profiles (default: all).",
)
@at_option(
    "Value of a further axis of the table boundary; others are in the middle of their ranges. Default: three values of "
    "each."
)
@click.option("--layers", type=Numbers(DEPTH), help="Layers in the table profiles; default: all.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(("csv", "parquet", "json")),
    default=None,
    help="Format; default: by the ending of the file, or csv.",
)
@click.option("-o", "--output", metavar="FILE", help="File to write; default: standard output.")
@bad_input_is_usage
def results_command(
    directories: tuple[str, ...],
    table: str,
    depths: tuple[int, ...] | None,
    at: dict[str, float],
    layers: tuple[int, ...] | None,
    kind: str | None,
    output: str | None,
) -> None:
    """Write a table of a sweep, or of several together, as CSV, Parquet or JSON.

    \b
    Example: sweep results runs/first --table profiles --depths 20 -o profiles.parquet
    """
    from sweep.results.export import write_table
    from sweep.results.loading import load

    if depths and table not in ("boundary", "profiles"):
        raise SpecError(f"`depths` must be left out with table {table!r}")
    if at and table != "boundary":
        raise SpecError(f"`at` must be left out with table {table!r}")
    if layers and table != "profiles":
        raise SpecError(f"`layers` must be left out with table {table!r}")
    results = load(directories) if len(directories) > 1 else load(directories[0])
    if table == "profiles" and (depths or layers):
        frame = results.profiles_at(depth=depths, layer=layers)
    else:
        frame = results.boundary_at(depths, at or None) if depths or at else results.table(table)
    write_table(frame, kind, output)


@click.command("plot")
@directory
@click.option("--kind", type=click.Choice(FIGURES), default="phase", show_default=True, help="Figure to draw.")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="File to write, PNG, PDF or SVG by its ending; default: DIR/KIND.png (phase: DIR/phase_diagram.png).",
)
@click.option("--style", metavar="FILE", help="Style file of matplotlib, or the name of one of its styles.")
@click.option(
    "--fig-width",
    type=Number(Range(1, 40, whole=False)),
    default=None,
    help="Width in inches; default: 5.2, or up to 7.2 for several panels.",
)
@click.option(
    "--sigma-b",
    type=Number(SIGMA_B),
    default=None,
    help="sigma_b of profiles, reconstructions, paper and cascade, and of phase over other axes; default: the middle "
    "of the range (profiles: all).",
)
@click.option(
    "--depth",
    type=Number(DEPTH),
    default=None,
    help="Depth of phase, profiles, reconstructions and truth; default: a few, or the middle of the range.",
)
@click.option("--x", metavar="AXIS", help="Axis across, of phase; default: the first free one.")
@click.option("--y", metavar="AXIS", help="Axis up, of phase; default: the next free one.")
@at_option(
    "Value of a further axis, of phase, depth, profiles, truth and paper; default: the middle of its range. Can be "
    "given several times."
)
@click.option(
    "--truth",
    metavar="DIR2",
    type=click.Path(),
    help="Sweep whose trained networks are drawn as well (cascade); default: those of DIR.",
)
@bad_input_is_usage
def plot_command(
    directory: str,
    kind: str,
    output: str | None,
    style: str | None,
    fig_width: float | None,
    sigma_b: float | None,
    depth: int | None,
    x: str | None,
    y: str | None,
    at: dict[str, float],
    truth: str | None,
) -> None:
    """Draw a figure for publication, as PNG, PDF or SVG.

    \b
    phase            the phase diagram: trainable depth, boundaries with 90 % intervals, critical lines
    depth            trainable depth against depth, and how the trainable band narrows
    profiles         retained information after each layer, of some of the networks
    reconstructions  an image as three of the networks pass it on (measured anew, takes a while)
    truth            accuracy after training, with the predicted and the trained boundary
    roc              how well each statistic tells trained networks from the others
    reliability      whether networks train as often as p_trainable says
    history          how the boundary's expected error fell with the number of points
    cascade          entropies and correlation of the cascade over (sigma_w^2, layer), with cutoff and mean field
    paper            the paper's picture: over (sigma_w^2, depth) at one sigma_b, with mean field's depth scales

    \b
    Example: sweep plot runs/first --kind paper --sigma-b 0.22 --fig-width 3.4 -o paper.pdf
    """
    from sweep.plots.kinds import save_figure
    from sweep.results.loading import load

    results, other = load(directory), load(truth) if truth else None
    chosen: dict[str, Any] = {"sigma_b": sigma_b, "depth": depth, "truth": other, "plane": (x, y), "at": at}
    path = save_figure(results, kind, output, **chosen, style_file=style, width=fig_width)
    click.echo(str(path))


@click.command("merge")
@click.argument("directories", metavar="DIR...", nargs=-1, required=True, type=click.Path())
@click.option("-o", "--output", metavar="DIR", required=True, help="Directory or URI of the new sweep.")
@json_option
@bad_input_is_usage
def merge_command(directories: tuple[str, ...], output: str, as_json: bool) -> None:
    """Merge sweeps that measured the same into a new one, with ranges that hold all of theirs.

    \b
    Example: sweep merge runs/first runs/second -o runs/both
    """
    from sweep.results.merge import merge

    results = merge(directories, output)
    points, names = len(results.points), list(directories)
    if as_json:
        click.echo(json.dumps({"directory": results.files.location, "points": points, "merged": names}))
    else:
        click.echo(f"{points} points of {len(names)} sweeps: {results.files.location}")


@click.command("diff")
@click.argument("one", metavar="A", type=click.Path())
@click.argument("other", metavar="B", type=click.Path())
@click.option("--depths", type=Numbers(DEPTH), help="Depths to compare at; default: three that both sweeps cover.")
@click.option("-o", "--output", metavar="FILE", help="Picture to write, PNG, PDF or SVG; default: A/diff.png.")
@json_option
@bad_input_is_usage
def diff_command(one: str, other: str, depths: tuple[int, ...] | None, output: str | None, as_json: bool) -> None:
    """Compare the boundaries of two sweeps: how far apart they are, and whether by more than chance.

    The sweeps may differ in widths, activations, data sets or versions of the code.

    \b
    Example: sweep diff runs/first runs/second --depths 10,30 -o diff.pdf
    """
    from sweep.analysis.difference import diff
    from sweep.cli.compared import difference_text
    from sweep.plots.difference import difference_figure
    from sweep.plots.saving import Picture
    from sweep.plots.style import styled
    from sweep.results.loading import load

    a, b = load(one), load(other)
    picture = Picture(a, "diff.png", output)
    difference = diff(a, b, depths)
    with styled(None):
        path = picture.save(difference_figure(a, b, difference))
    click.echo(difference.as_json() if as_json else f"{difference_text(difference)}\n\npicture   {path}")


@click.command("report")
@directory
@click.option("-o", "--output", metavar="FILE", help="HTML file to write; default: DIR/report.html.")
@click.option(
    "--reconstructions",
    type=Number(Range(0, 600)),
    default=None,
    help="Measure N networks once more to show reconstructions; default: as many as take 20 seconds, at most 64.",
)
@bad_input_is_usage
def report_command(directory: str, output: str | None, reconstructions: int | None) -> None:
    """Write an interactive report as one HTML file that needs no network.

    \b
    Example: sweep report runs/first -o report.html
    """
    from sweep.report import document
    from sweep.results.loading import load

    click.echo(str(document.write_report(load(directory), output, reconstructions)))


@click.command("compare")
@directory
@click.option(
    "--truth",
    metavar="DIR2",
    type=click.Path(),
    help="Sweep whose trained networks are the truth; default: DIR itself.",
)
@click.option("-o", "--output", metavar="FILE", help="Picture to write, PNG, PDF or SVG; default: DIR/compare.png.")
@json_option
@bad_input_is_usage
def compare_command(directory: str, truth: str | None, output: str | None, as_json: bool) -> None:
    """Compare the predictions of the probes with the outcome of training.

    Prints AUC, accuracy, region, boundary, calibration and cost of every statistic, and draws a picture.

    \b
    Example: sweep compare runs/probed --truth runs/trained
    """
    from sweep.analysis.compare import compare
    from sweep.cli.compared import comparison_text
    from sweep.plots.comparison import comparison_figure
    from sweep.plots.saving import Picture
    from sweep.plots.style import styled
    from sweep.results.loading import load

    results, other = load(directory), load(truth) if truth else None
    picture = Picture(results, "compare.png", output)
    comparison = compare(results, other)
    with styled(None):
        path = picture.save(comparison_figure(comparison))
    click.echo(comparison.as_json() if as_json else f"{comparison_text(comparison)}\n\npicture   {path}")
