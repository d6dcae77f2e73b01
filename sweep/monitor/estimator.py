"""The boundary of a running sweep, as it is known so far."""

import math
import random
import threading
import time
from typing import TYPE_CHECKING

from sweep.monitor.tally import Tally, Told
from sweep.spec.experiment import Experiment

if TYPE_CHECKING:
    import pandas as pd

    from sweep.model.estimate import Outline

_ESTIMATE, _SHARE = 2.0, 50  # seconds between estimates, at least, and so many times what one takes
_MOST = 10_000  # points in an estimate


class Estimator:
    """Estimates the boundary now and then, in a thread: an ornament, whose faults stop nothing."""

    def __init__(self, spec: Experiment, tally: Tally) -> None:
        self._spec, self._tally = spec, tally
        self._known, self._next = 0, -math.inf
        self._busy = threading.Lock()
        self.outline: Outline | None = None
        self.found: list[str] = []
        self.error = math.nan

    def look(self) -> None:
        """Start an estimate if there is reason to, and it is time."""
        new = len(self._tally.told) > self._known and time.monotonic() >= self._next
        if new and self._busy.acquire(blocking=False):
            threading.Thread(target=self._work, name="estimate", daemon=True).start()

    def _work(self) -> None:
        started = time.monotonic()
        try:
            self.estimate()
        except Exception:
            pass
        finally:
            now = time.monotonic()
            self._next = now + max(_ESTIMATE, _SHARE * (now - started))
            self._busy.release()

    def estimate(self) -> None:
        """Estimate the boundary here and now."""
        import pandas as pd

        from sweep.model.estimate import PhaseModel

        told = self._tally.told[:]
        self._known = len(told)
        if len(told) > _MOST:
            told = random.Random(self._spec.seed).sample(told, _MOST)
        points = pd.DataFrame(told, columns=list(Told._fields)).astype({k: float for k in ("accuracy", "chance")})
        phase = PhaseModel(self._spec, points)
        self.outline, self.error = phase.outline(), phase.expected_error
        self.found = self._said(phase.critical_line([float(phase.sigma_b[len(phase.sigma_b) // 2])]))

    def _said(self, line: "pd.DataFrame") -> list[str]:
        """Say where the critical line is, and how well the boundary is known."""
        said = [
            f"critical σw({at.sigma_b:.2f}) = {at.sigma_w:.2f} [{at.lower:.2f}, {at.upper:.2f}]"
            for at in line.itertuples()
        ]
        until = self._spec.until_boundary_error
        if math.isfinite(self.error):
            goal = f" (until {100 * until:.2g} %)" if until is not None else ""
            said.append(f"boundary error {100 * self.error:.2g} %{goal}")
        return said
