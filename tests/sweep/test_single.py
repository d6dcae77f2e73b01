import json
from dataclasses import replace

import numpy as np
import pytest

from sweep.errors import SpecError
from sweep.measuring.single import as_json, as_text, probe
from sweep.spec.spec import SweepSpec


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


def test_pictures_before_and_after_training(tmp_path):
    path = tmp_path / "point.png"
    m = probe(replace(spec(train="all", epochs=1), depth=(3, 3)), path)
    assert "accuracy" in m.values and path.read_bytes().startswith(b"\x89PNG")


def test_pictures_of_colour_images(tmp_path):
    random = np.random.default_rng(0)
    x, y = random.integers(0, 256, (40, 5, 6, 3), dtype=np.uint8), random.integers(0, 3, 40)
    np.savez(tmp_path / "rgb.npz", train_images=x, train_labels=y, test_images=x, test_labels=y)
    colour = replace(spec(), depth=(2, 2), dataset=str(tmp_path / "rgb.npz"), epochs=1, architecture="conv")
    probe(colour, tmp_path / "point.svg")
    assert (tmp_path / "point.svg").stat().st_size > 1000


def test_pictures_of_a_diverged_network(tmp_path):
    m = probe(replace(spec(activation="relu"), sigma_w=(20.0, 20.0), epochs=1), tmp_path / "point.png")
    assert m.status == "diverged" and (tmp_path / "point.png").exists()


@pytest.mark.parametrize(("name", "says"), [("x.txt", "must end in"), ("missing/x.png", "there is no folder")])
def test_pictures_are_refused_before_any_work(tmp_path, name, says):
    with pytest.raises(SpecError, match=says):
        probe(spec(), tmp_path / name)


def test_only_decoded_layers_are_listed():
    text = as_text(probe(spec(decoded_layers=6)))
    assert "nan" not in text
