"""Counts, recent speed and the estimated boundary of a running sweep."""

import math
import random
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sweep.monitor.view import View
from sweep.spec.options import AXES
from sweep.spec.spec import SweepSpec
from sweep.storage.heartbeat import Sign
from sweep.text import printable

if TYPE_CHECKING:
    from sweep.model.estimate import Outline

__all__ = ["Estimator", "NEEDED", "Tally", "view"]

_ESTIMATE, _SHARE = 2.0, 50  # seconds between estimates, at least, and so many times what one takes
_MOST = 10_000  # points in an estimate
_RECENT, _FEW = 60.0, 8  # seconds that are the present, but so many packs at least
_SHOWN = 60  # points that came in last
# Columns of rows, beside those of the point.
NEEDED = ("status", "margin", "margin_censored", "accuracy", "chance", "error", "finished")
_KEY = (*AXES, "seed")
_TOLD = (*_KEY, "margin", "margin_censored", "accuracy", "chance")


class Tally:
    """Counts points, each once, and keeps what an estimate of the boundary wants to know of them."""

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        self.done = self.failed = 0
        self.last_error = ""
        self.told: list[tuple[Any, ...]] = []  # `_TOLD` of every point with a margin, the last one last
        self._failed: dict[tuple[Any, ...], bool] = {}
        self._arrived: deque[tuple[float, int]] = deque()
        self._count(rows)

    def begin(self) -> None:
        """Count from now on how fast points come in."""
        self._arrived.append((time.monotonic(), 0))

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Count rows: once it has begun, as such that have just come in."""
        new = self._count(rows)
        if new and self._arrived:
            now = time.monotonic()
            self._arrived.append((now, new))
            while len(self._arrived) > _FEW and now - self._arrived[0][0] > _RECENT:
                self._arrived.popleft()

    def _count(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Of the rows, those that were not known."""
        new = 0
        for row in sorted(rows, key=lambda r: r.get("finished") or 0.0):
            key, failed = tuple(row[k] for k in _KEY), row["status"] == "failed"
            before = self._failed.get(key)
            if before is False or before is failed:  # of a point that failed and was measured, the measurement counts
                continue
            self._failed[key] = failed
            self.failed += failed - bool(before)
            self.done += not failed
            new += 1
            if failed:
                self.last_error = printable(" ".join(str(row.get("error") or "").split()))
            elif (margin := row.get("margin")) is not None and math.isfinite(margin):
                self.told.append(tuple(row.get(name) for name in _TOLD))
        return new

    @property
    def rate(self) -> float:
        """Points a second, of late."""
        if not self._arrived:
            return 0.0
        arrived = list(self._arrived)
        seconds = time.monotonic() - arrived[0][0]
        return sum(n for _, n in arrived[1:]) / seconds if seconds > 0 else 0.0


class Estimator:
    """Estimates the boundary now and then, in a thread: an ornament, whose faults stop nothing."""

    def __init__(self, spec: SweepSpec, tally: Tally) -> None:
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
        """Estimate it here and now."""
        import pandas as pd

        from sweep.model.estimate import PhaseModel

        told = self._tally.told[:]
        self._known = len(told)
        if len(told) > _MOST:
            told = random.Random(self._spec.seed).sample(told, _MOST)
        points = pd.DataFrame(told, columns=list(_TOLD)).astype({k: float for k in ("accuracy", "chance")})
        phase = PhaseModel(self._spec, points)
        self.outline, self.error = phase.outline(), phase.expected_error
        self.found = self._said(phase.critical_line([float(phase.sigma_b[len(phase.sigma_b) // 2])]))

    def _said(self, line: Any) -> list[str]:
        """The critical line at the middle of the sigma_b range, and how well the boundary is known."""
        said = [
            f"critical σw({at.sigma_b:.2f}) = {at.sigma_w:.2f} [{at.lower:.2f}, {at.upper:.2f}]"
            for at in line.itertuples()
        ]
        until = self._spec.until_boundary_error
        if math.isfinite(self.error):
            goal = f" (until {100 * until:.2g} %)" if until is not None else ""
            said.append(f"boundary error {100 * self.error:.2g} %{goal}")
        return said


def view(spec: SweepSpec, place: str, total: int, tally: Tally, estimator: Estimator, sign: Sign) -> View:
    """What there is to be seen of a sweep."""
    recent = [(dict(zip(_TOLD, t, strict=True)), t[_TOLD.index("margin")] >= 0) for t in tally.told[-_SHOWN:]]
    across, up = (*spec.free_axes, "", "")[:2]
    return View(
        place=printable(place),
        about=printable(f"{spec.dataset.rpartition('/')[2]} · {spec.architecture} {spec.activation} · {spec.search}"),
        total=total,
        done=tally.done,
        failed=tally.failed,
        last_error=tally.last_error,
        running=tuple(sign.running),
        rate=sign.rate,
        elapsed=sign.elapsed,
        note=sign.note,
        trouble=sign.trouble,
        found=estimator.found,
        ranges={a: getattr(spec, a) for a in (across, up) if a},
        depths=spec.depth,
        outline=estimator.outline,
        recent=tuple((p[across], p[up], good) for p, good in recent) if up else (),
    )
