"""The range of a number, its conversion and its error message."""

import math
from dataclasses import dataclass
from typing import Any

from sweep.errors import SpecError


@dataclass(frozen=True)
class Range:
    """What a number may be: within [low, high] (above ``low`` only, if ``above``), whole if ``whole``."""

    low: float
    high: float
    whole: bool = True
    above: bool = False

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        start = "above" if self.above else "from"
        end = "and up to" if self.above else "to"
        return f"{kind} {start} {self.low:.15g} {end} {self.high:.15g}"

    def convert(self, value: Any) -> Any:
        """The value as int or float, from a string or a number; raises ValueError if it is not allowed."""
        if isinstance(value, bool):
            raise ValueError(value)
        number: float = int(value) if isinstance(value, str) and self.whole else float(value)
        if not math.isfinite(number) or not self.low <= number <= self.high or (self.above and number == self.low):
            raise ValueError(value)
        if self.whole and number != int(number):
            raise ValueError(value)
        return int(number) if self.whole else float(number)

    def check(self, name: str, value: Any) -> Any:
        """`convert`, with a `SpecError` that names the argument."""
        try:
            return self.convert(value)
        except (ValueError, TypeError, OverflowError):
            raise SpecError(f"`{name}` must be {self}, got {value!r}") from None
