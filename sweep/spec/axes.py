"""The axes of a sweep: the three that every sweep has, and further ones."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from probes.further import OWN_SETTINGS, RATE
from sweep.errors import SpecError
from sweep.spec.kinds import Range
from sweep.spec.ranges import WIDTH

_FLAGS = ("log", "int")
_MAX_COUNT = 2  # of further axes
_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]{0,39}")
_TAKEN = ("shape", "classes", "replica", "point", "variance")  # that mean something else to a function, or in tables
# Of the axes that are settings of this tool. An argument of the user's function may be any number.
_RANGES = {
    RATE: Range(0, 100, whole=False, above=True),
    "width": WIDTH,
    "residual_scale": Range(0, 100, whole=False),
}
assert {*_RANGES} == {*OWN_SETTINGS}
_REAL = [name for name, allowed in _RANGES.items() if not allowed.whole]
_ANY = {False: Range(-1e9, 1e9, whole=False), True: Range(-1_000_000_000, 1_000_000_000)}


@dataclass(frozen=True)
class Axis:
    """An axis of a sweep, with its range.

    Attributes
    ----------
    name:
        The name, which is that of a column in all tables.
    low, high:
        The ends of the range; equal ones fix the axis.
    log:
        Whether points are spread over it on a log scale.
    whole:
        Whether only whole numbers are taken.
    """

    name: str
    low: float
    high: float
    log: bool = False
    whole: bool = False

    @property
    def ends(self) -> tuple[float, float]:
        """The ends of the range."""
        return self.low, self.high

    @property
    def is_free(self) -> bool:
        """Whether it is searched."""
        return self.low != self.high

    @property
    def middle(self) -> float:
        """The middle of the range, on the scale of the axis."""
        return self.at(0.5)

    @property
    def count(self) -> float:
        """The number of its values, which is infinite unless they are whole or it is fixed."""
        return self.high - self.low + 1 if self.whole else math.inf if self.is_free else 1

    def at(self, share: float) -> float:
        """Return the value that lies at a share of the range, from 0 to 1, on the scale of the axis.

        Whole numbers on a linear scale each have an equal part of the range.
        """
        if self.log:
            value = self.low * (self.high / self.low) ** share
            return min(max(self.typed(value), self.low), self.high)
        if self.whole:
            return self.low + min(int(share * (self.high - self.low + 1)), int(self.high - self.low))
        return self.low + share * (self.high - self.low)

    def spread(self, count: int) -> list[float]:
        """Return different values from end to end of the range, evenly spaced on the scale of the axis.

        They are ``count``, or fewer where the axis has no more.
        """
        shares = [i / max(count - 1, 1) for i in range(count)]
        return sorted({self.at(share) for share in shares})

    def typed(self, value: Any) -> float:
        """Return a value as the type that values of the axis have: the nearest int of a whole one, else float."""
        return round(float(value)) if self.whole else float(value)

    def __str__(self) -> str:
        flags = [flag for flag, is_set in zip(_FLAGS, (self.log, self.whole), strict=True) if is_set]
        return " ".join([self.name, *(repr(end).removesuffix(".0") for end in self.ends), *flags])


def fixed_axes(values: Mapping[str, float]) -> tuple[str, ...]:
    """Return axes, as `Axes` takes them, that are fixed to values; those of whole numbers have only such."""
    return tuple(
        str(Axis(name, value, value, whole=value == int(value) and name not in _REAL)) for name, value in values.items()
    )


def _word(value: Any) -> str:
    """Return a word of an axis, which a program may give as a number."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


@dataclass(frozen=True)
class Axes:
    """Further axes of a sweep, each a text ``NAME LO HI``, with ``log`` and ``int`` behind it if so wished."""

    metavar: str = "NAME LO HI [log] [int]"

    def check(self, name: str, value: Any) -> tuple[str, ...]:
        """Return the axes as texts in one form; raises a `SpecError` if one is not allowed."""
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise SpecError(f"`{name}` must be a list of {self.metavar}, got {value!r}")
        axes = [self.parsed(name, one) for one in value]
        if len(axes) > _MAX_COUNT:
            raise SpecError(f"`{name}` must be given at most {_MAX_COUNT} times, got {len(axes)}")
        if len({axis.name for axis in axes}) < len(axes):
            raise SpecError(f"`{name}` must be given once for each name, got {axes[0].name} twice")
        return tuple(str(axis) for axis in sorted(axes, key=lambda axis: axis.name))

    def parsed(self, name: str, value: Any) -> Axis:
        """Return the axis that a text, or a list of its words, describes; ``name`` is that of the option."""
        if not isinstance(value, str | list | tuple):
            raise SpecError(f"`{name}` must be {self.metavar}, got {value!r}")
        words = value.split() if isinstance(value, str) else [_word(word) for word in value]
        flags = words[3:]
        if len(words) < 3 or len({*flags}) < len(flags) or not {*flags} <= {*_FLAGS}:
            raise SpecError(f"`{name}` must be {self.metavar}, got {' '.join(words)[:200]!r}")
        axis = words[0]
        self._check_name(name, axis)
        if "int" in flags and axis in _REAL:
            raise SpecError(f"`{name}` {axis} must be left without int: it is no whole number")
        whole = "int" in flags or (axis in _RANGES and _RANGES[axis].whole)
        allowed = _RANGES.get(axis, _ANY[whole])
        try:
            low, high = map(allowed.convert, words[1:3])
        except (ValueError, OverflowError):
            raise SpecError(f"`{name}` {axis} must be {allowed}, got {' '.join(words[1:3])[:200]}") from None
        if low > high:
            raise SpecError(f"`{name}` {axis} must be LO HI with LO <= HI, got {low:g} {high:g}")
        if "log" in flags and low <= 0:
            raise SpecError(f"`{name}` {axis} must be above 0 on a log scale, got {low:g}")
        return Axis(axis, low, high, "log" in flags, whole)

    def _check_name(self, name: str, axis: str) -> None:
        from sweep.spec.columns import COLUMNS, SWEEP  # imports pandas, which little else needs

        if not _NAME.fullmatch(axis):
            raise SpecError(f"`{name}` must begin with the name of an axis, got {axis[:80]!r}")
        taken = {SWEEP, *_TAKEN, *(column for table in COLUMNS.values() for column in table)} - {RATE}
        if axis in taken:
            raise SpecError(f"`{name}` must not be named {axis!r}, which is the name of something else")
