"""The live progress line: done, running, failed, points per second, ETA, the critical line so far."""

import math
import sys
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, TextIO

from .spec import SweepSpec
from .store import Store

__all__ = ["Progress", "duration"]

_REDRAW = 0.5  # seconds, on a terminal
_LOG = 10.0  # seconds between lines, elsewhere
_ESTIMATE = 10.0  # seconds between estimates of the critical line, at least; 20 times what one takes, at least


class Progress:
    """Counts what is measured and says so on standard error.

    On a terminal one line is redrawn; elsewhere a line is written every ten seconds. A context manager: on the way
    out the line is ended.
    """

    def __init__(
        self,
        spec: SweepSpec,
        total: int,
        rows: Sequence[dict[str, Any]],
        store: Store,
        *,
        quiet: bool = False,
        stream: TextIO | None = None,
    ) -> None:
        self._spec, self._total, self._store, self._quiet = spec, total, store, quiet
        self._stream = stream or sys.stderr
        self._done = sum(r["status"] != "failed" for r in rows)
        self._failed = len(rows) - self._done
        self._new = self._running = 0
        self._started: float | None = None
        self._drawn = self._next_estimate = -math.inf
        self._found = ""
        self._trouble: str | None = None
        self._estimating = threading.Lock()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._quiet and self._started is not None:
            self._show(final=True)

    def note(self, text: str) -> None:
        """Say what is being waited for."""
        if not self._quiet:
            end = "\r" if self._stream.isatty() else "\n"
            print(f"{text} ...", end=end, file=self._stream, flush=True)

    def start(self, concurrency: int, pack: int) -> None:
        """Begin."""
        self._started = time.monotonic()
        self.note(f"{self._total} points, {concurrency} trial{'s' * (concurrency > 1)} at once, {pack} points a pack")

    def measured(self, rows: Sequence[dict[str, Any]]) -> None:
        """Count new rows."""
        failed = sum(r["status"] == "failed" for r in rows)
        self._failed += failed
        self._done += len(rows) - failed
        self._new += len(rows)

    def refresh(self, running: int, trouble: str | None = None) -> None:
        """Redraw if it is time to; ``running`` points are under way, ``trouble`` is why nothing can be stored."""
        self._running, self._trouble = running, trouble
        wait = _REDRAW if self._stream.isatty() else _LOG
        if not self._quiet and time.monotonic() - self._drawn >= wait:
            self._show()

    def _show(self, final: bool = False) -> None:
        if final:
            self._running = 0
            self._found = ""  # the summary has the last word on it
        else:
            self._estimate()
        self._drawn = time.monotonic()
        if self._stream.isatty():
            print(f"\r\x1b[K{self.line()}", end="\n" if final else "", file=self._stream, flush=True)
        else:
            print(self.line(), file=self._stream, flush=True)

    def line(self) -> str:
        """The progress line."""
        elapsed = time.monotonic() - (self._started or time.monotonic())
        rate = self._new / elapsed if elapsed > 0 else 0.0
        left = self._total - self._done - self._failed
        share = (self._done + self._failed) / max(1, self._total)
        bar = "█" * round(20 * share) + "░" * (20 - round(20 * share))
        eta = duration(left / rate) if rate and left else ("0 s" if not left else "?")
        parts = [
            f"{bar} {self._done}/{self._total} done",
            f"{self._running} running",
            f"{self._failed} failed",
            f"{rate:.1f} points/s",
            f"ETA {eta}",
        ]
        if self._trouble:
            parts.append(f"WAITING FOR THE STORAGE: {self._trouble}")
        return "  ".join([*parts, self._found]).rstrip()

    def _estimate(self) -> None:
        """Now and then, in a thread: it costs a fraction of a second."""
        if self._new and time.monotonic() >= self._next_estimate and self._estimating.acquire(blocking=False):
            threading.Thread(target=self._look, name="estimate", daemon=True).start()

    def _look(self) -> None:
        """The critical line at the middle of the sigma_b range."""
        from .estimate import PhaseModel
        from .frame import load_points

        started = time.monotonic()
        try:
            phase = PhaseModel(self._spec, load_points(self._store))
            line = phase.critical_line()
            found = ""
            if len(line):
                at = line.iloc[len(line) // 2]
                found = f"critical σw({at.sigma_b:.2f}) = {at.sigma_w:.2f} [{at.lower:.2f}, {at.upper:.2f}]  "
            if phase.enough and self._spec.until_boundary_error is not None:
                found += f"boundary error {100 * phase.expected_error:.2g} %"
            self._found = found
        except Exception:  # an ornament: whatever is wrong with it must not stop the sweep
            pass
        finally:
            now = time.monotonic()
            self._next_estimate = now + max(_ESTIMATE, 20 * (now - started))
            self._estimating.release()


def duration(seconds: float) -> str:
    """12 s, 3 min 20 s, 2 h 05 min."""
    s = round(seconds)
    if s < 60:
        return f"{s} s"
    if s < 3600:
        return f"{s // 60} min {s % 60:02d} s"
    return f"{s // 3600} h {s % 3600 // 60:02d} min"
