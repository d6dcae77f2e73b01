"""The status of a sweep: counts, the critical line so far, the last error, what is running."""

from dataclasses import asdict
from typing import Any

from sweep.results.results import Results
from sweep.text import finite, printable


def status(results: Results) -> dict[str, Any]:
    """Return the status of a sweep, running or not, as values that JSON can hold.

    It has the numbers of points (places times replicas), what is being measured on which node, the last error, files
    that were left out or set aside, the critical line so far with the expected error of the boundary, and the
    calibration. If parts of another sweep were copied in, ``surplus`` is the number of points that the sweep does not
    ask for, and ``outside`` that of points outside of its ranges.
    """
    from sweep.spec.design import budget, within
    from sweep.storage.heartbeat import read_sign
    from sweep.storage.lock import is_running

    spec, points = results.spec, results.points
    copies = results.files.spec_copies(spec)
    inside = points[within(spec, points)]
    failed = points[points["status"] == "failed"]
    measured = len(inside) - int((inside["status"] == "failed").sum())
    total = budget(spec) * spec.replicas
    sign = read_sign(copies)
    running = sign.running if sign and sign.is_fresh else ()
    return {
        "total": total,
        "done": min(measured, total),
        "failed": len(failed),
        "running": min(sum(r.points for r in running), max(0, total - len(inside))),
        "surplus": max(0, len(points) - total),
        "outside": len(points) - len(inside),
        "driver": bool(sign and sign.is_fresh) or any(is_running(p.location) for p in copies),
        "nodes": [r._asdict() for r in running],
        "diverged": int((points["status"] == "diverged").sum()),
        "last_error": printable(failed.sort_values("finished")["error"].iloc[-1]) if len(failed) else None,
        "damaged": results.damaged,
        "set_aside": results.store.damaged_files(),
        "boundary_error": finite(results.phase.expected_error),
        "until_boundary_error": spec.until_boundary_error,
        "critical_line": results.phase.critical_line().to_dict("records"),
        "calibration": {**asdict(results.calibration), "sentence": results.calibration_sentence},
    }


def is_accurate_enough(summary: dict[str, Any]) -> bool:
    """Return whether the boundary of a sweep, given its `status`, is known as accurately as the user asked for.

    The error may exceed the limit by half: the last points, still being measured when it was reached, can raise it.
    """
    error, until = summary["boundary_error"], summary["until_boundary_error"]
    return until is not None and error is not None and bool(error <= 1.5 * until)
