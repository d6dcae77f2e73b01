"""Find the constants of `sweep.model.calibration` on the sets for selection: `python -m tests.study.calibrate`.

It prints how the margin of each statistic is calibrated, ready for the table there; how well the default calibration
holds for a set that it was not made from; and how often the boundary is right once 12 networks of a set were trained.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click
import numpy as np

from probes.definition import DEPTHS, GRADIENTS
from probes.definition import STATISTICS as MARGINS
from probes.settings import UNCERTAIN_MARGINS, UNCERTAIN_SCORES
from sweep.analysis.skill import reliability_bins
from sweep.analysis.statistics import score
from sweep.model.calibration import Calibration, Prior, default_calibration, expected, fitted, prior_of
from sweep.spec.spec import SweepSpec
from tests.study.sets import studies_for, trained

TRAININGS, DRAWS = 12, 20  # that a calibration is made from, and how often they are chosen anew
# Shifts and logarithms of slopes at which likelihoods are evaluated, for margins of a unit scale.
_SHIFTS, _SLOPES = np.linspace(-3, 3, 121)[:, None], np.linspace(-1.5, 5.5, 71)
# Both deviations are expected about here, with a factor of 1.65 (one standard deviation): the sets are few.
_EXPECTED, _FACTOR = np.log([0.35, 0.5]), 0.5
_RETAINED_SCALE = 20.0  # margins of retained information times this are about as large as others


@dataclass(frozen=True)
class Outcomes:
    """The margins of a set by one statistic, and which of its networks trained.

    Attributes
    ----------
    name, title:
        Those of the set.
    margin, trained:
        ``[networks]``.
    window:
        The margins between which `--train boundary` trains networks.
    """

    name: str
    title: str
    margin: np.ndarray
    trained: np.ndarray
    window: tuple[float, float]

    def accuracy(self, calibration: Calibration, among: np.ndarray | slice = slice(None)) -> float:
        """Return the share of networks whose outcome is as predicted."""
        return float(((self.margin >= calibration.shift) == self.trained)[among].mean())


def outcomes(statistic: str, purpose: str) -> list[Outcomes]:
    """Return the outcomes of all sets of a purpose in which a statistic was measured."""
    found, spec = [], SweepSpec()
    window = UNCERTAIN_MARGINS if statistic in (*DEPTHS, *GRADIENTS) else UNCERTAIN_SCORES
    for study in studies_for(purpose):
        table = study.read()
        if statistic in table and table[statistic].notna().all():
            margin = score(statistic, table, spec)
            margin = expected(margin, table.get(f"{statistic}_censored", False))
            found.append(Outcomes(study.name, study.title, margin, trained(table).to_numpy(), window))
    return found


def prior_from(sets: Sequence[Outcomes], scale: float = 1.0) -> tuple[Prior, float]:
    """Return how shift and slope vary between sets, and the mean shift, which the definition takes for 0.

    The shift of a set and the logarithm of its slope are normal; the constants are the most probable ones, given all
    outcomes of all sets. ``scale`` is what margins are multiplied by on the way.
    """
    from scipy.optimize import minimize
    from scipy.special import log_expit

    likelihoods = []  # of each set, relative to the largest one
    for each in sets:
        log_odds = np.exp(_SLOPES)[:, None] * (scale * each.margin - _SHIFTS[..., None])
        logarithm = log_expit(np.where(each.trained, log_odds, -log_odds)).sum(-1)
        likelihoods.append(np.exp(logarithm - logarithm.max()).ravel())
    stacked = np.stack(likelihoods)

    def minus_log_posterior(at: np.ndarray, mean: float | None = None) -> float:
        shift, (deviation, slope_deviation) = at[3] if mean is None else mean, np.exp(at[:2])
        density = np.exp(-(((_SHIFTS - shift) / deviation) ** 2 + ((_SLOPES - at[2]) / slope_deviation) ** 2) / 2)
        evidence = stacked @ density.ravel() / density.sum()
        return float((((at[:2] - _EXPECTED) / _FACTOR) ** 2).sum() / 2 - np.log(np.maximum(evidence, 1e-300)).sum())

    start = np.array([*_EXPECTED, 1.5])
    options = {"xatol": 1e-4, "fatol": 1e-6, "maxiter": 5000, "maxfev": 5000}
    at = minimize(minus_log_posterior, start, args=(0.0,), method="Nelder-Mead", options=options).x
    free = minimize(minus_log_posterior, np.array([*at, 0.0]), method="Nelder-Mead", options=options).x
    return Prior(math.exp(at[0]) / scale, scale * math.exp(at[2]), math.exp(at[1])), free[3] / scale


def chosen(each: Outcomes, seed: int, count: int = TRAININGS) -> np.ndarray:
    """Return networks as `--train boundary` chooses them: an anchor on either side, and uncertain ones at random.

    If too few are uncertain, those nearest to them follow.
    """
    low, high = each.window
    order = np.random.default_rng(seed).permutation(len(each.margin))
    margin = each.margin[order]
    anchors = [order[side][:1] for side in (margin <= low, margin >= high)]
    far = np.maximum(low - margin, margin - high)
    first = order[np.argsort(np.maximum(far, 0), kind="stable")]
    rest = first[~np.isin(first, np.concatenate(anchors))]
    return np.concatenate([*anchors, rest])[:count]


def accuracies(each: Outcomes, prior: Prior) -> Iterator[tuple[float, float]]:
    """Yield the accuracy about the networks that were not trained, before and after 12 trainings, for each choice."""
    for seed in range(DRAWS):
        some = chosen(each, seed)
        others = np.setdiff1d(np.arange(len(each.margin)), some)
        after = fitted(prior, each.margin[some], each.trained[some])
        yield each.accuracy(default_calibration(prior), others), each.accuracy(after, others)


def reliability(sets: Sequence[Outcomes], priors: Sequence[Prior]) -> list[dict[str, float | None]]:
    """Return the bins of the default probability over sets, each by its own prior."""
    pairs = list(zip(sets, priors, strict=True))
    probability = np.concatenate([default_calibration(prior).probability(each.margin) for each, prior in pairs])
    return reliability_bins(probability, np.concatenate([each.trained for each in sets]))


def _report(statistic: str) -> None:
    """Print what is to be known about the calibration of a statistic."""
    sets = outcomes(statistic, "selection")
    if len(sets) < 2:
        click.echo(f"\n{statistic}: no sets for selection; by {prior_of(statistic)}")
    else:
        scale = _RETAINED_SCALE if statistic.endswith("_retained") else 1.0
        prior, mean = prior_from(sets, scale)
        constants = (f"{v:.2g}" for v in (prior.shift_deviation, prior.slope, prior.slope_deviation))
        click.echo(f'\n        "{statistic}": Prior({", ".join(constants)}),')
        click.echo(f"of {len(sets)} sets; without definition their mean shift would be {mean:.3g}")
        left_out = [prior_from(sets[:i] + sets[i + 1 :], scale)[0] for i in range(len(sets))]
        click.echo("leave one set out       accuracy  after 12  Brier  log loss  observed  predicted")
        for each, by in zip(sets, left_out, strict=True):
            p = default_calibration(by).probability(each.margin)
            loss = -np.log(np.where(each.trained, p, 1 - p)).mean()
            after = np.mean([a for _, a in accuracies(each, by)])
            numbers = (each.accuracy(default_calibration(by)), after, ((p - each.trained) ** 2).mean(), loss)
            shown = "".join(f"{v:>10.3f}" for v in (*numbers, each.trained.mean(), p.mean()))
            click.echo(f"  {each.name:<18}{shown}")
        click.echo("reliability, of sets left out: predicted, observed, networks")
        for row in reliability(sets, left_out):
            if row["points"]:
                click.echo(f"  {row['predicted']:.2f}  {row['observed']:.2f}  {row['points']}")
    if judged := outcomes(statistic, "evaluation"):
        click.echo("sets for evaluation: accuracy before and after 12 trainings, by the constants in use")
        means = []
        for each in judged:
            before, after = np.transpose(list(accuracies(each, prior_of(statistic))))
            means.append((before.mean(), after.mean()))
            click.echo(f"  {each.name:<18}{before.mean():>8.3f}{after.mean():>8.3f}  (worst choice {after.min():.3f})")
        click.echo("  {:<18}{:>8.3f}{:>8.3f}".format("mean", *np.mean(means, axis=0)))


@click.command()
@click.argument("statistics", nargs=-1, type=click.Choice(MARGINS))
def main(statistics: tuple[str, ...]) -> None:
    """Print the constants of the calibration of STATISTICS, or of all, and how well it holds."""
    for statistic in statistics or MARGINS:
        _report(statistic)


if __name__ == "__main__":
    main()
