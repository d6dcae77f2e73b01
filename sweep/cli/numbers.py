"""Parameter types of click for numbers within a range."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from sweep.spec.options import CHOICES, RANGES
from sweep.spec.ranges import Range

AUTO, NONE = "auto", "none"
F = TypeVar("F", bound=Callable[..., Any])


class Number(click.ParamType):
    """A number within a `Range`, or a word that stands for a value: ``auto`` for None, ``all`` for the largest."""

    name = "number"

    def __init__(self, allowed: Range, word: str | None = None) -> None:
        self.allowed, self.word = allowed, word

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value; raises click's own error, which names the option."""
        if value is None:
            return None
        if self.word and value == self.word:
            return None if self.word == AUTO else self.allowed.convert(self.allowed.high)
        try:
            return self.allowed.convert(value)
        except (ValueError, TypeError, OverflowError):
            choice = f"{self.word} or " if self.word else ""
            self.fail(f"{str(value)[:80]!r} is not {choice}{self.allowed}.", param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return ``N``, ``X`` or ``N|auto``."""
        return ("N" if self.allowed.whole else "X") + (f"|{self.word}" if self.word else "")


class Numbers(click.ParamType):
    """Numbers within a `Range` with commas between them."""

    name = "numbers"

    def __init__(self, allowed: Range) -> None:
        self.allowed = allowed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value; raises click's own error, which names the option."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(self.allowed.convert(v.strip()) for v in str(value).split(","))
        except (ValueError, OverflowError):
            self.fail(f"{str(value)[:80]!r} is not {self.allowed}, or several with commas between.", param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return ``N,N,...`` or ``X,X,...``."""
        return "N,N,..." if self.allowed.whole else "X,X,..."


def number_option(name: str, help: str, *, word: str | None = None, **more: Any) -> Callable[[F], F]:
    """Return a click option for a number within its range, which the help tells."""
    text = f"{help} [{RANGES[name]}]"
    return click.option("--" + name.replace("_", "-"), type=Number(RANGES[name], word), help=text, **more)


def interval_option(name: str, help: str, default: tuple[float, float] | None) -> Callable[[F], F]:
    """Return a click option for two numbers, the ends of an axis."""
    return click.option(
        "--" + name.replace("_", "-"),
        type=Number(RANGES[name]),
        nargs=2,
        default=default,
        show_default=default is not None,
        metavar="LO HI",
        help=f"{help} [each {RANGES[name]}]",
    )


def choice_option(name: str, help: str, default: str | None) -> Callable[[F], F]:
    """Return a click option for one of the choices that there are."""
    return click.option(
        "--" + name,
        type=click.Choice(CHOICES[name]),
        default=default,
        show_default=default is not None,
        help=help,
    )
