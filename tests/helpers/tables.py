"""The tables of the READMEs that are written from the code: `python -m tests.helpers.tables` writes them anew.

In a document, a table stands between ``<!-- table: NAME -->`` and ``<!-- end of table -->``. A test in
`tests/unit/test_documents.py` fails where one differs from what the code says today.
"""

import json
import math
import re
from ast import get_docstring, parse
from collections.abc import Callable, Collection, Iterable
from functools import partial

import click
import numpy as np
from scipy.stats import norm

from probes.definition import DEFAULT_STATISTICS
from sweep.analysis.skill import auc, best_threshold, bootstrap_auc, finite_mean
from sweep.analysis.statistics import STATISTICS, score
from sweep.cli.main import main
from sweep.cli.options import SpecOption
from sweep.cli.shared import EXIT_CODES
from sweep.model.calibration import prior_of
from sweep.spec.columns import COLUMNS, UNITS
from sweep.spec.options import AXES
from sweep.spec.spec import SweepSpec
from tests.helpers import DOCUMENTS, ROOT
from tests.study import examples, initialisations, zero_cost
from tests.study.calibrate import accuracies
from tests.study.calibrate import outcomes as outcomes_of
from tests.study.calibrate import reliability as reliability_of
from tests.study.endings import (
    CANDIDATES,
    CHOSEN,
    SELECTION,
    Endings,
    auto,
    best_without,
    endings,
    of_candidate,
    together,
)
from tests.study.sets import FILES, STUDIES, hard_half, studies_for, trained
from tests.study.twice import Pairs, overlap_of_truths, pairs_of, twice_trained

_TABLE = re.compile(r"(<!-- table: (.+?) -->\n).*?(<!-- end of table -->)", re.DOTALL)
_DRAWS = 1000
_RECALIBRATED = ("direct_horizon", "gradient_ratio")  # beside the default
# The default, the cascade as we read it, as published, and theory.
SHORT = ("trainable_depth", "cascade_correlation_horizon", "cascade_cutoff", "xi_c")
_CALIBRATED = ("selection", "evaluation")  # purposes of the sets that a calibration is shown for
_CASCADES = {"mnist": "mnist_epoch"}  # studies with the cascades of another study
_NAMES = {
    "xi_c": "mean field: 6 ξ<sub>c</sub> / depth",
    "chi_1": "mean field: depth × abs(χ<sub>1</sub> - 1)",
    **zero_cost.NAMES,
}
# Commands that need more than their arguments.
_USAGES = {
    "launch": "sweep launch LAUNCHER [options of the job] -- [options of sweep run]",
    "merge": "sweep merge DIR DIR2 -o DIR3",
    "compare": "sweep compare DIR --truth DIR2",
    "advise": "sweep advise FILE.py:FUNCTION",
    "probe": "sweep probe --sigma-w 1.3 --sigma-b 0.2 --depth 30",
    "theory": "sweep theory --sigma-b 0.05 1",
}


def markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""
    head = list(head)
    lines = [
        head,
        ["---"] * len(head),
        *([cell.replace("|", "\\|").replace("``", "`") for cell in row] for row in rows),
    ]
    return "".join("".join(f"| {cell} " if cell else "| " for cell in line) + "|\n" for line in lines)


def commands() -> str:
    """Return every command with the first paragraph of its help."""
    return markdown(
        ("command", "what it does"),
        ((f"`{usage(name)}`", main.commands[name].help.split("\n\n")[0].replace("\n", " ")) for name in main.commands),
    )


def usage(name: str) -> str:
    """Return a command with its arguments: ``sweep merge DIR...``."""
    if name in _USAGES:
        return _USAGES[name]
    arguments = [p for p in main.commands[name].params if isinstance(p, click.Argument)]
    return " ".join(["sweep", name, *(a.human_readable_name.upper() for a in arguments)])


def packages() -> str:
    """Return every package with the first line of its docstring."""
    folders = ["probes", *sorted(f"sweep/{path.parent.name}" for path in (ROOT / "sweep").glob("*/__init__.py"))]
    docstrings = {f: get_docstring(parse((ROOT / f / "__init__.py").read_text())) or "" for f in folders}
    return markdown(("package", "what it is for"), ((f"`{f}`", d.partition("\n")[0]) for f, d in docstrings.items()))


def columns(table: str) -> str:
    """Return every column of a table of results with its meaning."""
    rows = ((f"`{name}`", meaning, UNITS.get(name, "")) for name, meaning in COLUMNS[table].items())
    return markdown(("column", "meaning", "unit"), rows)


