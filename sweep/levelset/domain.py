"""An axis of the domain in which a level set is searched."""

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["Axis"]


@dataclass(frozen=True)
class Axis:
    """A real or integer axis from ``low`` to ``high`` (``low < high``), searched on a log scale if ``log``."""

    name: str
    low: float
    high: float
    log: bool = False
    integer: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"`{self.name}` must have low < high, got {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"`{self.name}` must be positive on a log scale, got {self.low}")

    def to_unit(self, values: np.ndarray) -> np.ndarray:
        """Values -> [0, 1]."""
        if self.log:
            return (np.log(values) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (np.asarray(values, dtype=float) - self.low) / (self.high - self.low)

    def from_unit(self, u: np.ndarray) -> np.ndarray:
        """[0, 1] -> values, rounded on an integer axis."""
        if self.log:
            values = np.exp(math.log(self.low) + u * (math.log(self.high) - math.log(self.low)))
        else:
            values = self.low + u * (self.high - self.low)
        values = np.clip(values, self.low, self.high)
        return np.round(values) if self.integer else values
