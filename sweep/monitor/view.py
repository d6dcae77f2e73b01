"""The state of a sweep as the live view shows it, and the same in a line of text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sweep.model.calibration import expected
from sweep.monitor.estimator import Estimator
from sweep.monitor.tally import MeasuredPoint, Tally
from sweep.spec.experiment import Experiment
from sweep.storage.heartbeat import Running, Sign
from sweep.text import duration, printable

if TYPE_CHECKING:
    from sweep.model.estimate import Outline

_MAX_RECENT_POINTS = 60


@dataclass(frozen=True)
class View:
    """The state of a sweep at one moment, as it is shown.

    Attributes
    ----------
    location:
        The sweep's directory or URI.
    about:
        Data set, network and search, in short.
    total, done, failed:
        Numbers of points: all, measured, failed.
    last_error:
        The error of the point that failed last.
    running:
        The running trials, by node and kind.
    rate:
        Points measured per second, recently.
    elapsed:
        Seconds since the driver started.
    note:
        What the driver is waiting for.
    trouble:
        What work waits for, if it does, and why.
    estimates:
        Texts that say where the critical line is and how well the boundary is known, most important first.
    ranges:
        Range of the axis across and of the axis up, by name; fewer than two if there is no phase diagram.
    log_axes:
        Names of the axes that are shown on a log scale.
    depths:
        The smallest and the largest depth of the sweep.
    outline:
        The phase diagram by the last estimate.
    recent:
        The points measured last: value across, value up, whether predicted trainable.
    """

    location: str = ""
    about: str = ""
    total: int = 0
    done: int = 0
    failed: int = 0
    last_error: str = ""
    running: Sequence[Running] = ()
    rate: float = 0.0
    elapsed: float = 0.0
    note: str = ""
    trouble: str = ""
    estimates: Sequence[str] = ()
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    log_axes: frozenset[str] = frozenset()
    depths: tuple[int, int] | None = None
    outline: "Outline | None" = None
    recent: Sequence[tuple[float, float, bool]] = ()

    @property
    def left(self) -> int:
        """The number of points still to be measured."""
        return max(0, self.total - self.done - self.failed)

    @property
    def eta(self) -> str:
        """The time until all points are measured at the recent speed, as text; "?" if that is unknown."""
        return duration(self.left / self.rate) if self.rate and self.left else ("?" if self.left else "0 s")


def view_of(spec: Experiment, location: str, total: int, tally: Tally, estimator: Estimator, sign: Sign) -> View:
    """Return the current state of a sweep, for display.

    The counts come from the tally, the boundary from the estimator, and what is running from the driver's sign of life.
    """
    across, up = (*spec.free_axes, "", "")[:2]

    def value(point: MeasuredPoint, axis: str) -> float:
        further = dict(zip(spec.further_names, point.further, strict=True))
        return further[axis] if axis in further else getattr(point, axis)

    recent = tally.measured[-_MAX_RECENT_POINTS:] if up else []
    good = expected([p.margin for p in recent], [bool(p.margin_censored) for p in recent]) >= estimator.shift
    return View(
        location=printable(location),
        about=printable(f"{spec.dataset.rpartition('/')[2]} · {' '.join(spec.network_words)} · {spec.search}"),
        total=total,
        done=min(tally.done, total),  # parts of another sweep may have been copied in
        failed=tally.failed,
        last_error=tally.last_error,
        running=tuple(sign.running),
        rate=sign.rate,
        elapsed=sign.elapsed,
        note=sign.note,
        trouble=sign.trouble,
        estimates=estimator.estimates,
        ranges={a: spec.range_of(a) for a in (across, up) if a},
        log_axes=frozenset(name for name, axis in spec.axes.items() if axis.log),
        depths=spec.depth,
        outline=estimator.outline,
        recent=tuple((value(p, across), value(p, up), g) for p, g in zip(recent, good.tolist(), strict=True)),
    )


def speed(rate: float) -> str:
    """Return a rate, in points per second, as text: 2.5 points/s, 7.5 points/min, 3.0 points/h."""
    for unit, seconds in (("s", 1), ("min", 60)):
        if rate * seconds >= 1:
            return f"{rate * seconds:.1f} points/{unit}"
    return f"{3600 * rate:.1f} points/{'h' if rate else 's'}"


def line_of(view: View, width: int | None = None) -> str:
    """Return a view as one line of text, cut to ``width`` columns if that is given."""
    share = min(1.0, (view.done + view.failed) / max(1, view.total))
    bar = "█" * round(20 * share) + "░" * (20 - round(20 * share))
    parts = [
        f"{bar} {view.done}/{view.total} done",
        f"{sum(r.points for r in view.running)} running",
        f"{view.failed} failed",
    ]
    if view.rate:
        parts += [speed(view.rate), f"ETA {view.eta}"]
    if view.trouble:
        parts.insert(0, view.trouble)
    elif view.note and not view.running:
        parts.insert(0, f"{view.note} ...")
    text = "  ".join([*parts, *view.estimates])
    return text if width is None or len(text) <= width else text[: max(0, width - 1)] + "…"
