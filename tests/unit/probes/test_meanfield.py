import csv
import math

import numpy as np
import pytest
from scipy import integrate

from probes.kernels import KERNELS, Kernel
from probes.critical import critical_sigma_w
from probes.meanfield import mean_field


def table(path):
    with path.open() as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def test_agrees_with_the_reference_table(reference):
    rows = table(reference / "meanfield_tanh.csv")
    assert len(rows) > 50
    for row in rows:
        theory = mean_field(row["sigma_w"], row["sigma_b"])
        for name in ("q_star", "chi_1", "c_star", "xi_c"):
            close = name == "xi_c" and abs(row["chi_1"] - 1) < 0.005
            assert getattr(theory, name) == pytest.approx(row[name], rel=1e-3 if close else 1e-6), (row, name)


def test_critical_line_agrees_with_the_reference_table(reference):
    rows = table(reference / "critical_line_tanh.csv")
    sigma_b = np.array([r["sigma_b"] for r in rows])
    expected = np.array([r["sigma_w_critical"] for r in rows])
    np.testing.assert_allclose(critical_sigma_w(sigma_b), expected, rtol=1e-6)
    assert isinstance(critical_sigma_w(0.2), float)


@pytest.mark.parametrize("activation", ["tanh", "erf", "arctan"])
@pytest.mark.parametrize("sigma_b", [0.0, 0.05, 0.7])
def test_chi_1_is_one_on_the_critical_line(activation, sigma_b):
    sigma_w = critical_sigma_w(sigma_b, activation)
    assert mean_field(sigma_w, sigma_b, activation).chi_1 == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("q", [0.1, 1.0, 9.0])
@pytest.mark.parametrize("c", [-0.4, 0.0, 0.7, 0.99])
def test_quadrature_agrees_with_the_closed_form_of_erf(q, c):
    exact = KERNELS["erf"]
    by_sum = Kernel(exact.phi, exact.dphi, exact.ddphi)
    assert by_sum.covariance(q, c) == pytest.approx(exact.covariance(q, c), abs=1e-9)
    assert by_sum.slope_covariance(q, c) == pytest.approx(exact.slope_covariance(q, c), abs=1e-7)
    assert by_sum.second_moment(q) == pytest.approx(exact.second_moment(q), abs=1e-12)
    assert by_sum.slope(q) == pytest.approx(exact.slope(q), abs=1e-12)


def test_relu_kernel_agrees_with_adaptive_integration():
    q, c = 1.7, 0.6
    covariance = np.array([[q, q * c], [q * c, q]])
    inverse = np.linalg.inv(covariance)
    norm = 2 * math.pi * math.sqrt(np.linalg.det(covariance))

    def density(v, u):
        return math.exp(-0.5 * (inverse[0, 0] * u * u + 2 * inverse[0, 1] * u * v + inverse[1, 1] * v * v)) / norm

    relu = KERNELS["relu"]
    product, _ = integrate.dblquad(lambda v, u: u * v * density(v, u), 0, 15, 0, 15)
    both, _ = integrate.dblquad(density, 0, 15, 0, 15)
    assert relu.covariance(q, c) == pytest.approx(product, rel=1e-6)
    assert relu.slope_covariance(q, c) == pytest.approx(both, rel=1e-6)


def test_relu_is_critical_at_root_two_whatever_the_bias():
    np.testing.assert_allclose(critical_sigma_w([0.0, 0.5], "relu"), math.sqrt(2))
    assert mean_field(1.2, 0.3, "relu").q_star == pytest.approx(0.3**2 / (1 - 1.2**2 / 2))
    assert math.isinf(mean_field(1.5, 0.3, "relu").q_star)


def test_ordered_phase_of_an_unbiased_network_is_silent():
    theory = mean_field(0.8, 0.0)
    assert (theory.q_star, theory.c_star) == (0.0, 1.0)
    assert theory.xi_c == pytest.approx(-1 / math.log(0.64))


@pytest.mark.parametrize("bad", [(0.0, 0.1), (-1.0, 0.1), (1.0, -0.1), (math.nan, 0.1), (1.0, math.inf)])
def test_refuses_what_is_out_of_range(bad):
    with pytest.raises(ValueError, match="`sigma_"):
        mean_field(*bad)


def test_refuses_an_unknown_activation():
    with pytest.raises(ValueError, match="`activation` must be one of tanh, relu, erf, arctan, got 'swish'"):
        critical_sigma_w(0.1, "swish")
