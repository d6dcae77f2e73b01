import json
import sys
from contextlib import contextmanager

import numpy as np
import pytest
from click.testing import CliRunner

from sweep.cli.main import main
from sweep.cli.point import point_json, point_text
from sweep.measuring.single import probe
from sweep.monitor.screen import progress_bar
from sweep.plots.gallery import gallery_figure
from sweep.spec.spec import SweepSpec


def spec(depth=30, sigma_w=1.3, **more):
    small = {"images": 100, "train_images": 64, "epochs": 1, "resize": 4, "probe_steps": 2}
    ends = {"sigma_w": (sigma_w, sigma_w), "sigma_b": (0.2, 0.2), "depth": (depth, depth)}
    return SweepSpec(points=1, **{**ends, **small, **more})


def test_a_point_as_table_and_point_json():
    m, _ = probe(spec())
    text = point_text(m).splitlines()
    assert text[0] == "sigma_w = 1.3, sigma_b = 0.2, depth = 30, seed = 0: ok"
    layers = [line.split()[0] for line in text[2:] if line[:6].strip().isdigit()]
    assert layers[0] == "1" and layers[-1] == "30" and len(layers) <= 17
    bars = next(line for line in text if "direct_retained" in line and "█" in line)
    assert len(bars.split()[1]) == 30
    row = json.loads(point_json(m))
    assert (row["p_trainable"] >= 0.5) == (row["margin"] >= 0) and any("p_trainable" in line for line in text)
    assert row["sigma_w"] == 1.3 and len(row["profiles"]["direct_retained"]) == 30


def test_a_diverged_point():
    text = point_text(probe(spec(activation="relu", sigma_w=20.0))[0])
    assert ": diverged" in text and "not trainable" in text


def drawn(spec):
    """Return the measurement of a point and the figure of its gallery."""
    m, gallery = probe(spec, pictures=True)
    return m, gallery_figure(gallery, "x")


def test_pictures_before_and_after_training():
    m, figure = drawn(spec(3, train="all"))
    assert "accuracy" in m.values and len(figure.subfigs) == 2
    assert all(len(half.axes) > 4 for half in figure.subfigs)


def test_pictures_of_colour_images(tmp_path):
    random = np.random.default_rng(0)
    x, y = random.integers(0, 256, (40, 5, 6, 3), dtype=np.uint8), random.integers(0, 3, 40)
    np.savez(tmp_path / "rgb.npz", train_images=x, train_labels=y, test_images=x, test_labels=y)
    _, figure = drawn(spec(2, dataset=str(tmp_path / "rgb.npz"), resize=None, architecture="conv", width=4))
    assert figure.subfigs[0].axes[0].images[0].get_array().shape == (5, 6, 3)


def test_pictures_of_a_diverged_network():
    m, figure = drawn(spec(activation="relu", sigma_w=20.0))
    assert m.status == "diverged" and figure.subfigs


@pytest.mark.parametrize(("name", "says"), [("x.txt", "must end in"), ("missing/x.png", "there is no folder")])
def test_pictures_are_refused_before_any_work(tmp_path, name, says, monkeypatch):
    monkeypatch.setattr("sweep.measuring.single.probe", lambda *a, **k: 1 / 0)
    command = ["probe", "--sigma-w", "1.3", "--sigma-b", "0.2", "--depth", "3", "--images-out", str(tmp_path / name)]
    out = CliRunner().invoke(main, command)
    assert out.exit_code == 2 and says in out.stderr


def test_only_decoded_layers_are_listed():
    text = point_text(probe(spec(decoded_layers=6))[0])
    assert "nan" not in text


def test_what_shows_progress_is_told_of_every_step():
    phases, done = [], []

    @contextmanager
    def steps(label, count):
        phases.append((label, count))
        yield lambda: done.append(label)

    probe(spec(4), pictures=True, steps=steps)
    assert [label for label, _ in phases] == ["cascade", "training"] and all(count > 0 for _, count in phases)
    assert (done.count("cascade"), done.count("training")) == (phases[0][1], phases[1][1])


def test_a_terminal_shows_a_bar(monkeypatch, capsys):
    with progress_bar("cascade", 3) as step:
        step()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress_bar("cascade", 3) as step:
        step()
    assert "cascade" in capsys.readouterr().err
