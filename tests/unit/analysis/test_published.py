"""The published cutoff against mean field's depth scale."""

import numpy as np
import pandas as pd
import pytest

from sweep.analysis.published import cutoff_agreement


def points(cutoff, theory, depth=100, chi_1=0.9):
    columns = {"cascade_cutoff": cutoff, "xi_c": np.asarray(theory, dtype=float) / 6, "depth": depth, "chi_1": chi_1}
    return pd.DataFrame(columns)


def test_what_agrees_and_what_does_not():
    theory = [12.0, 20, 40, 60, 78]
    agreement = cutoff_agreement(points([5, 9, 19, 29, 38], theory))
    assert agreement.networks == 5 and agreement.rank_correlation == pytest.approx(1)
    assert agreement.ratio == pytest.approx(0.5) and "median ratio 0.50 (5 networks" in str(agreement)
    assert cutoff_agreement(points([38, 29, 19, 9, 5], theory)).rank_correlation == pytest.approx(-1)


def test_phases_are_compared_by_themselves_where_there_are_enough_networks():
    theory = [12.0, 20, 40, 60, 78]
    ordered, chaotic = points([5, 9, 19, 29, 38], theory), points([80, 81, 79, 78, 77], theory, chi_1=1.1)
    agreement = cutoff_agreement(pd.concat([ordered, chaotic]))
    assert agreement.by_phase == {"ordered": pytest.approx(1), "chaotic": pytest.approx(-0.9)}
    assert f"{agreement.rank_correlation:.2f} (ordered 1.00, chaotic -0.90), median" in str(agreement)
    few = cutoff_agreement(pd.concat([ordered, chaotic[:3]]))
    assert few.by_phase == {"ordered": pytest.approx(1)} and "(ordered 1.00), median" in str(few)
    assert "rank correlation 1.00 (ordered 1.00), median" in str(cutoff_agreement(ordered))


def test_what_cannot_be_compared_is_left_out():
    table = points([5, 9, 19, 29, 38, 1, 99, np.nan], [12.0, 20, 40, 60, 78, 9, 81, 30])
    assert cutoff_agreement(table).networks == 5
    assert cutoff_agreement(table.assign(depth=50)) is None  # three are left
    assert cutoff_agreement(points([7] * 5, [12.0, 20, 40, 60, 78])) is None
