"""A measured figure beside its bar, and how times are taken."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

ROUNDS = 3


@dataclass(frozen=True)
class Figure:
    """One line of a benchmark: what was measured, and the bar it is held to, if there is one.

    ``at_least`` says whether the bar is a lower bound.
    """

    name: str
    value: float
    unit: str
    bar: float | None = None
    at_least: bool = True

    @property
    def met(self) -> bool | None:
        """Return whether the bar is met; None without one."""
        if self.bar is None:
            return None
        return self.value >= self.bar if self.at_least else self.value <= self.bar

    def __str__(self) -> str:
        text = f"  {self.name:<72}{self.value:>10.4g} {self.unit}"
        if self.bar is not None:
            sign = ">=" if self.at_least else "<="
            text = f"{text:<100}{sign} {self.bar:g}: {'met' if self.met else 'MISSED'}"
        return text


def timed(work: Callable[[], Any], device: str) -> float:
    """Return the seconds that work takes, that of a GPU included."""
    if device == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def timed_in_turns(*works: Callable[[], Any], device: str = "cpu", rounds: int | None = None) -> list[float]:
    """Return the best time of each, all of them once a round, after one round that does not count."""
    times = [[timed(work, device) for work in works] for _ in range((rounds or ROUNDS) + 1)]
    return [min(t[i] for t in times[1:]) for i in range(len(works))]


def default_device() -> str:
    """Return the device that is measured: a GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"
