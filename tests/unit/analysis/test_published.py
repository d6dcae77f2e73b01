"""The published cutoff against mean field's depth scale."""

import numpy as np
import pandas as pd
import pytest

from sweep.analysis.published import cutoff_agreement


def points(cutoff, theory, depth=100):
    return pd.DataFrame({"cascade_cutoff": cutoff, "xi_c": np.asarray(theory, dtype=float) / 6, "depth": depth})


def test_what_agrees_and_what_does_not():
    theory = [12.0, 20, 40, 60, 78]
    agreement = cutoff_agreement(points([5, 9, 19, 29, 38], theory))
    assert agreement.networks == 5 and agreement.rank_correlation == pytest.approx(1)
    assert agreement.ratio == pytest.approx(0.5) and "median ratio 0.50 (5 networks" in str(agreement)
    assert cutoff_agreement(points([38, 29, 19, 9, 5], theory)).rank_correlation == pytest.approx(-1)


def test_what_cannot_be_compared_is_left_out():
    table = points([5, 9, 19, 29, 38, 1, 99, np.nan], [12.0, 20, 40, 60, 78, 9, 81, 30])
    assert cutoff_agreement(table).networks == 5
    assert cutoff_agreement(table.assign(depth=50)) is None  # three are left
    assert cutoff_agreement(points([7] * 5, [12.0, 20, 40, 60, 78])) is None
