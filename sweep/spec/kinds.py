"""Kinds of values of options, with their conversion and their error messages."""

import math
import os
import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Protocol

from sweep.errors import SpecError


class Kind(Protocol):
    """A kind of value of an option."""

    def check(self, name: str, value: Any) -> Any:
        """Return the value, converted; raises a `SpecError` that names the option if it is not allowed."""


@dataclass(frozen=True)
class Range:
    """A number within [low, high] (above ``low`` only, if ``above``), whole if ``whole``; or the ``word``, if any."""

    low: float
    high: float
    whole: bool = True
    above: bool = False
    word: str | None = None

    def __str__(self) -> str:
        word = f"{self.word} or " if self.word else ""
        kind = "a whole number" if self.whole else "a number"
        start = "above" if self.above else "from"
        end = "and up to" if self.above else "to"
        return f"{word}{kind} {start} {self.low:.15g} {end} {self.high:.15g}"

    def convert(self, value: Any) -> Any:
        """Return the value as int or float, from a string or a number, or the word; otherwise raises ValueError."""
        if self.word is not None and value == self.word:
            return self.word
        if isinstance(value, bool):
            raise ValueError(value)
        number: float = int(value) if isinstance(value, str) and self.whole else float(value)
        if not math.isfinite(number) or not self.low <= number <= self.high or (self.above and number == self.low):
            raise ValueError(value)
        if self.whole and number != int(number):
            raise ValueError(value)
        return int(number) if self.whole else float(number)

    def check(self, name: str, value: Any) -> Any:
        """Return the value as int or float, or the word; raises a `SpecError` if it is not allowed."""
        try:
            return self.convert(value)
        except (ValueError, TypeError, OverflowError):
            raise SpecError(f"`{name}` must be {self}, got {value!r}") from None


@dataclass(frozen=True)
class Interval:
    """Two numbers, LO and HI, each within a range; equal ones fix an axis."""

    each: Range

    def check(self, name: str, value: Any) -> tuple[Any, Any]:
        """Return the two numbers; raises a `SpecError` if they are not allowed."""
        try:
            low, high = value
        except (TypeError, ValueError):
            raise SpecError(f"`{name}` must be two numbers, LO and HI, got {value!r}") from None
        low, high = self.each.check(name, low), self.each.check(name, high)
        if low > high:
            raise SpecError(f"`{name}` must be LO HI with LO <= HI, got {low:g} {high:g}")
        return low, high


@dataclass(frozen=True)
class Numbers:
    """Up to ``max_count`` numbers, each within a range, all different if ``different``."""

    each: Range
    max_count: int
    different: bool = False

    def check(self, name: str, value: Any) -> tuple[Any, ...]:
        """Return the numbers; raises a `SpecError` if they are not allowed."""
        if not isinstance(value, list | tuple) or not 1 <= len(value) <= self.max_count:
            raise SpecError(f"`{name}` must be 1 to {self.max_count} numbers, got {value!r}")
        numbers = tuple(self.each.check(name, v) for v in value)
        if self.different and len(set(numbers)) < len(numbers):
            raise SpecError(f"`{name}` must be different numbers, got {', '.join(map(str, numbers))}")
        return numbers


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def check(self, name: str, value: Any) -> str:
        """Return the word; raises a `SpecError` if it is none of them."""
        if value not in self.words:
            raise SpecError(f"`{name}` must be one of {', '.join(self.words)}, got {value!r}")
        return str(value)


@dataclass(frozen=True)
class Text:
    """A text; the help shows ``metavar`` in its place."""

    metavar: str

    def check(self, name: str, value: Any) -> str:
        """Return the text; raises a `SpecError` if it is none, or empty."""
        if not isinstance(value, str) or not value or "\0" in value:
            raise SpecError(f"`{name}` must be a non-empty text, got {value!r}")
        return value


_HOST_AND_PORT = re.compile(
    r"(\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)):(?P<port>[0-9]{1,5})"
)
_INSTEAD = {  # of addresses that mean something else to Ray
    "ray": "Ray's client is not supported; run the sweep on a node of the cluster, with auto",
    "http": "a dashboard takes jobs; submit `sweep run --address auto` by `ray job submit`",
    "https": "a dashboard takes jobs; submit `sweep run --address auto` by `ray job submit`",
}


@dataclass(frozen=True)
class Address(Text):
    """The address of a Ray cluster."""

    metavar: str = "ADDRESS"

    def __str__(self) -> str:
        return "auto, local or HOST:PORT of the head's GCS, such as 10.0.0.1:6379"

    def check(self, name: str, value: Any) -> str:
        """Return the address; raises a `SpecError` if it is malformed."""
        text = super().check(name, value)
        if text in ("auto", "local"):
            return text
        if not self._is_host_and_port(text):
            scheme, _, rest = text.partition("://")
            instead = f": {_INSTEAD[scheme]}" if rest and scheme in _INSTEAD else ""
            raise SpecError(f"`{name}` must be {self}, got {text[:100]!r}{instead}")
        return text

    @staticmethod
    def _is_host_and_port(text: str) -> bool:
        found = _HOST_AND_PORT.fullmatch(text)
        if not found or not 0 < int(found["port"]) < 2**16:
            return False
        host = found["ipv6"] or found["host"]
        try:
            return bool(re.search("[A-Za-z]", host) and not found["ipv6"]) or bool(ip_address(host))
        except ValueError:
            return False


def expanded(path: str | os.PathLike[str]) -> str:
    """Return a path with ``~`` and ``~user`` at its start replaced by the home directory, as a shell does it.

    Raises
    ------
    SpecError
        There is no such user, or the path begins with a variable, which only a shell replaces.
    """
    text = os.path.expanduser(path)
    if text.startswith("~"):
        raise SpecError(f"{text!r} cannot be used: there is no such user; ./~ begins a name with a tilde")
    if text.startswith("$"):
        raise SpecError(f"{text!r} cannot be used: variables are not replaced here; write ~ or the whole path")
    return text


_UNITS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}


@dataclass(frozen=True)
class Duration:
    """A time, as ``90m``, ``3h`` or ``1d12h30m``."""

    def __str__(self) -> str:
        return "a duration, such as 90m, 3h or 1d12h"

    def check(self, name: str, value: Any) -> str:
        """Return the text; raises a `SpecError` if it is no duration."""
        if not isinstance(value, str) or not seconds_of(value):
            raise SpecError(f"`{name}` must be {self}, got {value!r}")
        return value


def seconds_of(duration: str) -> int:
    """Return the seconds of a `Duration`; 0 if it is none."""
    if not re.fullmatch(r"(\d{1,9}d)?(\d{1,9}h)?(\d{1,9}m)?(\d{1,9}s)?", duration, re.ASCII):
        return 0
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([dhms])", duration, re.ASCII))


@dataclass(frozen=True)
class Flag:
    """Yes or no."""

    def check(self, name: str, value: Any) -> bool:
        """Return the value; raises a `SpecError` if it is neither true nor false."""
        if not isinstance(value, bool):
            raise SpecError(f"`{name}` must be true or false, got {value!r}")
        return value
