"""Sweeps from their beginning to their end, on a fake Tune."""

import sweep
from sweep.measuring.rehearsal import Rehearsal
from sweep.spec.spec import SweepSpec


def test_a_sweep(without_ray, tmp_path):
    results = sweep.run(SweepSpec(points=24), tmp_path / "sweep", make=Rehearsal(seconds=2.0))
    assert len(results.points) == 24 and (results.points.status == "ok").all()
    assert without_ray.workers == 2 and 24 <= without_ray.clock.now <= 40


def test_a_real_prober(without_ray, tmp_path):
    spec = SweepSpec(points=8, images=200, probe="direct", depth=(3, 6), train="all", epochs=2, search="sobol")
    results = sweep.run(spec, tmp_path / "sweep")
    assert len(results.points) == 8 and results.points.accuracy.notna().all()