def options() -> str:
    """Return every option of `sweep run` with its help, a table for each of the help's sections."""
    context = click.Context(main.commands["run"])
    sections: dict[str, list[tuple[str, str]]] = {}
    for parameter in main.commands["run"].params:
        if (record := parameter.get_help_record(context)) is not None:
            section = parameter.section if isinstance(parameter, SpecOption) else "Other options"
            sections.setdefault(section, []).append((f"`{record[0]}`", record[1]))
    return "\n".join(f"### {title}\n\n" + markdown(("option", "meaning"), rows) for title, rows in sections.items())


def skill(*studies: str, statistics: Collection[str] = STATISTICS) -> str:
    """Return how well statistics tell which networks of a study train: AUC with its interval.

    Where a study has no cascades, they are those of the study that was made for them, of some of its networks.
    """
    spec, cells = SweepSpec(), {}
    for study, file in ((s, STUDIES[n]) for s in studies for n in (_CASCADES.get(s), s) if n):
        points = file.read()
        outcomes = trained(points).to_numpy()
        draws = np.random.default_rng(0).multinomial(len(points), np.full(len(points), 1 / len(points)), _DRAWS)
        cells[study, "points"] = f"{len(points)} ({outcomes.sum()} trained)"
        for name in statistics:
            if name in points:
                whole = np.ones((1, len(points)))
                areas = bootstrap_auc(score(name, points, spec), outcomes, np.concatenate([whole, draws]))
                low, high = np.nanquantile(areas[1:], (0.05, 0.95))
                cells[study, name] = f"{areas[0]:.3f} [{low:.3f}, {high:.3f}]"
    names = {name: f"`{name}`" for name in STATISTICS} | _NAMES | {"points": "networks"}
    rows = ((names[name], *(cells.get((study, name), "") for study in studies)) for name in ("points", *statistics))
    return markdown(("statistic", *(STUDIES[study].title for study in studies)), rows)


def _is_mixed(outcomes: np.ndarray) -> bool:
    """Return whether at least a tenth of the networks have either outcome."""
    return bool(0.1 <= outcomes.mean() <= 0.9)


def predictions(purpose: str) -> str:
    """Return how well the default statistic tells which networks train, in each set of a purpose."""
    spec, skills, rows = SweepSpec(), [], []
    for study in studies_for(purpose):
        points = study.read()
        outcomes, values = trained(points).to_numpy(), score(spec.statistic, points, spec)
        hard = hard_half(study, points)
        skill = [
            auc(values, outcomes),
            auc(values[hard], outcomes[hard]),
            ((values >= 0) == outcomes).mean(),
            best_threshold(values, outcomes)[1],
        ]
        if _is_mixed(outcomes):
            skills.append(skill)
        rows.append((study.title, *skill))
    rows += [("mean", *np.mean(skills, 0)), ("worst", *np.min(skills, 0))]
    head = ("networks", "AUC", "hard half", "right at its own threshold", "at the best threshold")
    return markdown(head, ((str(name), *(f"{value:.3f}" for value in values)) for name, *values in rows))


def rivals() -> str:
    """Return how the AUC of the default statistic differs from that of others, in the sets for evaluation.

    The others are our statistics and the zero-cost scores of the literature. A difference counts if it is significant
    by the standard deviation of a paired bootstrap, at 5 % in all comparisons of the table together (Holm 1979).
    """
    spec = SweepSpec()
    differences: dict[str, dict[str, float]] = {}
    chances: dict[tuple[str, str], float] = {}
    for study in studies_for("evaluation"):
        points = study.read()
        outcomes = trained(points).to_numpy()
        if not _is_mixed(outcomes):
            continue
        counts = np.random.default_rng(0).multinomial(len(points), np.full(len(points), 1 / len(points)), _DRAWS)
        counts = np.concatenate([np.ones((1, len(points))), counts])
        areas = bootstrap_auc(score(spec.statistic, points, spec), outcomes, counts)
        others = {s: score(s, points, spec) for s in STATISTICS if s in points and s != spec.statistic}
        for name, values in (others | zero_cost.read(study, points)).items():
            difference = areas - bootstrap_auc(values, outcomes, counts)
            differences.setdefault(name, {})[study.name] = difference[0]
            chances[name, study.name] = float(2 * norm.sf(abs(difference[0]) / max(difference[1:].std(), 1e-12)))
    significant = set[tuple[str, str]]()
    for i, (pair, chance) in enumerate(sorted(chances.items(), key=lambda item: item[1])):
        if chance > 0.05 / (len(chances) - i):
            break
        significant.add(pair)
    rows = [
        (
            _NAMES.get(name, f"`{name}`"),
            f"{np.mean([*by_set.values()]):+.3f}",
            *(
                ", ".join(f"`{s}`" for s, d in by_set.items() if sign * d > 0 and (name, s) in significant)
                for sign in (1, -1)
            ),
        )
        for name, by_set in sorted(differences.items(), key=lambda item: np.mean([*item[1].values()]))
    ]
    head = ("statistic", "AUC of the default less its own, mean", "the default is better", "the default is worse")
    return markdown(head, rows)


