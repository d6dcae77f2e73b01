"""The published reading of the cascade: its cutoff, and mean field's depth scale that it is said to follow.

References
----------
Thurn, Jefferson, Erdmenger, arXiv:2406.12916: the cutoff of the relative entropy is near 6 xi_c.
"""

from dataclasses import dataclass

import pandas as pd

from sweep.spec.space import Space

CASCADE_PROFILES = ("cascade_relative_entropy", "differential_entropy", "cascade_correlation")
_DEPTHS = (10, 80)  # layers: 6 xi_c where it can be compared; the cutoff of shorter ones is a matter of one layer
_MIN_NETWORKS = 4
_NEAR = 0.05  # share of the range of sigma_b within which networks count as being at one sigma_b


def near_sigma_b(points: pd.DataFrame, spec: Space, sigma_b: float) -> pd.Series:
    """Return which rows of ``points`` count as being at one sigma_b."""
    return (points["sigma_b"] - sigma_b).abs() <= _NEAR * (spec.sigma_b[1] - spec.sigma_b[0])


def cascades_at(points: pd.DataFrame, spec: Space, sigma_b: float) -> pd.DataFrame:
    """Return the rows of ``points`` that have a cascade near one sigma_b, the deepest for each sigma_w, in order."""
    measured = points[near_sigma_b(points, spec, sigma_b) & points["cascade_cutoff"].notna()]
    deepest = measured.sort_values("depth", ascending=False, kind="stable")
    return deepest.drop_duplicates("sigma_w").sort_values("sigma_w", ignore_index=True)


@dataclass(frozen=True)
class CutoffAgreement:
    """How well the published cutoff agrees with 6 xi_c.

    Attributes
    ----------
    networks:
        Number of networks that are compared: those whose 6 xi_c is from 10 to 80 layers, and within their depth.
    rank_correlation:
        Spearman's rank correlation of the cutoff and 6 xi_c over these networks.
    by_phase:
        That of the networks in the ordered and in the chaotic phase, where there are enough of them.
    ratio:
        Median of their cutoff, counted in layers, over 6 xi_c.
    """

    networks: int
    rank_correlation: float
    by_phase: dict[str, float]
    ratio: float

    def __str__(self) -> str:
        low, high = _DEPTHS
        phases = ", ".join(f"{phase} {value:.2f}" for phase, value in self.by_phase.items())
        return (
            f"cutoff and 6 xi_c: rank correlation {self.rank_correlation:.2f}{f' ({phases})' if phases else ''}, "
            f"median ratio {self.ratio:.2f} ({self.networks} networks with 6 xi_c from {low} to {high} layers)"
        )


def cutoff_agreement(points: pd.DataFrame) -> CutoffAgreement | None:
    """Return how well cutoff and 6 xi_c agree over the rows of the table ``points``; None with too few of them."""
    theory = 6 * points["xi_c"]
    low, high = _DEPTHS
    compared = points["cascade_cutoff"].notna() & theory.between(low, high) & (theory <= points["depth"])
    cutoff, theory = points.loc[compared, "cascade_cutoff"].astype(float) + 1, theory[compared]
    whole = _rank_correlation(cutoff, theory)
    if whole is None:
        return None
    is_ordered = points.loc[compared, "chi_1"] < 1
    phases = {"ordered": is_ordered, "chaotic": ~is_ordered}
    by_phase = {phase: _rank_correlation(cutoff[rows], theory[rows]) for phase, rows in phases.items()}
    known = {phase: value for phase, value in by_phase.items() if value is not None}
    return CutoffAgreement(len(cutoff), whole, known, float((cutoff / theory).median()))


def _rank_correlation(one: pd.Series, other: pd.Series) -> float | None:
    """Return Spearman's rank correlation; None for too few values, or only one that occurs."""
    from scipy.stats import spearmanr

    if len(one) < _MIN_NETWORKS or one.nunique() == 1:
        return None
    return float(spearmanr(one, other).statistic)
