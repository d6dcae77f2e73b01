"""Texts that `sweep compare` and `sweep diff` print."""

import math
from typing import TYPE_CHECKING, Any

from sweep.analysis.difference import LEVEL
from sweep.text import printable

if TYPE_CHECKING:
    from sweep.analysis.compare import Comparison
    from sweep.analysis.difference import Difference


def comparison_text(comparison: "Comparison") -> str:
    """Return the table and the sentences that `sweep compare` prints."""
    info, table = comparison.info, comparison.table
    hard = info["hard_half"]
    lines = [
        f"{info['points']} trained points, {info['trainable']} of them above the level of {info['level']:.3g}; "
        f"hard half: {hard['trainable']} of {hard['points']}",
    ]
    if info["interpolated"]:
        lines.append(f"{info['interpolated']} of them were not probed: their scores are interpolated")
    lines += [
        "",
        f"{'':<22}{'AUC':>22}{'hard half':>22}{'accuracy':>10}{'calibr.':>9}{'best':>6}{'IoU':>19}{'distance':>10}"
        f"{'Brier':>8}",
    ]
    for name, row in table.to_dict("index").items():
        star = "*" if name == comparison.default else ""
        cells = [
            f"{_with_interval(row, 'auc'):>22}",
            f"{_with_interval(row, 'auc_hard'):>22}",
            f"{_number(row['accuracy'], 2):>10}",
            f"{_number(row['accuracy_calibrated'], 2):>9}",
            f"{_number(row['accuracy_best'], 2):>6}",
            f"{_with_interval(row, 'iou', 2):>19}",
            f"{_number(row['distance'], 3):>10}",
            f"{_number(row['brier'], 3):>8}",
        ]
        lines.append(f"{str(name) + star:<22}" + "".join(cells))
    lines += [
        "",
        "* drives the sweep; in brackets 5 % to 95 %; accuracy at the default threshold, at the one calibrated by",
        "these trainings (cross-validated), and at the best one",
    ]
    if "auc_minus_xi_c" in table and comparison.default in table.index:
        difference = _with_interval(dict(table.loc[comparison.default]), "auc_minus_xi_c")
        lines.append(f"AUC of {comparison.default} less that of xi_c: {difference}")
    lines += _reliability_lines(comparison)
    if "truth_iou" in info:
        ours, theirs = info["trained"]
        lines.append(
            f"IoU of the two truths: {_number(info['truth_iou'] or math.nan, 3)} ({ours} and {theirs} trainings)"
        )
    lines.append("")
    training, paper = comparison.cost["training"], comparison.cost["paper"]
    lines.append(f"training: {training['seconds']:.3g} s a point; the paper's protocol: {paper['seconds']:.3g} s")
    for probe in ("direct", "cascade"):
        if probe in comparison.cost:
            c = comparison.cost[probe]
            ratio = c["training_over_probe_flops"]  # unknown where a function of the user makes the networks
            operations = f" ({ratio:.3g} times the operations)" if math.isfinite(ratio) else ""
            lines.append(
                f"{probe}: {c['seconds']:.3g} s a point; training takes {c['training_over_probe_seconds']:.3g} times "
                f"as long{operations}, the paper's protocol {c['paper_over_probe_seconds']:.3g} times"
            )
    return "\n".join(lines)


def _reliability_lines(comparison: "Comparison") -> list[str]:
    """Return a table of predicted probabilities and shares that trained, by the default calibration and a new one."""
    rows = [
        ("by default", comparison.default_reliability),
        ("calibrated", comparison.reliability[comparison.default]),
    ]
    lines = ["", f"probability that a network trains, by {comparison.default}: predicted, observed (networks)"]
    for name, bins in rows:
        shown = [f"{b['predicted']:.2f} {b['observed']:.2f} ({b['points']})" for b in bins if b["points"]]
        lines.append(f"{name:<12}" + "".join(f"{text:>18}" for text in shown))
    return lines


def difference_text(difference: "Difference") -> str:
    """Return the table and the sentences that `sweep diff` prints."""
    a, b = (printable(n) for n in difference.names)
    lines = [f"A  {a}", f"B  {b}"]
    lines += [printable(f"{n}: {x!r} and {y!r}") for n, (x, y) in difference.differs.items()]
    if not len(difference.places):
        return "\n".join([*lines, "", "neither has a boundary in the range that both cover"])
    lines += ["", f"{'depth':>6}{'sigma_b':>9}  {'end':<6}{'A':>8}{'B':>8}{'B - A':>9}{'z':>7}"]
    for r in difference.places.to_dict("records"):
        cells = "".join(f"{_number(r[n], 3):>{k}}" for n, k in (("a", 8), ("b", 8), ("shift", 9)))
        lines.append(f"{r['depth']:>6}{r['sigma_b']:>9.3f}  {r['end']:<6}{cells}{r['z']:>7.1f}")
    interval = ", ".join(_number(shift, 3) for shift in (difference.shift_5, difference.shift_95))
    verdict = "the boundaries differ" if difference.significant else "no difference that could not be chance"
    lines += [
        "",
        f"distance: {_number(difference.distance, 3)} in sigma_w on average, "
        f"{_number(difference.max_distance, 3)} at most",
        f"mean of B - A: {_number(difference.shift, 3)} [{interval}]",
        f"p = {difference.p:.2g}: {verdict} (level {LEVEL:g})",
    ]
    return "\n".join(lines)


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _with_interval(row: dict[Any, Any], name: str, digits: int = 3) -> str:
    if math.isnan(row[name]):
        return "-"
    return f"{row[name]:.{digits}f} [{_number(row[f'{name}_5'], digits)}, {_number(row[f'{name}_95'], digits)}]"
