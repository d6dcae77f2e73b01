"""Options and the handling of errors that several commands share."""

import re
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from sweep.errors import SpecError, StoreError
from sweep.processes import terminated_is_interrupted, working_directory
from sweep.spec.options import TRACKERS

F = TypeVar("F", bound=Callable[..., Any])


def usage_error(error: SpecError) -> click.UsageError:
    """Return the usage error (exit code 2) for bad input, which names the argument as on the command line."""
    text = str(error)
    if named := re.match(r"`(\w+)` (.*)", text, re.DOTALL):
        text = f"Invalid value for '--{named[1].replace('_', '-')}': {named[2]}"
    return click.UsageError(text, click.get_current_context(silent=True))


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
directory = click.argument("directory", metavar="DIR", type=click.Path())


def bad_input_is_usage(command: F) -> F:
    """Report bad input and unusable storage as usage errors; end with exit code 130 after Ctrl-C, SIGTERM or SIGHUP."""

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
        except StoreError as error:
            raise click.UsageError(str(error), click.get_current_context()) from None

    return wrapped  # type: ignore[return-value]


def _check_working_directory() -> None:
    try:
        working_directory()
    except FileNotFoundError as error:
        raise click.UsageError(str(error), click.get_current_context()) from None
