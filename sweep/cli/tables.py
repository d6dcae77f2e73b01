"""Tables that `sweep run` and `sweep status` print."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.results.results import Results
from sweep.results.status import is_accurate_enough
from sweep.text import duration

if TYPE_CHECKING:
    import pandas as pd


def status_text(summary: dict[str, Any]) -> str:
    """Return the summary of a sweep as `sweep status` prints it."""
    lines = [f"{summary['done']} of {summary['total']} done, {summary['running']} running, {summary['failed']} failed"]
    if summary["nodes"]:
        on = (f"{r['trials']} x {r['kind'].upper()} on {r['host'] or 'a node yet to come'}" for r in summary["nodes"])
        lines.append(f"trials: {', '.join(on)}")
    if (
        not summary["driver"]
        and summary["done"] + summary["failed"] < summary["total"]
        and not is_accurate_enough(summary)
    ):
        lines.append("no driver is running")
    if summary["diverged"]:
        lines.append(f"{summary['diverged']} of the networks diverged (they are measured: they retain nothing)")
    if summary["last_error"]:
        lines.append(f"last error: {summary['last_error']}")
    if summary["surplus"] or summary["outside"]:
        lines.append(_foreign_text(summary))
    lines += [f"left out: {name}: {reason}" for name, reason in summary["damaged"].items()]
    if summary["set_aside"]:
        lines.append(f"set aside before: {', '.join(summary['set_aside'])}")
    if summary["boundary_error"] is not None:
        lines.append(_error_text(summary))
    if calibrated := summary["calibration"]["sentence"]:
        lines.append(calibrated)
    if summary["critical_line"]:
        lines += ["critical line:", f"{'sigma_b':>9}{'sigma_w':>9}   90 % interval"]
        lines += [
            f"{r['sigma_b']:>9.3f}{r['sigma_w']:>9.3f}   {r['lower']:.3f} to {r['upper']:.3f}"
            for r in summary["critical_line"][::3]
        ]
    else:
        lines.append("critical line: too few points yet")
    return "\n".join(lines)


def _foreign_text(summary: dict[str, Any]) -> str:
    counts = ((summary["surplus"], "more than this sweep asks for"), (summary["outside"], "outside of its ranges"))
    found = ", ".join(f"{count} {what}" for count, what in counts if count)
    return f"stored points: {found}; parts of another sweep are among its own"


def _error_text(summary: dict[str, Any]) -> str:
    text = f"boundary: {100 * summary['boundary_error']:.2g} % of the range is expected to be on its wrong side"
    if (until := summary["until_boundary_error"]) is not None:
        text += f" (the sweep stops at {100 * until:.2g} %)"
    return text


def table(results: Results, seconds: float, picture: Path | None) -> str:
    """Return the closing table of a sweep: counts, boundary and critical line beside theory, time, files."""
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
            f"uncalibrated, the probe was right about {int(agree.sum())} (more: sweep compare {results.files.location})"
        )
    if calibrated := results.calibration_sentence:
        lines.append(calibrated)
    lines += _boundary_lines(results)
    lines += ["", f"results   {results.files.location}", *([f"picture   {picture}"] if picture else [])]
    return "\n".join(lines)


def _boundary_lines(results: Results) -> list[str]:
    boundary = results.middle_boundary
    if not len(boundary):
        return ["too few points, or a fixed sigma_w: no boundary"]
    depths = sorted(boundary["depth"].unique())
    lines = ["", "trainable band of sigma_w at depth".rjust(9 + 20 * len(depths))]
    if further := results.spec.further_at():
        lines[1] += f", at {', '.join(f'{name} = {value:.3g}' for name, value in further.items())}"
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
    """Return a band as ``0.61 to 2.20``; an end outside the range is open."""
    lower, upper = (None if math.isnan(row[k]) else f"{row[k]:.2f}" for k in ("lower", "upper"))
    if lower is None and upper is None:
        return "all" if row["trainable_share"] > 0.5 else "none"
    return f"{lower or '..'} to {upper or '..'}"
