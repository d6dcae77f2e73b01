"""That the benchmark measures what it says; what it finds depends on the machine and is not asserted."""

import json

import pytest
import torch
from click.testing import CliRunner

from probes import Measurement, Point, TrainingSettings, load_images
from probes.networks import Architecture
from probes.training import Training
from sweep.bench import bench, figure, probes, training
from sweep.cli.main import main
from sweep.spec.options import BENCHMARKS
from tests.helpers.small_benchmarks import few, make_small


@pytest.fixture
def small(monkeypatch):
    make_small(monkeypatch)
    return few(load_images("noise", resize=4))


def test_the_sections_are_those_of_the_command_line():
    assert tuple(bench.SECTIONS) == BENCHMARKS


def test_bars():
    over, under = figure.Figure("x", 2.0, "x", 3.0), figure.Figure("x", 2.0, "x", 3.0, at_least=False)
    assert (over.met, under.met, figure.Figure("x", 2.0, "x").met) == (False, True, None)
    assert str(over).endswith(">= 3: MISSED") and str(under).endswith("<= 3: met")


def test_the_cascade_s_section_compares_the_same_numbers(small):
    figures = {f.name: f.value for f in probes.cascade(small)}
    plain, stacked = (next(v for k, v in figures.items() if k.startswith(s)) for s in ("plain loop", "stacked, hand"))
    assert figures["  times faster than the plain loop"] > 0 and plain > 0 and stacked > 0
    assert figures["largest difference of a weight from the plain loop's, 10 steps"] < 2e-5


def test_the_direct_section_finds_the_same_horizon(small):
    figures = [f for f in probes.direct(small) if "horizon" in f.name]
    assert (
        len(figures) == 1 and figures[0].value < 0.1
    )  # so few held-out images: the profile crosses its threshold twice


def test_the_gradients_section_compares_with_the_products_alone(small):
    limit, at_hand, ratio, *_ = probes.gradients(small)
    assert ratio.value == pytest.approx(at_hand.value / limit.value) and ratio.bar == 1.5 and not ratio.at_least


def test_the_training_section_compares_a_step_with_its_products(small):
    _, _, times, *of_packs, together, in_loops, alone, one_by_one = training.training(small)
    assert times.name.strip() == "times faster than one after another" and len(of_packs) == 3 * len(training.PACKS)
    for step, limit, ratio in zip(of_packs[::3], of_packs[1::3], of_packs[2::3], strict=True):
        assert ratio.value == pytest.approx(step.value / limit.value) and ratio.bar == 1.4 and not ratio.at_least
    for step, ratio in ((together, in_loops), (alone, one_by_one)):
        assert step.name.startswith("3 networks of a user") and ratio.value > 0 and not ratio.at_least


@pytest.mark.parametrize(("architecture", "width"), [("mlp", 5), ("shrinking", None), ("conv", 3)])
def test_the_products_of_a_step_leave_the_networks_as_they_are(architecture, width):
    images, settings = load_images("noise", resize=4), TrainingSettings(images=64)
    keys = {"architecture": Architecture(architecture, images.shape, images.classes, width), "activation": "tanh"}
    (stack, *_) = Training([Point(1.2, 0.1, 3, s) for s in range(2)], images, settings, **keys).stacks
    before = [p.clone() for n in stack.numbers for p in stack.parameters[n]]
    training.products_of(stack)()
    assert all(map(torch.equal, before, (p for n in stack.numbers for p in stack.parameters[n])))


def test_no_gpu_no_figures(small, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert list(probes.gpu(small)) == []


def test_from_the_command_line(small, monkeypatch):
    result = CliRunner().invoke(main, ["bench", "--only", "training", "--resize", "4", "--json"])
    assert result.exit_code == 0, result.output
    output = json.loads(result.stdout)
    assert "threads" in output["machine"] and {f["section"] for f in output["figures"]} == {"training"}
    monkeypatch.setattr(bench, "SECTIONS", {"direct": lambda images: probes.direct(few(images))})
    text = CliRunner().invoke(main, ["bench", "--only", "direct", "--resize", "4"]).stdout
    assert "direct" in text and "times faster" in text


def test_packs_are_compared_with_single_calls_and_with_trials(monkeypatch):
    packs = []

    class Prober:
        def __init__(self, *arguments):
            pass

        def measure(self, points):
            packs.append(len(points))
            return [Measurement(point, "ok") for point in points]

    def timed_in_turns(*works, device):
        for work in works:
            work()
        return [4.0, 0.8, 0.8]

    monkeypatch.setattr(probes, "Prober", Prober)
    monkeypatch.setattr(probes, "timed_in_turns", timed_in_turns)
    monkeypatch.setattr(probes, "trials_on_ray", lambda images, points, settings: 2.0 * len(points))
    figures = {f.name.strip(): f.value for f in probes.pack(load_images("noise", resize=4))}
    assert packs == [1] * 16 + [4] * 4 + [16]
    assert figures["digits, width 64, depth 60, both probes: packs of 16"] == 20
    assert figures["speed of packs of 16, relative to single calls"] == 5
    assert figures["advised pack (the smallest within 5 % of the fastest)"] == 4
    assert figures["16 Ray trials of one point each (tune.Tuner, a function)"] == 0.5
    assert figures["packs of 16, times faster"] == 40
