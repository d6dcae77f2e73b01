"""The outcome of a place: the results of its replicas, in sums."""

import math
from collections.abc import Mapping
from typing import Any

from sweep.levelset.sampler import CENSORED

Row = Mapping[str, Any]


class Outcome:
    """Results of a place, as sums over its replicas, since a sweep may have a hundred thousand places.

    Parameters
    ----------
    number:
        Number of the place's trial in the study; None if it is not known yet, -1 if there cannot be one.
    """

    __slots__ = ("accuracy", "censored", "chance", "margin", "measured", "number", "retry_seeds", "seeds", "trained")

    def __init__(self, number: int | None = None) -> None:
        self.number = number
        self.seeds: tuple[int, ...] = ()  # seeds that have a row
        self.retry_seeds: tuple[int, ...] = ()  # seeds whose points failed and are to be measured once more
        self.measured = self.trained = 0  # how many replicas have a margin, and how many an accuracy
        self.margin = self.accuracy = self.chance = 0.0
        self.censored = False

    def add(self, row: Row) -> bool:
        """Add the row of a replica unless its seed has one already; return whether it was added."""
        if row["seed"] in self.seeds:
            return False
        self.seeds += (row["seed"],)
        if row["status"] != "failed" and math.isfinite(row["margin"]):
            self._add_measured(row)
        return True

    def _add_measured(self, row: Row) -> None:
        self.measured += 1
        self.margin += row["margin"]
        self.censored |= bool(row["margin_censored"])
        if row.get("accuracy") is not None and math.isfinite(row["accuracy"]):
            self.trained += 1
            self.accuracy += row["accuracy"]
            self.chance += row["chance"]

    @property
    def attributes(self) -> dict[str, Any]:
        """The means over the replicas, as user attributes of the trial; empty if no replica could be measured."""
        if not self.measured:
            return {}
        means: dict[str, Any] = {"margin": self.margin / self.measured}
        if self.censored:
            means[CENSORED] = True
        if self.trained:
            means |= {"accuracy": self.accuracy / self.trained, "chance": self.chance / self.trained}
        return means
