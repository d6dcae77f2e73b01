"""What the live view shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sweep.monitor.estimator import Estimator
from sweep.monitor.tally import Tally
from sweep.spec.experiment import Experiment
from sweep.storage.heartbeat import Running, Sign
from sweep.text import duration, printable

if TYPE_CHECKING:
    from sweep.model.estimate import Outline

_RECENT = 60  # points


@dataclass(frozen=True)
class View:
    """What there is to be seen of a sweep."""

    location: str = ""
    about: str = ""
    total: int = 0
    done: int = 0
    failed: int = 0
    last_error: str = ""
    running: Sequence[Running] = ()
    rate: float = 0.0  # points a second
    elapsed: float = 0.0  # seconds
    note: str = ""  # what is being waited for
    trouble: str = ""  # why nothing can be stored
    found: Sequence[str] = ()  # what the estimate says, the most important first
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # of what goes across, and up
    depths: tuple[int, int] | None = None
    outline: "Outline | None" = None
    recent: Sequence[tuple[float, float, bool]] = ()  # points that came in last: across, up, trainable

    @property
    def left(self) -> int:
        """Return how many points are missing."""
        return max(0, self.total - self.done - self.failed)

    @property
    def eta(self) -> str:
        """Return how long it will take."""
        return duration(self.left / self.rate) if self.rate and self.left else ("?" if self.left else "0 s")


def view_of(spec: Experiment, location: str, total: int, tally: Tally, estimator: Estimator, sign: Sign) -> View:
    """Return what there is to be seen of a sweep."""
    across, up = (*spec.free_axes, "", "")[:2]
    recent = tally.told[-_RECENT:] if up else []
    return View(
        location=printable(location),
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
        recent=tuple((getattr(t, across), getattr(t, up), t.margin >= 0) for t in recent),
    )


def speed(rate: float) -> str:
    """Return a rate as it is shown: 2.5 points/s, 7.5 points/min, 3.0 points/h."""
    for unit, seconds in (("s", 1), ("min", 60)):
        if rate * seconds >= 1:
            return f"{rate * seconds:.1f} points/{unit}"
    return f"{3600 * rate:.1f} points/{'h' if rate else 's'}"


def line_of(view: View, width: int | None = None) -> str:
    """Return all of a view in one line, cut to so many columns."""
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
        parts.insert(0, f"WAITING FOR THE STORAGE: {view.trouble}")
    elif view.note and not view.running:
        parts.insert(0, f"{view.note} ...")
    text = "  ".join([*parts, *view.found])
    return text if width is None or len(text) <= width else text[: max(0, width - 1)] + "…"