def reliability() -> str:
    """Return how often networks train over how often the default calibration says so, for both purposes of sets."""
    statistic, cells = DEFAULT_STATISTICS["direct"], dict[str, list[str]]()
    for purpose in _CALIBRATED:
        judged = outcomes_of(statistic, purpose)
        for i, row in enumerate(reliability_of(judged, [prior_of(statistic)] * len(judged))):
            name = f"{i / 5:.1f} to {(i + 1) / 5:.1f}"
            shown = [f"{row[k]:.2f}" if row["points"] else "" for k in ("predicted", "observed")]
            cells.setdefault(name, []).extend([*shown, str(row["points"])])
    head = ["probability", *(f"{name}, {p}" for p in _CALIBRATED for name in ("predicted", "trained", "networks"))]
    return markdown(head, ([name, *row] for name, row in cells.items()))


def recalibration() -> str:
    """Return the accuracy on sets for evaluation before and after a calibration by 12 trainings."""
    statistics = (DEFAULT_STATISTICS["direct"], *_RECALIBRATED)
    cells: dict[str, dict[str, np.ndarray]] = {}
    for statistic in statistics:
        for each in outcomes_of(statistic, "evaluation"):
            found = np.array(list(accuracies(each, prior_of(statistic))))
            cells.setdefault(each.name, {})[statistic] = found.mean(0)
    rows = [
        (f"`{name}`", *("" if s not in row else f"{row[s][i]:.3f}" for s in statistics for i in (0, 1)))
        for name, row in cells.items()
    ]
    means = [np.mean([row[s] for row in cells.values() if s in row], axis=0) for s in statistics]
    rows.append(("**mean**", *(f"**{mean[i]:.3f}**" for mean in means for i in (0, 1))))
    head = ["set", *(f"`{statistic}`{when}" for statistic in statistics for when in ("", ", after 12"))]
    return markdown(head, rows)


def sets() -> str:
    """Return the sets of the study that have a file."""
    rows = []
    for study in map(STUDIES.__getitem__, FILES):
        spec, points = study.spec, study.read()
        ranges = (" to ".join(dict.fromkeys(f"{v:g}" for v in getattr(spec, axis))) for axis in AXES)
        share = f"{trained(points).mean():.0%}".replace("%", " %")
        rows.append((f"`{study.name}`", study.title, study.purpose, *ranges, str(len(points)), share))
    head = ("set", "data and networks", "for", "σ<sub>w</sub>", "σ<sub>b</sub>", "depth", "networks", "trained")
    return markdown(head, rows)


def twice() -> str:
    """Return how often two networks at a place near the boundary have the same outcome, in each set trained twice."""
    pairs = {study.name: pairs_of(study) for study in twice_trained()}
    overlaps = {name: overlap_of_truths(STUDIES[name]) for name in pairs}

    def cells(of: Pairs, *overlap: float) -> list[str]:
        shares = [f"{value:.3f}" for value in (of.alike, of.ceiling, *of.right)]
        regions = [f"{value:.3f}" for value in overlap] or ["", ""]
        counts = ["{} of {}".format(*count) for count in (of.errors, of.told_apart)]
        return [str(of.outcomes.shape[1]), shares[0], *regions, *shares[1:], *counts]

    rows = [
        (f"`{name}`", *cells(of, float(finite_mean(overlaps[name])), float(np.nanmin(overlaps[name]))))
        for name, of in pairs.items()
    ]
    rows.append(("all", *cells(Pairs.together(list(pairs.values())))))
    head = (
        *("set", "places", "same outcome", "IoU of both truths", "at its worst depth", "right by place, at most"),
        *("the default is right: first network", "second"),
        *("its errors where both differ", "told apart"),
    )
    return markdown(head, rows)


def patience() -> str:
    """Return how many epochs patience ``auto`` saves, and how many outcomes it changes, set by set."""
    found = {name: endings(name, auto) for name in SELECTION}
    chosen = {name: best_without(name) for name in SELECTION}
    left_out = {name: of_candidate(name, *chosen[name]) for name in SELECTION}

    def cells(of: Endings) -> tuple[str, str]:
        return f"{of.share:.0%}".replace("%", " %"), f"{of.changed} of {of.networks}"

    rows = [
        (f"`{n}`", *cells(found[n]), f"1/{chosen[n][0]}, {100 * chosen[n][1]:g} %", *cells(left_out[n])) for n in found
    ]
    rows.append(("all", *cells(sum(found.values(), Endings())), "", *cells(sum(left_out.values(), Endings()))))
    return markdown(("set", "run", "changed", "chosen by the other sets", "run", "changed"), rows)


