"""Options and the handling of errors that several commands share."""

import math
import re
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from sweep.errors import SpecError, StoreError, UnavailableError
from sweep.processes import terminated_is_interrupted, working_directory
from sweep.spec.options import TRACKERS

F = TypeVar("F", bound=Callable[..., Any])
EXIT_CODES = {
    0: "all is well: everything is measured, or what was asked for is printed or written",
    1: "points failed or are missing; a point of `sweep probe` failed; `sweep doctor` has found a fault",
    2: "bad input: the message names the argument, its value and what is allowed",
    3: "a storage, a server or a cluster does not answer, or Ray does not start: the same command may succeed later",
    130: "interrupted by Ctrl-C, SIGTERM, SIGHUP or the time limit; `sweep resume` goes on",
}


_NAMED = re.compile(r"\A`([a-z_]+)`(?= )")  # the option that an error names; a variable is in capital letters


def _flag(named: re.Match[str]) -> str:
    """Return how an option is written on the command line."""
    return f"--{named[1].replace('_', '-')}"


def usage_error(error: SpecError) -> click.UsageError:
    """Return the usage error (exit code 2) for bad input, which names the argument as on the command line."""
    text = str(error)
    if named := _NAMED.match(text):
        text = f"Invalid value for '{_flag(named)}':{text[named.end() :]}"
    return click.UsageError(text, click.get_current_context(silent=True))


class Unavailable(click.ClickException):
    """The end of a command because something that it needs does not answer; the message names the argument."""

    exit_code = 3

    def __init__(self, error: UnavailableError) -> None:
        super().__init__(_NAMED.sub(_flag, str(error)))


quiet_option = click.option("--quiet", is_flag=True, help="Print neither progress nor summary.")
verbose_option = click.option(
    "--verbose", is_flag=True, help="Show the messages of Ray and Tune instead of the live view."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
log_option = click.option(
    "--log",
    type=click.Choice(TRACKERS),
    multiple=True,
    help="Log every point as a run of a tracker, in DIR/tensorboard, in DIR/mlflow (or at MLFLOW_TRACKING_URI), or to "
    "W&B; can be given several times.",
)


def at_option(help: str) -> Callable[[F], F]:
    """Return the option ``--at NAME=VALUE``, which can be given several times; the command gets a dict."""

    def read(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, float]:
        at = {}
        for text in values:
            name, equals, value = text.partition("=")
            try:
                at[name.strip()] = float(value) if equals else math.nan
            except ValueError:
                at[name.strip()] = math.nan
            if not math.isfinite(at[name.strip()]):
                raise click.BadParameter(f"{text[:80]!r} is not NAME=VALUE, with a number.", ctx, param)
        return at

    return click.option("--at", metavar="NAME=VALUE", multiple=True, callback=read, help=help)


directory = click.argument("directory", metavar="DIR", type=click.Path())


def bad_input_is_usage(command: F) -> F:
    """Report the errors that users meet in one line each, with the exit codes of `EXIT_CODES`."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            with terminated_is_interrupted():
                _check_working_directory()
                return command(*args, **kwargs)
        except SpecError as error:
            raise usage_error(error) from None
        except KeyboardInterrupt:
            sys.exit(130)
        except UnavailableError as error:
            raise Unavailable(error) from None
        except StoreError as error:
            raise click.UsageError(str(error), click.get_current_context()) from None

    return wrapped  # type: ignore[return-value]


def _check_working_directory() -> None:
    try:
        working_directory()
    except FileNotFoundError as error:
        raise click.UsageError(str(error), click.get_current_context()) from None


def is_given(context: click.Context, name: str) -> bool:
    """Return whether an option was given, on the command line or in a file or preset; ``auto`` counts as not given."""
    default = click.core.ParameterSource.DEFAULT
    return context.get_parameter_source(name) != default and context.params[name] is not None
