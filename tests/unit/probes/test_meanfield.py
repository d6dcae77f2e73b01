import csv
import math
import re

import numpy as np
import pytest
from scipy import integrate

from probes.activations import NAMES
from probes.critical import critical_sigma_w
from probes.kernels import KERNELS, Kernel
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
    message = f"`activation` must be one of {', '.join(NAMES)}, got 'swish'"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        critical_sigma_w(0.1, "swish")


def test_identity_adds_variances():
    theory = mean_field(0.8, 0.3, "identity")
    assert theory.q_star == pytest.approx(0.09 / (1 - 0.64)) and theory.chi_1 == pytest.approx(0.64)
    assert math.isinf(mean_field(1.0, 1e-4, "identity").q_star)
    assert (critical_sigma_w(0.3, "identity"), mean_field(1.0, 0.0, "identity").q_star) == (1.0, 0.0)


def test_leaky_relu_is_critical_where_its_slopes_say():
    critical = math.sqrt(2 / (1 + 0.01**2))
    np.testing.assert_allclose(critical_sigma_w([0.0, 0.5], "leaky_relu"), critical)
    assert mean_field(1.2, 0.3, "leaky_relu").q_star == pytest.approx(0.09 / (1 - (1.2 / critical) ** 2))


@pytest.mark.parametrize("activation", NAMES)
def test_every_activation_has_fixed_points_at_every_place(activation):
    kernel = KERNELS[activation]
    for sigma_w in (0.05, 0.9, 1.45, 2.5, 20.0):
        for sigma_b in (0.0, 0.05, 1.0):
            theory = mean_field(sigma_w, sigma_b, activation)
            values = (theory.q_star, theory.chi_1, theory.c_star, theory.xi_c, theory.xi_q)
            assert not any(map(math.isnan, values)) and math.isfinite(theory.chi_1) and min(values) >= 0
            q, c = theory.q_star, theory.c_star
            if 1e-6 < q < math.inf:
                assert sigma_w**2 * kernel.second_moment(q) + sigma_b**2 == pytest.approx(q, rel=1e-9)
            if c < 1:
                after = (sigma_w**2 * kernel.covariance(q, c) + sigma_b**2) / q
                assert after == pytest.approx(c, abs=1e-9 if q < 10 else 1e-5)
                assert theory.chi_1 > 1


@pytest.mark.parametrize("activation", NAMES)
@pytest.mark.parametrize("sigma_b", [0.0, 0.3])
def test_chi_1_passes_1_at_the_critical_sigma_w(activation, sigma_b):
    critical = critical_sigma_w(sigma_b, activation)
    below, above = (mean_field(critical * factor, sigma_b, activation).chi_1 for factor in (1 - 1e-6, 1 + 1e-6))
    assert below < 1 and above > 1 - 1e-9  # with softsign and no bias it rises with a higher power of the distance


def test_where_the_variance_jumps_chi_1_jumps_over_1():
    critical = critical_sigma_w(0.3, "gelu")
    below, above = (mean_field(critical * factor, 0.3, "gelu") for factor in (1 - 1e-6, 1 + 1e-6))
    assert below.q_star < 1 and math.isinf(above.q_star)
    assert below.chi_1 < 0.95 and above.chi_1 == pytest.approx(critical**2 / 2, rel=1e-5)
    critical = critical_sigma_w(1.0, "gelu")  # with more bias it does not jump
    assert mean_field(critical, 1.0, "gelu").chi_1 == pytest.approx(1, abs=1e-9)


def test_the_limit_of_the_variance_is_the_one_that_iteration_finds():
    for activation, sigma_w, sigma_b in (("gelu", 1.4, 0.3), ("tanhshrink", 2.0, 0.5), ("selu", 1.1, 0.7)):
        q = 1.0
        for _ in range(2000):
            q = sigma_w**2 * KERNELS[activation].second_moment(q) + sigma_b**2
        assert mean_field(sigma_w, sigma_b, activation).q_star == pytest.approx(q, rel=1e-8)


def test_correlations_with_a_kink_near_the_critical_line():
    """With hardtanh, whose slope jumps, the distance of c_star from 1 is quadratic in chi_1 - 1."""
    critical = critical_sigma_w(0.5, "hardtanh")
    near, nearer = (mean_field(critical * (1 + d), 0.5, "hardtanh") for d in (2e-2, 1e-2))
    ratio = (near.chi_1 - 1) / (nearer.chi_1 - 1)
    assert (1 - near.c_star) / (1 - nearer.c_star) == pytest.approx(ratio**2, rel=0.1)
