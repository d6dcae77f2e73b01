import json

import numpy as np
import pytest

from probes import Point
from sweep.errors import SpecError
from sweep.spec.design import grid_axes
from sweep.spec.rows import row
from sweep.spec.spec import SweepSpec
from tests.helpers.landscape import made_up

pytest.importorskip("xarray", reason="the extra xarray is not installed")


def test_points_of_a_search(make_sweep):
    results = make_sweep(failed=2)
    dataset = results.to_xarray()
    points = results.points
    assert dataset.sizes == {"point": 64, "layer": int(results.profiles["layer"].max())}
    assert set(dataset.coords) == {"sigma_w", "sigma_b", "depth", "seed", "layer"}
    np.testing.assert_array_equal(dataset["margin"], points["margin"])
    assert dataset["error"].values.tolist() == points["error"].tolist()
    for i in (0, 17, 63):
        one = results.profiles[results.profiles["seed"] == points["seed"][i]]
        values = dataset["direct_retained_profile"][i]
        np.testing.assert_array_equal(values[: len(one)], one["direct_retained"])
        assert np.isnan(values[len(one) :]).all()
    assert dataset["direct_seconds"].attrs["units"] == "s" and dataset["layer"].attrs["units"] == "layers"
    assert all(dataset[name].attrs["description"] for name in dataset.variables)
    assert SweepSpec(**json.loads(dataset.attrs["spec"])) == results.spec


def test_points_of_a_grid_have_its_axes(make_sweep):
    spec = SweepSpec(search="grid", points=27, depth=(5, 20), replicas=2)
    results = make_sweep(spec, count=0)
    axes = grid_axes(spec)
    everywhere = [(w, b, int(d)) for w in axes["sigma_w"] for b in axes["sigma_b"] for d in axes["depth"]]
    for i, place in enumerate(everywhere[:-1]):  # one is missing
        results.store.write([row(made_up(Point(*place, 2 * i + r))) for r in range(2)])
    dataset = results.to_xarray()
    assert dataset["margin"].dims == ("sigma_w", "sigma_b", "depth", "replica") and dataset.sizes["replica"] == 2
    at = dataset.isel(sigma_w=1, sigma_b=2, depth=0)
    w, b, d = everywhere[1 * 9 + 2 * 3 + 0]
    one = results.points.query("sigma_w == @w and sigma_b == @b and depth == @d")
    np.testing.assert_array_equal(at["margin"], one["margin"])
    np.testing.assert_array_equal(at["seed"], one["seed"])
    assert int(np.isnan(dataset["margin"]).sum()) == 2
    np.testing.assert_allclose(at["direct_retained_profile"][0, :5], np.linspace(1, 0.3, 5))


def test_the_boundary(make_sweep):
    results = make_sweep()
    dataset = results.to_xarray("boundary")
    for _, r in results.boundary.iterrows():
        np.testing.assert_array_equal(dataset["lower_95"].sel(depth=r["depth"], sigma_b=r["sigma_b"]), r["lower_95"])
    assert dataset["depth"].attrs == {"description": "hidden layers", "units": "layers"}


@pytest.mark.parametrize("count", [0, 1])
def test_hardly_anything(make_sweep, count):
    results = make_sweep(count=count)
    assert results.to_xarray().sizes["point"] == count and results.to_xarray("boundary").sizes["depth"] == 0


def test_a_dataset_goes_to_disk_and_back(make_sweep, tmp_path):
    import xarray

    dataset = make_sweep(count=12, failed=1).to_xarray()
    dataset.to_netcdf(tmp_path / "x.nc", engine="scipy")
    with xarray.open_dataset(tmp_path / "x.nc", engine="scipy") as again:
        np.testing.assert_array_equal(again["margin"], dataset["margin"])
        assert again["margin"].attrs == dataset["margin"].attrs


def test_another_table(make_sweep):
    with pytest.raises(SpecError, match="points or boundary"):
        make_sweep(count=1).to_xarray("truth")
