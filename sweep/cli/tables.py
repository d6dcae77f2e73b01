"""Tables as the commands print them."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.results.results import Results
from sweep.results.status import is_known
from sweep.text import duration

if TYPE_CHECKING:
    import pandas as pd


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
            f"the probe was right about {int(agree.sum())} (more: sweep compare {results.files.location})"
        )
    lines += _boundary_lines(results)
    lines += ["", f"results   {results.files.location}", f"picture   {picture}"]
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
