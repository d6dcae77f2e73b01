"""When a search has found out enough."""

from collections.abc import Mapping, Sequence
from typing import Any

from sweep.model.margin import MIN_POINTS, SearchModel
from sweep.spec.experiment import Experiment

_EVERY = 1.05  # the boundary's error is worked out anew when there are this many times more points


class StopRule:
    """Says when the boundary is known as well as the spec of a sweep asks for.

    Attributes
    ----------
    reached:
        Whether it is.
    """

    def __init__(self, spec: Experiment, rows: Sequence[Mapping[str, Any]]) -> None:
        self._enough, self._looked_at = spec.until_boundary_error, 0
        self._model = None if self._enough is None else SearchModel(spec)
        self.reached = False
        self.tell(rows)

    def tell(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take in measured rows."""
        if self._model is None or self._enough is None:
            return
        self._model.tell([r for r in rows if r["status"] != "failed"])
        count = len(self._model.level_set)
        if count >= max(MIN_POINTS, self._looked_at * _EVERY):
            self._looked_at = count
            self.reached = self._model.level_set.expected_error() <= self._enough
