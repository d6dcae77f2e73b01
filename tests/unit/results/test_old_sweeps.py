"""Sweeps that earlier versions left behind: their tables as those versions gave them, and how they go on."""

import shutil

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.storages.journal import JournalFileBackend

import sweep
from sweep.spec.columns import DTYPES, POINT
from tests.helpers import ROOT

OLD = ROOT / "tests" / "data"  # by commit


@pytest.mark.parametrize(
    ("commit", "table"),
    [
        *(("ca606a3", t) for t in ("points", "profiles", "truth")),
        *(("d721f3d", t) for t in ("points", "profiles", "truth", "boundary")),
    ],
)
def test_their_tables(commit, table):
    results = sweep.load(OLD / commit)
    then = pd.read_csv(OLD / commit / f"{table}.csv", dtype=str, keep_default_na=False)
    now = results.table(table)
    assert results.damaged == {} and len(now) == len(then) >= 10
    assert list(now.columns)[: len(then.columns)] == list(then.columns)
    for name in then.columns:
        if DTYPES[name] in ("str", "boolean"):
            assert now[name].astype(object).fillna("").astype(str).tolist() == then[name].tolist()
        else:
            values = [float(v or "nan") for v in then[name]]
            # The boundary is computed: another BLAS rounds otherwise.
            tolerance = {"rtol": 1e-3, "atol": 1e-4} if table == "boundary" else {"rtol": 0}
            np.testing.assert_allclose(now[name].to_numpy(float, na_value=np.nan), values, **tolerance)


def study_of(path):
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(path / "study.journal")))
    return optuna.load_study(study_name="sweep", storage=storage)


def test_one_that_was_interrupted_goes_on(without_ray, tmp_path):
    path = shutil.copytree(OLD / "d721f3d", tmp_path / "sweep")
    before = sweep.load(path).points
    under_way = [t for t in study_of(path).trials if not t.state.is_finished()]
    assert (len(before), len(under_way)) == (10, 4)
    after = sweep.resume(path).points
    measured = [(p.sigma_w, p.sigma_b, p.depth, p.seed) for trial in without_ray.trials for p in trial.points]
    stored = set(before[[*POINT]].itertuples(index=False, name=None))
    assert len(after) == 24 and len(measured) == len(set(measured)) == 14 and not stored & set(measured)
    assert set(after[[*POINT]].itertuples(index=False, name=None)) == stored | set(measured)
    assert after["accuracy"].notna().all()
    kept = after.merge(before[[*POINT]], on=list(POINT)).drop(columns="trainable")  # by the best of all networks
    pd.testing.assert_frame_equal(kept, before.drop(columns="trainable"))
    states = [t.state for t in study_of(path).trials]
    assert states.count(optuna.trial.TrialState.COMPLETE) == 24
    assert optuna.trial.TrialState.RUNNING not in states
