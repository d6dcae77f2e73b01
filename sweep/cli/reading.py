"""The commands that read a sweep: status, results, plot, report, compare, diff, merge."""

import json
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from sweep.cli.numbers import Number, Numbers
from sweep.cli.shared import bad_input_is_usage, directory, json_option
from sweep.errors import SpecError
from sweep.spec.kinds import Range
from sweep.spec.options import FIGURES, TABLES
from sweep.spec.parts import DEPTH, SIGMA_B

F = TypeVar("F", bound=Callable[..., Any])


@click.command("status")
@directory
@click.option("--watch", "watched", is_flag=True, help="Show how it gets on until it is done, from anywhere.")
@json_option
@bad_input_is_usage
def status_command(directory: str, watched: bool, as_json: bool) -> None:
    """Counts, best estimates and the last error of a sweep, running or not.

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

    found = status.status(load(directory))
    click.echo(json.dumps(found) if as_json else tables.status_text(found))


@click.command("results")
@click.argument("directories", metavar="DIR...", nargs=-1, required=True, type=click.Path())
@click.option("--table", type=click.Choice(TABLES), default="points", show_default=True, help="Which table.")
@click.option(
    "--depths",
    type=Numbers(DEPTH),
    help="Of the table boundary, within those of the sweep; default: four, evenly on a log scale. Of the table "
    "profiles, the networks of these depths; default: all.",
)
@click.option("--layers", type=Numbers(DEPTH), help="Of the table profiles; default: all.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(("csv", "parquet", "json")),
    default=None,
    help="Default: by -o, or csv.",
)
@click.option("-o", "--output", metavar="FILE", help="Default: standard output.")
@bad_input_is_usage
def results_command(
    directories: tuple[str, ...],
    table: str,
    depths: tuple[int, ...] | None,
    layers: tuple[int, ...] | None,
    kind: str | None,
    output: str | None,
) -> None:
    """The tables of a sweep, or of several together, to standard output or a file.

    \b
    Example: sweep results runs/first --table profiles --depths 20 -o profiles.parquet
    """
    from sweep.results.export import write_table
    from sweep.results.loading import load

    if depths and table not in ("boundary", "profiles"):
        raise SpecError(f"`depths` must be left out with table {table!r}")
    if layers and table != "profiles":
        raise SpecError(f"`layers` must be left out with table {table!r}")
    results = load(directories) if len(directories) > 1 else load(directories[0])
    if table == "profiles" and (depths or layers):
        frame = results.profiles_at(depth=depths, layer=layers)
    else:
        frame = results.boundary_at(depths) if depths else results.table(table)
    write_table(frame, kind, output)


@click.command("plot")
@directory
@click.option("--kind", type=click.Choice(FIGURES), default="phase", show_default=True, help="Which figure.")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="PNG, PDF or SVG by its ending; default: DIR/KIND.png, of phase DIR/phase_diagram.png.",
)
@click.option("--style", metavar="FILE", help="A matplotlib style file, or the name of one of matplotlib's styles.")
@click.option(
    "--fig-width",
    type=Number(Range(1, 40, whole=False)),
    default=None,
    help="Inches; default: 5.2, of several panels up to 7.2.",
)
@click.option(
    "--sigma-b",
    type=Number(SIGMA_B),
    default=None,
    help="Of profiles, reconstructions and paper; default: the middle of the range, of profiles any.",
)
@click.option(
    "--depth",
    type=Number(DEPTH),
    default=None,
    help="Of phase, profiles, reconstructions and truth; default: a few, or the middle of the range.",
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
) -> None:
    """Draw a figure for publication.

    \b
    phase            the phase diagram: horizon, boundaries with 90 % intervals, critical lines
    depth            horizon against depth, and how the trainable band narrows
    profiles         retained information after each layer, of some of the networks
    reconstructions  an image as three of the networks pass it on (measured anew: takes a while)
    truth            accuracy after training, boundary as predicted and as trained
    roc              how well each statistic tells trained networks from the others
    history          how the boundary's expected error fell with the number of points
    paper            over (sigma_w^2, depth) at one sigma_b, with mean field's depth scales

    \b
    Example: sweep plot runs/first --kind paper --sigma-b 0.22 --fig-width 3.4 -o paper.pdf
    """
    from sweep.plots.kinds import save_figure
    from sweep.results.loading import load

    results = load(directory)
    path = save_figure(results, kind, output, sigma_b=sigma_b, depth=depth, style_file=style, width=fig_width)
    click.echo(str(path))


@click.command("merge")
@click.argument("directories", metavar="DIR...", nargs=-1, required=True, type=click.Path())
@click.option("-o", "--output", metavar="DIR", required=True, help="The new sweep's directory.")
@json_option
@bad_input_is_usage
def merge_command(directories: tuple[str, ...], output: str, as_json: bool) -> None:
    """Make one sweep of several that measured the same, with ranges that hold all of theirs.

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
@click.option("--depths", type=Numbers(DEPTH), help="To compare at; default: three that both cover.")
@click.option("-o", "--output", metavar="FILE", help="Picture, PNG, PDF or SVG; default: A/diff.png.")
@json_option
@bad_input_is_usage
def diff_command(one: str, other: str, depths: tuple[int, ...] | None, output: str | None, as_json: bool) -> None:
    """Compare two sweeps' boundaries: how far apart, and whether that is more than chance.

    For sweeps of other widths, activations, data sets or versions of the code.

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
    found = diff(a, b, depths)
    with styled(None):
        path = picture.save(difference_figure(a, b, found))
    click.echo(found.as_json() if as_json else f"{difference_text(found)}\n\npicture   {path}")


@click.command("report")
@directory
@click.option("-o", "--output", metavar="FILE", help="An HTML file; default: DIR/report.html.")
@click.option(
    "--reconstructions",
    type=Number(Range(0, 600)),
    default=None,
    help="Measure N networks once more for their reconstructions; default: as many as take twenty seconds, up to 64.",
)
@bad_input_is_usage
def report_command(directory: str, output: str | None, reconstructions: int | None) -> None:
    """Write an interactive report: one HTML file that needs no network.

    \b
    Example: sweep report runs/first -o report.html
    """
    from sweep.report import document
    from sweep.results.loading import load

    click.echo(str(document.write_report(load(directory), output, reconstructions)))


@click.command("compare")
@directory
@click.option("--truth", metavar="DIR2", type=click.Path(), help="Another sweep, whose training is the truth.")
@click.option("-o", "--output", metavar="FILE", help="Picture, PNG, PDF or SVG; default: DIR/compare.png.")
@json_option
@bad_input_is_usage
def compare_command(directory: str, truth: str | None, output: str | None, as_json: bool) -> None:
    """Compare what the probes predict with what training gave.

    AUC, region, boundary, calibration and cost of every statistic, as a table and a picture.

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
    found = compare(results, other)
    with styled(None):
        path = picture.save(comparison_figure(found))
    click.echo(found.as_json() if as_json else f"{comparison_text(found)}\n\npicture   {path}")
