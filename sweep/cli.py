"""The command line: parse, call, translate errors. No science here."""

import json
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from . import __version__
from .cli_launch import launch
from .interrupt import terminated_is_interrupted
from .options import Number, Numbers, config_option, options, preset_option, usage_error
from .spec import BENCHMARKS, CHOICES, FIGURES, RANGES, RESOURCES, TABLES, TRACKERS, Range, SpecError, SweepSpec

__all__ = ["main"]

F = TypeVar("F", bound=Callable[..., Any])

_TRAIN = ("train", "train_images", "epochs", "optimizer", "lr", "batch", "level", "patience")
_RUN = (
    *("points", "sigma_w", "sigma_b", "depth", "replicas"),
    *("dataset", "data_dir", "download", "images", "resize"),
    *("architecture", "width", "widths", "activation"),
    *("probe", "statistic", "threshold", "penalty", "decoded_layers", "certainty", "probe_steps", "precision"),
    *("search", "aim", "prior", "until_boundary_error", *_TRAIN, *RESOURCES, "storage", "seed"),
)
_PROBE = (
    *("dataset", "data_dir", "download", "images", "resize", "architecture", "width", "widths", "activation"),
    *("probe", "statistic", "threshold", "penalty", "decoded_layers", "certainty", "probe_steps", "precision"),
    *(*_TRAIN, "seed"),
)

