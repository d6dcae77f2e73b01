"""Repeated estimates of the boundary while a sweep is running."""

import math
import random
import threading
import time
from typing import TYPE_CHECKING

from sweep.monitor.tally import MeasuredPoint, Tally
from sweep.spec.experiment import Experiment

if TYPE_CHECKING:
    import pandas as pd

    from sweep.model.estimate import Outline

# The interval between estimates is at least so many seconds, and so many times the duration of one estimate.
_MIN_INTERVAL_S, _MIN_INTERVAL_RATIO = 2.0, 50
_MAX_POINTS = 10_000  # in an estimate


class Estimator:
    """Estimates of the boundary from the points measured so far, made in a thread of their own.

    They are for display only: an error in one is ignored.

    Attributes
    ----------
    outline:
        The phase diagram by the last estimate; None before the first.
    estimates:
        Texts that say where the critical line is and how well the boundary is known, most important first.
    error:
        The expected error of the boundary, as a fraction of the range; NaN while unknown.
    shift:
        The margin at which the boundary is: 0, until trainings move it.
    """

    def __init__(self, spec: Experiment, tally: Tally) -> None:
        self._spec, self._tally = spec, tally
        self._point_count, self._next_time = 0, -math.inf
        self._busy = threading.Lock()
        self.outline: Outline | None = None
        self.estimates: list[str] = []
        self.error = math.nan
        self.shift = 0.0

    def update(self) -> None:
        """Start an estimate in a thread if there are new points and the last estimate is old enough."""
        due = len(self._tally.measured) > self._point_count and time.monotonic() >= self._next_time
        if due and self._busy.acquire(blocking=False):
            threading.Thread(target=self._work, name="estimate", daemon=True).start()

    def _work(self) -> None:
        started = time.monotonic()
        try:
            self.estimate()
        except Exception:
            pass
        finally:
            now = time.monotonic()
            self._next_time = now + max(_MIN_INTERVAL_S, _MIN_INTERVAL_RATIO * (now - started))
            self._busy.release()

    def estimate(self) -> None:
        """Estimate the boundary now, in the calling thread."""
        import pandas as pd

        from sweep.model.estimate import PhaseModel

        measured = self._tally.measured[:]
        self._point_count = len(measured)
        if len(measured) > _MAX_POINTS:
            measured = random.Random(self._spec.seed).sample(measured, _MAX_POINTS)
        points = pd.DataFrame(measured, columns=list(MeasuredPoint._fields)).astype(
            {k: float for k in ("accuracy", "chance")}
        )
        for i, name in enumerate(self._spec.further_names):
            points[name] = [values[i] for values in points["further"]]
        phase = PhaseModel(self._spec, points)
        self.outline, self.error = phase.outline(), phase.expected_error
        self.estimates = self._texts(phase.critical_line([float(phase.sigma_b[len(phase.sigma_b) // 2])]))
        if phase.has_estimates and phase.calibration.networks:
            self.shift = phase.calibration.shift
            self.estimates.append(f"calibrated by {phase.calibration.networks} trainings")

    def _texts(self, line: "pd.DataFrame") -> list[str]:
        """Return the texts that say where the critical line is and how well the boundary is known."""
        texts = [
            f"critical σw({row.sigma_b:.2f}) = {row.sigma_w:.2f} [{row.lower:.2f}, {row.upper:.2f}]"
            for row in line.itertuples()
        ]
        until = self._spec.until_boundary_error
        if math.isfinite(self.error):
            goal = f" (until {100 * until:.2g} %)" if until is not None else ""
            texts.append(f"boundary error {100 * self.error:.2g} %{goal}")
        return texts
