"""A measured figure beside its target, and functions that measure times."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

ROUNDS = 3  # of measurements, of which the fastest counts


@dataclass(frozen=True)
class Figure:
    """A line of a benchmark: a measured value and its target, if there is one.

    Attributes
    ----------
    name:
        What was measured.
    value:
        The measured value.
    unit:
        Its unit; empty for a pure number.
    bar:
        The target; None if there is none.
    at_least:
        Whether the target is a lower limit; otherwise it is an upper one.
    """

    name: str
    value: float
    unit: str
    bar: float | None = None
    at_least: bool = True

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without a target."""
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
    """Return the seconds that a call takes, including work that it leaves to a GPU."""
    if device == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def timed_in_turns(*works: Callable[[], Any], device: str = "cpu", rounds: int | None = None) -> list[float]:
    """Return the shortest time, in seconds, of each of several calls.

    All calls are made once in each round, so that a change of the machine's speed affects all of them. The first round
    is a warm-up and does not count.
    """
    times = [[timed(work, device) for work in works] for _ in range((rounds or ROUNDS) + 1)]
    return [min(t[i] for t in times[1:]) for i in range(len(works))]


def default_device() -> str:
    """Return the device to measure: "cuda" if there is a GPU, otherwise "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"
