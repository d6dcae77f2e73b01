"""The rule that ends a search once the boundary is known well enough."""

from collections.abc import Mapping, Sequence
from typing import Any

from sweep.model.margin import MIN_POINTS, SearchModel
from sweep.spec.experiment import Experiment

_CHECK_GROWTH = 1.05  # the expected error is computed anew when there are this many times more points


class StopRule:
    """Rule that compares the expected error of the boundary with the one that a sweep asks for.

    Parameters
    ----------
    spec:
        The sweep's specification; without ``until_boundary_error`` the rule never applies.
    rows:
        Rows that were measured before.

    Attributes
    ----------
    reached:
        Whether the boundary is known well enough.
    """

    def __init__(self, spec: Experiment, rows: Sequence[Mapping[str, Any]]) -> None:
        self._max_error, self._checked_count = spec.until_boundary_error, 0
        self._model = None if self._max_error is None else SearchModel(spec)
        self.reached = False
        self.tell(rows)

    def tell(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add measured rows, and check the expected error if it is due."""
        if self._model is None or self._max_error is None:
            return
        self._model.tell([r for r in rows if r["status"] != "failed"])
        count = len(self._model.level_set)
        if count >= max(MIN_POINTS, self._checked_count * _CHECK_GROWTH):
            self._checked_count = count
            self.reached = self._model.level_set.expected_error() <= self._max_error
