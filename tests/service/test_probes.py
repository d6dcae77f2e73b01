"""What the probes need a process of their own for: what an import loads, and the peak of a pack's memory."""

import subprocess
import sys

import pytest

from sweep.bench.memory import peak_and_estimate
from tests.helpers import ROOT


@pytest.mark.parametrize(
    ("code", "never"),
    [
        ("import probes.prober", ["ray", "optuna", "scipy", "pandas", "sweep"]),
        ("import probes; probes.mean_field(1.3, 0.1); probes.Point(1.3, 0.1, 5)", ["ray", "torch", "sweep"]),
    ],
    ids=["probes", "theory"],
)
def test_an_import_loads_nothing_that_it_does_not_need(code, never):
    code = f"{code}; import sys; print(set({never}) & set(sys.modules) or None)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "None"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc")
@pytest.mark.parametrize(
    "keys",
    [
        {"probe": "direct", "resize": 28, "depth": 20, "pack": 1},
        {"probe": "cascade", "resize": 28, "depth": 40, "pack": 2},
        {"probe": "both", "resize": 16, "depth": 60, "pack": 16},
        {"probe": "both", "resize": 14, "depth": 20, "pack": 4, "width": 600},
        {"probe": "cascade", "resize": 14, "depth": 10, "pack": 1, "architecture": "conv"},
        {
            "probe": "direct",
            "resize": 14,
            "depth": 5,
            "pack": 1,
            "architecture": "conv",
            "certainty": 1e-9,
            "images": 1500,
        },
        {"probe": "cascade", "resize": 14, "depth": 10, "pack": 1, "architecture": "resnet"},
    ],
    ids=lambda keys: " ".join(map(str, keys.values())),
)
def test_the_estimate_of_memory_is_within_a_fifth_of_the_peak(keys):
    measured, estimate = peak_and_estimate(keys)
    megabytes = f"{measured / 1e6:.0f} MB measured, {estimate / 1e6:.0f} estimated"
    assert estimate == pytest.approx(measured, rel=0.2), megabytes


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc")
@pytest.mark.parametrize(
    ("probe", "function", "depth", "resize", "images"),
    [
        ("direct", "mlp", 20, 28, 4096),
        ("direct", "convolutional", 10, 14, 1500),
        ("cascade", "mlp", 20, 14, 4096),
    ],
)
def test_the_estimate_of_memory_of_a_users_network_is_not_far_below_the_peak(probe, function, depth, resize, images):
    own = {"probe": probe, "network": f"{ROOT}/tests/helpers/own_networks.py:{function}", "images": images}
    measured, estimate = peak_and_estimate({**own, "depth": depth, "resize": resize, "pack": 3})
    assert 0.75 < estimate / measured < 1.6, f"{measured / 1e6:.0f} MB measured, {estimate / 1e6:.0f} estimated"
