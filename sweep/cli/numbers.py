"""Parameter types of click for numbers within a range."""

from typing import Any

import click

from sweep.spec.kinds import Range
from sweep.spec.options import AUTO


class Number(click.ParamType):  # type: ignore[type-arg]  # no generic before click 8.2
    """A number within a `Range`, or a word that stands for a value: ``auto`` for None, ``all`` for the largest."""

    name = "number"

    def __init__(self, allowed: Range, word: str | None = None) -> None:
        self.allowed, self.word = allowed, word

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value, or raise click's error, which names the option."""
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
        """Return how the help shows the value: ``N``, ``X`` or ``N|auto``."""
        word = self.word or self.allowed.word
        return ("N" if self.allowed.whole else "X") + (f"|{word}" if word else "")


class Numbers(click.ParamType):  # type: ignore[type-arg]  # no generic before click 8.2
    """Several numbers within a `Range`, separated by commas."""

    name = "numbers"

    def __init__(self, allowed: Range) -> None:
        self.allowed = allowed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value, or raise click's error, which names the option."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(self.allowed.convert(v.strip()) for v in str(value).split(","))
        except (ValueError, OverflowError):
            self.fail(f"{str(value)[:80]!r} is not {self.allowed}, or several, separated by commas.", param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return how the help shows the value: ``N,N,...`` or ``X,X,...``."""
        return "N,N,..." if self.allowed.whole else "X,X,..."
