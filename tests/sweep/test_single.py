import json

from sweep.single import as_json, as_text, probe
from sweep.spec import SweepSpec


def spec(**more):
    return SweepSpec(points=1, sigma_w=(1.3, 1.3), sigma_b=(0.2, 0.2), depth=(30, 30), probe_steps=5, **more)


def test_a_point_as_table_and_as_json():
    m = probe(spec())
    text = as_text(m).splitlines()
    assert text[0] == "sigma_w = 1.3, sigma_b = 0.2, depth = 30, seed = 0: ok"
    layers = [line.split()[0] for line in text[2:] if line[:6].strip().isdigit()]
    assert layers[0] == "1" and layers[-1] == "30" and len(layers) <= 17
    bars = next(line for line in text if "direct_retained" in line and "█" in line)
    assert len(bars.split()[1]) == 30
    found = json.loads(as_json(m))
    assert found["sigma_w"] == 1.3 and len(found["profiles"]["direct_retained"]) == 30


def test_a_diverged_point():
    text = as_text(probe(SweepSpec(**{**spec().__dict__, "activation": "relu", "sigma_w": (20.0, 20.0)})))
    assert ": diverged" in text and "not trainable" in text