def patience_candidates() -> str:
    """Return what the constants of patience ``auto`` were chosen from, with the outcome on all sets together."""
    parts, falls = (list(dict.fromkeys(values)) for values in zip(*CANDIDATES, strict=True))

    def cell(*one: float) -> str:
        of = together(SELECTION, int(one[0]), one[1])
        text = f"{of.share:.0%}, {of.changed}".replace("%", " %")
        return f"**{text}**" if one == CHOSEN else text

    rows = ((f"1/{part}", *(cell(part, fall) for fall in falls)) for part in parts)
    return markdown(("share of the epochs", *(f"{100 * fall:g} %" for fall in falls)), rows)


def benchmarks() -> str:
    """Return the figures of `sweep bench --json`, as they are stored beside the benchmarks."""
    stored = json.loads((ROOT / "tests" / "benchmarks" / "figures.json").read_text())
    rows = []
    for figure in stored["figures"]:
        bar = ""
        if figure["bar"] is not None:
            sign = "at least" if figure["at_least"] else "at most"
            bar = f"{sign} {figure['bar']:g}" + ("" if figure["met"] else ": **missed**")
        measured = f"{figure['value']:.4g} {figure['unit']}".strip()
        rows.append((figure["section"], figure["name"].strip(), measured, bar))
    return f"{stored['machine']}:\n\n" + markdown(("section", "what", "measured", "target"), rows)


def exit_codes() -> str:
    """Return what each exit code of the commands means."""
    return markdown(("exit code", "meaning"), ((str(code), meaning) for code, meaning in EXIT_CODES.items()))


def own_networks() -> str:
    """Return how networks of one's own are predicted, and train."""
    rows = []
    for name in examples.measured():
        table, (_, initialise, known) = examples.read(name), examples.EXAMPLES[name]
        skill = examples.skill(table)
        counts = [
            f"{depth}: {(part['margin'] > 0).sum()}, {part['trained'].sum()}" for depth, part in table.groupby("depth")
        ]
        judged = "too few" if math.isnan(skill["auc"]) else "{auc:.2f} [{auc_5:.2f}, {auc_95:.2f}]".format(**skill)
        weights = f"`{name}`" + ("" if initialise == "normal" else f", {initialise}")
        rows.append((weights, known, "; ".join(counts), judged))
    heads = ("network", "what is known", f"depth: predicted to train, trained, of {examples.PLACES}", "AUC")
    return markdown(heads, rows)


def initialised() -> str:
    """Return how deep networks train with each initialisation, and in how many cases none is deeper."""
    rows, deepest = [], dict.fromkeys(initialisations.INITIALISATIONS, 0)
    cases = dict.fromkeys(initialisations.INITIALISATIONS, 0)
    for name in initialisations.measured():
        table = initialisations.read(name)
        reached = initialisations.reached(table)
        best = max(reached.values())
        for each, depth in reached.items():
            cases[each] += 1
            deepest[each] += depth == best
        shown = {each: f"**{depth}**" if depth == best else str(depth) for each, depth in reached.items()}
        depths = ", ".join(map(str, sorted(set(table["depth"]))))
        rows.append((f"`{name}`", depths, *(shown.get(each, "") for each in deepest)))
    rows.append(("none is deeper", "", *(f"{deepest[each]} of {cases[each]}" for each in deepest)))
    return markdown(("network", "depths", *deepest), rows)


TABLES: dict[str, Callable[[], str]] = {
    "commands": commands,
    "packages": packages,
    "options": options,
    **{f"columns of {table}": partial(columns, table) for table in COLUMNS},
    "skill": partial(skill, "mnist", "digits", "cifar"),
    "skill in short": partial(skill, "mnist", "digits", "cifar", statistics=SHORT),
    "skill elsewhere": partial(skill, "narrow", "shrinking", "conv"),
    "predictions, selection": partial(predictions, "selection"),
    "predictions, evaluation": partial(predictions, "evaluation"),
    "rivals": rivals,
    "reliability": reliability,
    "recalibration": recalibration,
    "sets": sets,
    "twice": twice,
    "patience": patience,
    "patience: candidates": patience_candidates,
    "networks of one's own": own_networks,
    "initialisations": initialised,
    "benchmarks": benchmarks,
    "exit codes": exit_codes,
}


def written_anew(text: str) -> str:
    """Return a document with its tables as the code has them today."""
    return _TABLE.sub(lambda match: match[1] + "\n" + TABLES[match[2]]() + "\n" + match[3], text)


if __name__ == "__main__":
    for path in (ROOT / document for document in DOCUMENTS):
        text = path.read_text()
        if (new := written_anew(text)) != text:
            path.write_text(new)
            print(f"tables of {path.relative_to(ROOT)} written anew")
