"""What is known of a place."""

import math
from collections.abc import Mapping
from typing import Any

from sweep.levelset.sampler import CENSORED
from sweep.spec.design import Place

Row = Mapping[str, Any]


class Outcome:
    """What is known of a place: sums over its replicas, since a sweep may have a hundred thousand places."""

    __slots__ = ("accuracy", "again", "censored", "chance", "margin", "measured", "number", "seeds", "trained")

    def __init__(self, number: int | None = None) -> None:
        self.number = number  # of its trial in the study; -1 if it can have none
        self.seeds: tuple[int, ...] = ()  # that have a row
        self.again: tuple[int, ...] = ()  # that failed and are to be measured once more
        self.measured = self.trained = 0  # of them, those that have a margin, an accuracy
        self.margin = self.accuracy = self.chance = 0.0
        self.censored = False

    def add(self, row: Row) -> bool:
        """Take in a replica, once; return whether it was new."""
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
        """Return what the sampler is told: means over the replicas; nothing if none could be measured."""
        if not self.measured:
            return {}
        means: dict[str, Any] = {"margin": self.margin / self.measured}
        if self.censored:
            means[CENSORED] = True
        if self.trained:
            means |= {"accuracy": self.accuracy / self.trained, "chance": self.chance / self.trained}
        return means


def place_of(values: Mapping[str, Any]) -> Place:
    """Return the place of a row, or of the parameters of a trial."""
    return float(values["sigma_w"]), float(values["sigma_b"]), int(values["depth"])
