from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.errors import SpecError
from sweep.spec.design import grid_axes, grid_size, places, seeds
from sweep.spec.options import AXES
from sweep.spec.spec import SweepSpec


@given(st.integers(1, 3000), st.integers(1, 2000), st.integers(0, 30))
def test_the_grid_is_within_budget_range_and_balanced(points, low, span):
    spec = SweepSpec(points=points, search="grid", depth=(low, min(2000, low + span)))
    axes = grid_axes(spec)
    assert grid_size(spec) == np.prod([len(v) for v in axes.values()]) <= points
    for name in AXES:
        lo, hi = getattr(spec, name)
        assert all(lo <= v <= hi for v in axes[name]) and sorted(set(axes[name])) == axes[name]
    depths = spec.depth[1] - spec.depth[0] + 1
    counts = [len(v) for a, v in axes.items() if a != "depth" or len(v) < depths]
    assert max(counts) - min(counts) <= 1
    # The shortest that could have one value more would burst the budget.
    assert grid_size(spec) // min(counts) * (min(counts) + 1) > points


def test_a_cube():
    assert [len(v) for v in grid_axes(SweepSpec(points=64, search="grid")).values()] == [4, 4, 4]


def test_fixed_axes_have_one_value():
    axes = grid_axes(SweepSpec(points=20, search="grid", sigma_b=(0.2, 0.2), depth=(10, 10)))
    assert axes["sigma_b"] == [0.2] and axes["depth"] == [10] and len(axes["sigma_w"]) == 20


@pytest.mark.parametrize("more", [64, 100, 150, 300, 1000])
def test_a_raised_budget_refines_the_grid(more):
    spec = SweepSpec(points=64, search="grid")
    first, finer = grid_axes(spec), grid_axes(replace(spec, points=more))
    assert all(set(first[a]) <= set(finer[a]) for a in AXES)
    assert np.prod([len(v) for v in finer.values()]) <= more
    assert (finer != first) == (more >= 4 * 4 * 7)


def test_seeds_are_distinct_over_points_and_replicas():
    spec = SweepSpec(points=10, replicas=3, seed=5)
    every = [s for i in range(10) for s in seeds(spec, i)]
    assert every == list(range(5, 35))


@pytest.mark.parametrize("search", ["sobol", "grid", "random"])
def test_a_design_is_the_same_for_every_driver(search):
    spec = SweepSpec(points=64, search=search)
    places_of = [list(islice(places(replace(spec, points=n, first_points=64)), 64)) for n in (64, 100)]
    assert places_of[0] == places_of[1] and len(set(places_of[0])) == 64
    for axis, values in zip(AXES, zip(*places_of[0], strict=True), strict=True):
        lo, hi = getattr(spec, axis)
        assert lo <= min(values) < max(values) <= hi
    other = list(islice(places(replace(spec, seed=1)), 64))
    assert other != places_of[0] and (set(other) == set(places_of[0])) == (search == "grid")


def test_sobol_points_are_spread_evenly():
    spec = SweepSpec(search="sobol", sigma_w=(1, 2), sigma_b=(0, 1), depth=(1, 8))
    unit = np.array(list(islice(places(spec), 64))) - [1, 0, 0]
    for axis in (0, 1):
        assert (np.histogram(unit[:, axis], 8, (0, 1))[0] == 8).all()
    assert (np.bincount(unit[:, 2].astype(int), minlength=9)[1:] == 8).all()


def test_fixed_axes_stay_fixed():
    spec = SweepSpec(search="sobol", sigma_w=(1.3, 1.3), depth=(10, 10))
    some = list(islice(places(spec), 32))
    assert {(w, d) for w, _, d in some} == {(1.3, 10)} and len({b for _, b, _ in some}) == 32


@pytest.mark.filterwarnings("ignore:QMCSampler is experimental")
def test_the_oldest_sequence_is_that_of_optuna():
    import optuna

    class OfAllAxes(optuna.samplers.QMCSampler):
        def infer_relative_search_space(self, study, trial):
            return distributions

    floats, ints = optuna.distributions.FloatDistribution, optuna.distributions.IntDistribution
    spec = SweepSpec(search="sobol", seed=5, sequence=0)
    distributions = {"sigma_w": floats(*spec.sigma_w), "sigma_b": floats(*spec.sigma_b), "depth": ints(*spec.depth)}
    study = optuna.create_study(sampler=OfAllAxes(qmc_type="sobol", scramble=True, seed=5))
    theirs = [study.ask(distributions).params for _ in range(40)]
    assert list(islice(places(spec), 40)) == [tuple(params[axis] for axis in AXES) for params in theirs]
    assert next(places(replace(spec, sequence=1))) != next(places(spec))


@pytest.mark.parametrize("search", ["boundary", "grid", "random", "tpe"])
def test_the_oldest_sequence_is_of_sobol_points(search):
    with pytest.raises(SpecError, match="`search` must be sobol with sequence 0"):
        SweepSpec(search=search, sequence=0)