quiet_option = click.option("--quiet", is_flag=True, help="No progress, no summary.")
verbose_option = click.option("--verbose", is_flag=True, help="Show what Tune and Ray say, in place of the live view.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
log_option = click.option(
    "--log",
    type=click.Choice(TRACKERS),
    multiple=True,
    help="Make every point a run of a tracker: in DIR/tensorboard, DIR/mlflow (or at MLFLOW_TRACKING_URI), W&B; may "
    "be given several times.",
)
directory = click.argument("directory", metavar="DIR", type=click.Path())


def bad_input_is_usage(command: F) -> F:
    """Report bad input, and storage that cannot be used, as a usage error; Ctrl-C is exit code 130."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            with terminated_is_interrupted():
                return command(*args, **kwargs)
        except SpecError as error:
            raise usage_error(error) from None
        except KeyboardInterrupt:
            sys.exit(130)
        except OSError as error:
            from .store import StoreError

            if isinstance(error, StoreError):
                raise click.UsageError(str(error), click.get_current_context()) from None
            raise

    return wrapped  # type: ignore[return-value]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="sweep")
def main() -> None:
    """Map where random deep networks can be trained, on one machine or many.

    \b
    Example: sweep run --dataset digits --points 64
    """


@main.command("run")
@click.option("--out", metavar="DIR", help="The sweep's directory; default: runs/<timestamp>.")
@options(*_RUN)
@log_option
@preset_option
@config_option
@quiet_option
@verbose_option
@json_option
@bad_input_is_usage
def run_command(
    out: str | None, log: tuple[str, ...], quiet: bool, verbose: bool, as_json: bool, **fields: Any
) -> None:
    """Launch a sweep and wait for it.

    \b
    Example: sweep run --points 64 --sigma-w 0.5 2.5 --sigma-b 0.05 1 --depth 5 60 --out runs/first
    """
    _check_verbose(verbose, quiet)
    spec = SweepSpec(**fields)
    from . import runner

    path = out or str(runner.default_directory())
    if spec.search == "grid" and not quiet:
        from .design import grid_axes, grid_size

        shape = " x ".join(str(len(v)) for v in grid_axes(spec).values())
        click.echo(f"grid of {shape} = {grid_size(spec)} points (sigma_w x sigma_b x depth)", err=True)
    _drive(lambda: runner.run(spec, path, quiet=quiet, verbose=verbose, log=log), path, quiet, as_json)


@main.command("resume")
@directory
@click.option("--points", type=Number(RANGES["points"]), default=None, help="Raise the budget to N points.")
@options("until_boundary_error", *RESOURCES, "data_dir", "download")
@click.option("--retry-failed", is_flag=True, help="Measure the points that failed once more.")
@log_option
@quiet_option
@verbose_option
@json_option
@click.pass_context
@bad_input_is_usage
def resume_command(
    ctx: click.Context,
    directory: str,
    retry_failed: bool,
    log: tuple[str, ...],
    quiet: bool,
    verbose: bool,
    as_json: bool,
    **fields: Any,
) -> None:
    """Go on with a sweep that was stopped in any way.

    \b
    Example: sweep resume runs/first --points 128
    """
    _check_verbose(verbose, quiet)
    given = click.core.ParameterSource.COMMANDLINE
    changes = {k: v for k, v in fields.items() if ctx.get_parameter_source(k) == given}
    from . import runner

    changes |= {"quiet": quiet, "verbose": verbose, "log": log, "retry_failed": retry_failed}
    _drive(lambda: runner.resume(directory, **changes), directory, quiet, as_json)


def _check_verbose(verbose: bool, quiet: bool) -> None:
    if verbose and quiet:
        raise SpecError("`verbose` must be left out where `quiet` is given")


def _drive(work: Callable[[], Any], path: str, quiet: bool, as_json: bool) -> None:
    """Run, report, exit: 0 done, 1 with failed points, 130 interrupted."""
    import time

    started = time.monotonic()
    try:
        results = work()
    except KeyboardInterrupt:
        click.echo(f"\ninterrupted; go on with: sweep resume {path}", err=True)
        sys.exit(130)
    from . import summary

    picture = summary.draw(results)
    found = summary.status(results)
    if as_json:
        click.echo(json.dumps({**found, "directory": path}))
    elif not quiet:
        click.echo(summary.table(results, time.monotonic() - started, picture))
    missing = found["total"] - found["done"] - found["failed"]
    if missing > 0 and summary.is_known(found):
        click.echo(f"the boundary is known as well as was asked for; {missing} points were not needed", err=True)
        missing = 0
    if missing > 0:
        click.echo(f"{missing} points are missing; go on with: sweep resume {path}", err=True)
    sys.exit(1 if missing > 0 or found["failed"] else 0)


@main.command("status")
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
        from .watch import watch

        sys.exit(watch(directory))
    from . import summary
    from .frame import load

    found = summary.status(load(directory))
    click.echo(json.dumps(found) if as_json else summary.status_text(found))


@main.command("results")
@click.argument("directories", metavar="DIR...", nargs=-1, required=True, type=click.Path())
@click.option("--table", type=click.Choice(TABLES), default="points", show_default=True, help="Which table.")
@click.option(
    "--depths",
    type=Numbers(RANGES["depth"]),
    help="Of the table boundary, within those of the sweep; default: four, evenly on a log scale. Of the table "
    "profiles, the networks of these depths; default: all.",
)
@click.option("--layers", type=Numbers(RANGES["depth"]), help="Of the table profiles; default: all.")
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
    from .export import write_table
    from .frame import load

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


@main.command("plot")
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
    type=Number(RANGES["sigma_b"]),
    default=None,
    help="Of profiles, reconstructions and paper; default: the middle of the range, of profiles any.",
)
@click.option(
    "--depth",
    type=Number(RANGES["depth"]),
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
    from .figures import draw
    from .frame import load

    found = draw(load(directory), kind, output, sigma_b=sigma_b, depth=depth, style_file=style, width=fig_width)
    click.echo(str(found))


@main.command("merge")
@click.argument("directories", metavar="DIR...", nargs=-1, required=True, type=click.Path())
@click.option("-o", "--output", metavar="DIR", required=True, help="The new sweep's directory.")
@json_option
@bad_input_is_usage
def merge_command(directories: tuple[str, ...], output: str, as_json: bool) -> None:
    """Make one sweep of several that measured the same, with ranges that hold all of theirs.

    \b
    Example: sweep merge runs/first runs/second -o runs/both
    """
    from .merge import merge

    results = merge(directories, output)
    points, names = len(results.points), list(directories)
    if as_json:
        click.echo(json.dumps({"directory": results.home.place, "points": points, "merged": names}))
    else:
        click.echo(f"{points} points of {len(names)} sweeps: {results.home.place}")


@main.command("diff")
@click.argument("one", metavar="A", type=click.Path())
@click.argument("other", metavar="B", type=click.Path())
@click.option("--depths", type=Numbers(RANGES["depth"]), help="To compare at; default: three that both cover.")
@click.option("-o", "--output", metavar="FILE", help="Picture, PNG, PDF or SVG; default: A/diff.png.")
@json_option
@bad_input_is_usage
def diff_command(one: str, other: str, depths: tuple[int, ...] | None, output: str | None, as_json: bool) -> None:
    """Compare two sweeps' boundaries: how far apart, and whether that is more than chance.

    For sweeps of other widths, activations, data sets or versions of the code.

    \b
    Example: sweep diff runs/first runs/second --depths 10,30 -o diff.pdf
    """
    from . import summary
    from .difference import diff, text
    from .figures import figure_of_difference, styled
    from .frame import load

    a, b = load(one), load(other)
    path = Path(output) if output else a.path / "diff.png"
    summary.check_picture(path, "output")
    found = diff(a, b, depths)
    with styled(None):
        summary.save_picture(figure_of_difference(a, b, found), path, "output")
    if not output:
        a.home.publish(path)
    click.echo(found.as_json() if as_json else f"{text(found)}\n\npicture   {path}")


@main.command("report")
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
    from . import report
    from .frame import load

    click.echo(str(report.draw(load(directory), output, reconstructions)))


@main.command("compare")
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
    from . import evaluate, summary
    from .frame import load
    from .plots import comparison_figure

    results, other = load(directory), load(truth) if truth else None
    path = Path(output) if output else results.path / "compare.png"
    summary.check_picture(path, "output")
    found = evaluate.compare(results, other)
    summary.save_picture(comparison_figure(found), path, "output")
    if not output:
        results.home.publish(path)
    click.echo(found.as_json() if as_json else f"{evaluate.text(found)}\n\npicture   {path}")


@main.command("probe")
@click.option("--sigma-w", type=Number(RANGES["sigma_w"]), required=True, help="Standard deviation of the weights.")
@click.option("--sigma-b", type=Number(RANGES["sigma_b"]), required=True, help="Standard deviation of the biases.")
@click.option("--depth", type=Number(RANGES["depth"]), required=True, help="Hidden layers.")
@options(*_PROBE)
@click.option(
    "--images-out",
    metavar="FILE.png",
    help="Train the network, too, and draw what it makes of images before and after: reconstructions layer by layer, "
    "and the image that each class would like best.",
)
@preset_option
@config_option
@json_option
@bad_input_is_usage
def probe_command(
    sigma_w: float, sigma_b: float, depth: int, images_out: str | None, as_json: bool, **fields: Any
) -> None:
    """Measure one point, here and now, without Ray.

    \b
    Example: sweep probe --sigma-w 1.3 --sigma-b 0.2 --depth 30 --images-out point.png
    """
    spec = SweepSpec(points=1, sigma_w=(sigma_w, sigma_w), sigma_b=(sigma_b, sigma_b), depth=(depth, depth), **fields)
    from . import single

    measurement = single.probe(spec, Path(images_out) if images_out is not None else None)
    click.echo(single.as_json(measurement) if as_json else single.as_text(measurement))
    sys.exit(1 if measurement.status == "failed" else 0)


@main.command("bench")
@click.option(
    "--only",
    type=click.Choice(BENCHMARKS),
    multiple=True,
    help="Of these alone; can be given several times.",
)
@click.option("--orchestration", is_flag=True, help="The same as --only orchestration.")
@click.option("--dataset", default="noise", show_default=True, metavar="NAME|FILE.npz", help="As of sweep run.")
@options("data_dir", "download")
@click.option(
    "--resize", type=Number(RANGES["resize"]), default=28, show_default=True, help="Pool or enlarge images to N x N."
)
@json_option
@bad_input_is_usage
def bench_command(only: tuple[str, ...], orchestration: bool, as_json: bool, **fields: Any) -> None:
    """Measure what this machine can do, beside the project's own bars (minutes).

    \b
    Example: sweep bench --only cascade
    """
    from . import bench
    from .settings import sweep_images

    images = sweep_images(SweepSpec(points=1, **fields))
    if not as_json:
        click.echo(f"{bench.machine()}\n{images.name}, {len(images.train)} images of {images.pixels} numbers")
    found, last = [], ""
    for section, figure in bench.run(images, (*only, "orchestration") if orchestration else only):
        found.append((section, figure))
        if not as_json:
            click.echo((f"\n{section}\n" if section != last else "") + str(figure))
        last = section
    if as_json:
        click.echo(bench.as_json(found))


@main.command("doctor")
@click.option("--out", metavar="DIR", default="runs", show_default=True, help="Where results are to go: DIR or a URI.")
@options("data_dir")
@click.option("--address", metavar="ADDRESS", help="Ray cluster to join; default: whether a Ray starts here.")
@json_option
@bad_input_is_usage
def doctor_command(out: str, data_dir: str, address: str | None, as_json: bool) -> None:
    """Look at all that a sweep needs, and say what to do about each fault.

    Exit code 1 if there is a fault. Takes 20 seconds at most, and leaves nothing behind.

    \b
    Example: sweep doctor --data-dir data --out runs/first
    """
    from . import doctor

    checks = doctor.examine(data_dir, address, out)
    click.echo(doctor.as_json(checks) if as_json else doctor.as_text(checks))
    sys.exit(any(c.verdict == doctor.FAULT for c in checks))


@main.command("theory")
@click.option("--sigma-b", type=Number(RANGES["sigma_b"]), nargs=2, required=True, metavar="LO HI", help="Range.")
@click.option("--sigma-w", type=Number(RANGES["sigma_w"]), default=None, help="Give q*, chi_1, c*, xi_c there.")
@click.option(
    "--activation",
    type=click.Choice(CHOICES["activation"]),
    default="tanh",
    show_default=True,
    help="Of the layers.",
)
@json_option
@bad_input_is_usage
def theory_command(sigma_b: tuple[float, float], sigma_w: float | None, activation: str, as_json: bool) -> None:
    """Mean field's critical line, and its quantities at given points.

    \b
    Example: sweep theory --sigma-b 0.05 1 --sigma-w 1.3
    """
    from . import theory

    rows = theory.rows(sigma_b, sigma_w, activation)
    click.echo(json.dumps(rows) if as_json else theory.text(rows))


main.add_command(launch)
