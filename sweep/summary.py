"""What a sweep came to: the status, the closing table, the picture."""

import math
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .frame import Results, finite
from .live import duration
from .spec import SpecError
from .store import printable

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["check_picture", "draw", "is_known", "save_picture", "status", "status_text", "table"]

PICTURE = "phase_diagram.png"
_ENDINGS = (".png", ".pdf", ".svg")


def draw(results: Results, output: str | Path | None = None) -> Path:
    """Draw the phase diagram into a file; its path. That of a sweep at a URI is copied there.

    Raises
    ------
    SpecError
        Another ending than PNG, PDF or SVG, or a file that cannot be written.
    StoreError
        The URI cannot be written.
    """
    from .plots import phase_diagram

    path = Path(output) if output else results.path / PICTURE
    check_picture(path, "output")
    save_picture(phase_diagram(results), path, "output")
    if not output:
        results.home.publish(path)
    return path


def check_picture(path: Path, argument: str) -> None:
    """Refuse a file that would be no picture, before any work is done for it."""
    if path.suffix.lower() not in _ENDINGS:
        raise SpecError(f"`{argument}` must end in {', '.join(_ENDINGS)}, got {str(path)!r}")
    if not path.parent.is_dir():
        raise SpecError(f"`{argument}` {str(path)!r} cannot be written: there is no folder {str(path.parent)!r}")


def save_picture(figure: "Figure", path: Path, argument: str) -> None:
    """Write it, beside and renamed: a link that stands there is replaced, not followed."""
    from .plots import save

    beside = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        save(figure, beside)
        beside.rename(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise SpecError(f"`{argument}` {str(path)!r} cannot be written: {error.strerror or error}") from None


def status(results: Results) -> dict[str, Any]:
    """Counts of rows (points times replicas), the critical line so far, the last error."""
    from .design import budget
    from .heartbeat import read_sign
    from .lock import is_running

    spec, points = results.spec, results.points
    places = results.home.places(spec)
    failed = points[points["status"] == "failed"]
    total = budget(spec) * spec.replicas
    sign = read_sign(places)
    running = sign.running if sign and sign.is_fresh else ()
    return {
        "total": total,
        "done": len(points) - len(failed),
        "failed": len(failed),
        "running": min(sum(r.points for r in running), total - len(points)),
        "driver": bool(sign and sign.is_fresh) or any(is_running(p.place) for p in places),
        "nodes": [r._asdict() for r in running],
        "diverged": int((points["status"] == "diverged").sum()),
        "last_error": printable(failed.sort_values("finished")["error"].iloc[-1]) if len(failed) else None,
        "damaged": results.store.damaged,
        "set_aside": results.store.aside(),
        "boundary_error": finite(results.phase.expected_error),
        "until_boundary_error": spec.until_boundary_error,
        "critical_line": results.phase.critical_line().to_dict("records"),
    }


def status_text(found: dict[str, Any]) -> str:
    """`status` for people."""
    lines = [f"{found['done']} of {found['total']} done, {found['running']} running, {found['failed']} failed"]
    if found["nodes"]:
        on = (f"{r['trials']} x {r['kind'].upper()} on {r['host'] or 'a node yet to come'}" for r in found["nodes"])
        lines.append(f"trials: {', '.join(on)}")
    if not found["driver"] and found["done"] + found["failed"] < found["total"] and not is_known(found):
        lines.append("no driver is at it")
    if found["diverged"]:
        lines.append(f"{found['diverged']} of the networks diverged (measured: they retain nothing)")
    if found["last_error"]:
        lines.append(f"last error: {found['last_error']}")
    lines += [f"left out: {name}: {reason}" for name, reason in found["damaged"].items()]
    if found["set_aside"]:
        lines.append(f"set aside before: {', '.join(found['set_aside'])}")
    if found["boundary_error"] is not None:
        lines.append(_error_text(found))
    if found["critical_line"]:
        lines += ["critical line:", f"{'sigma_b':>9}{'sigma_w':>9}   90 % interval"]
        lines += [
            f"{r['sigma_b']:>9.3f}{r['sigma_w']:>9.3f}   {r['lower']:.3f} to {r['upper']:.3f}"
            for r in found["critical_line"][::3]
        ]
    else:
        lines.append("critical line: too few points yet")
    return "\n".join(lines)


def is_known(found: dict[str, Any]) -> bool:
    """Whether a sweep has stopped since its boundary is known as well as was asked for.

    The points that were under way then may have moved the error a little.
    """
    error, until = found["boundary_error"], found["until_boundary_error"]
    return until is not None and error is not None and bool(error <= 1.5 * until)


def _error_text(found: dict[str, Any]) -> str:
    text = f"boundary: {100 * found['boundary_error']:.2g} % of the range is expected to be on its wrong side"
    if (until := found["until_boundary_error"]) is not None:
        text += f" (the sweep stops at {100 * until:.2g} %)"
    return text


def table(results: Results, seconds: float, picture: Path) -> str:
    """The closing table: points, failures, boundary and critical line against theory, time, files."""
    points = results.points
    counts = points["status"].value_counts()
    lines = [
        "",
        f"{len(points)} points: {counts.get('ok', 0)} ok, {counts.get('diverged', 0)} diverged, "
        f"{counts.get('failed', 0)} failed; {duration(seconds)}",
    ]
    trained = points["trainable"].dropna()
    if len(trained):
        agree = (points.loc[trained.index, "margin"] >= 0) == trained.astype(bool)
        lines.append(
            f"{len(trained)} trained, {int(trained.sum())} of them above the level of {results.level:.2f}; "
            f"the probe was right about {int(agree.sum())} (more: sweep compare {results.home.place})"
        )
    lines += _boundary_lines(results)
    lines += ["", f"results   {results.home.place}", f"picture   {picture}"]
    return "\n".join(lines)


def _boundary_lines(results: Results) -> list[str]:
    boundary = results.boundary
    if not len(boundary):
        return ["too few points, or a fixed sigma_w: no boundary"]
    depths = sorted(boundary["depth"].unique())
    lines = ["", "trainable band of sigma_w at depth".rjust(9 + 20 * len(depths))]
    lines.append(f"{'sigma_b':>9}" + "".join(f"{d:>20}" for d in depths) + f"{'critical sigma_w':>26}{'theory':>8}")
    for b in sorted(boundary["sigma_b"].unique())[::4]:
        rows = boundary[boundary["sigma_b"] == b].set_index("depth")
        bands = "".join(f"{_band(rows.loc[d]):>20}" for d in depths)
        first = rows.iloc[0]
        critical = f"{first.critical:.2f} [{first.critical_5:.2f}, {first.critical_95:.2f}]"
        theory = "-" if math.isnan(first.theory) else f"{first.theory:.2f}"
        lines.append(f"{b:>9.3f}{bands}{critical:>26}{theory:>8}")
    return lines


def _band(row: "pd.Series") -> str:
    """``0.61 to 2.20``; an end that is not within the range is open."""
    lower, upper = (None if math.isnan(row[k]) else f"{row[k]:.2f}" for k in ("lower", "upper"))
    if lower is None and upper is None:
        return "all" if row["trainable_share"] > 0.5 else "none"
    return f"{lower or '..'} to {upper or '..'}"
