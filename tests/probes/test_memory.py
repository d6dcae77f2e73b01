"""The estimate of memory against the peak of a fresh process."""

import json
import subprocess
import sys

import pytest

MEASURE = """
import ctypes, json, sys
from pathlib import Path
from probes import Point, ProbeSettings, load_images
from probes.measure import Prober
from probes.memory import peak_bytes

def status(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(key))

keys = json.loads(sys.argv[1])
pack, depth, images = keys.pop("pack"), keys.pop("depth"), load_images("noise", resize=keys.pop("resize"))
Prober(images, ProbeSettings(width=4, probe_steps=2, images=64)).measure([Point(1.3, 0.2, 2)])  # loads the libraries
ctypes.CDLL("libc.so.6").malloc_trim(0)
before = status("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
(m, *_) = Prober(images, ProbeSettings(**keys)).measure([Point(1.3, 0.2, depth, s) for s in range(pack)])
assert m.status == "ok", m.error
print(json.dumps([status("VmHWM") - before, peak_bytes(ProbeSettings(**keys), images, depth, pack)]))
"""


@pytest.mark.slow
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
def test_estimate_is_within_a_fifth_of_the_peak(keys):
    code = [sys.executable, "-c", MEASURE, json.dumps({"probe_steps": 3, **keys})]
    out = subprocess.run(code, capture_output=True, text=True, check=True)
    measured, estimate = json.loads(out.stdout)
    assert estimate == pytest.approx(measured, rel=0.2), (
        f"{measured / 1e6:.0f} MB measured, {estimate / 1e6:.0f} estimated"
    )
