import json
import math
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.decoders import PRECISIONS
from probes.definition import STATISTICS
from probes.initialisations import INITIALISATIONS
from probes.kernels import KERNELS
from probes.layers import ACTIVATIONS
from probes.layout import LAYOUTS
from probes.networks import ARCHITECTURES
from probes.point import MAX_DEPTH, MAX_SIGMA
from probes.settings import PROBES, TRAIN, ProbeSettings
from probes.training.settings import OPTIMIZERS, TrainingSettings
from sweep.errors import SpecError
from sweep.measuring.settings import probe_settings
from sweep.spec.kinds import Choice, Range
from sweep.spec.network import FUNCTION
from sweep.spec.options import declared
from sweep.spec.presets import PRESETS
from sweep.spec.ranges import DEPTH, SIGMA_B, SIGMA_W
from sweep.spec.spec import SweepSpec

CHOICES = {field.name: option.kind.words for field, option in declared(SweepSpec) if isinstance(option.kind, Choice)}


def test_defaults_are_those_of_the_contract():
    spec = SweepSpec()
    assert (spec.points, spec.sigma_w, spec.sigma_b, spec.depth) == (64, (0.5, 2.5), (0.05, 1.0), (5, 60))
    assert (spec.dataset, spec.probe, spec.search, spec.train) == ("digits", "both", "boundary", "none")


def test_what_the_probes_know_and_what_the_spec_allows_agree():
    """The spec must refuse bad input without importing torch, so it states the choices again."""
    assert (CHOICES["architecture"], CHOICES["precision"]) == (ARCHITECTURES, PRECISIONS)
    assert CHOICES["activation"] == tuple(ACTIVATIONS) == tuple(KERNELS)
    assert CHOICES["initialise"] == (*INITIALISATIONS, FUNCTION)
    assert (CHOICES["probe"], CHOICES["statistic"], CHOICES["train"]) == (PROBES, STATISTICS, TRAIN)
    assert SIGMA_W.high == SIGMA_B.high == MAX_SIGMA and DEPTH.high == MAX_DEPTH
    defaults = {f.name: f.default for f in fields(ProbeSettings)}
    for name in ("penalty", "images", "activation", "initialise", "probe", "train"):
        assert getattr(SweepSpec(), name) == defaults[name]
    assert (CHOICES["optimizer"], CHOICES["layout"]) == (OPTIMIZERS, LAYOUTS)
    assert probe_settings(SweepSpec()).training == TrainingSettings()


def test_presets_are_options_that_are_allowed():
    spec = SweepSpec(**PRESETS["paper"])
    assert (spec.optimizer, spec.lr, spec.batch, spec.epochs, spec.level) == ("sgd", (0.001,), 64, 200, 0.4)
    spec = SweepSpec(**PRESETS["paper-probe"])
    assert (spec.statistic, spec.free_axes, spec.images) == ("cascade_correlation_horizon", ["sigma_w"], 60_000)


@pytest.mark.parametrize(
    "bad",
    [
        {"points": 0},
        {"points": 2.5},
        {"points": True},
        {"sigma_w": (1.0,)},
        {"sigma_w": 1.0},
        {"sigma_w": (2.0, 1.0)},
        {"sigma_w": (0.0, 1.0)},
        {"sigma_w": (0.5, math.nan)},
        {"sigma_b": (-0.1, 1.0)},
        {"depth": (5, 5.5)},
        {"depth": (1, 10**9)},
        {"dataset": ""},
        {"dataset": "a\0b"},
        {"search": "best"},
        {"initialise": "xavier"},
        {"probe": None},
        {"seed": -1},
        {"seed": 2**40},
        {"gpus_per_trial": 1.5},
        {"cpus_per_trial": 0},
        {"probe": "direct", "statistic": "cascade_horizon"},
        {"lr": ()},
        {"lr": 0.1},
        {"lr": (0.1, 0.1)},
        {"lr": (0.0,)},
        {"level": 1.5},
        {"patience": 0},
        {"patience": -1},
        {"patience": "foo"},
        {"optimizer": "lbfgs"},
        {"sigma_w": (1.0, 1.0), "sigma_b": (0.1, 0.1), "depth": (5, 7), "points": 4},
    ],
)
def test_bad_input_names_the_argument(bad):
    with pytest.raises(SpecError) as caught:
        SweepSpec(**bad)
    assert str(caught.value).startswith("`") and "must be" in str(caught.value)
    assert any(f"`{name}`" in str(caught.value) for name in bad)


@given(st.floats(0.001, 20), st.floats(0.001, 20), st.integers(1, 2000), st.integers(0, 2**31 - 1))
def test_save_and_read_is_the_identity(tmp_path_factory, a, b, depth, seed):
    path = tmp_path_factory.mktemp("spec") / "spec.json"
    spec = SweepSpec(sigma_w=(min(a, b), max(a, b)), depth=(1, depth), points=1, seed=seed, probe_steps=7)
    spec.save(path)
    assert SweepSpec.read(path) == spec


def test_a_saved_spec_that_was_tampered_with_is_refused(tmp_path):
    path = tmp_path / "spec.json"
    for text in (
        "",
        "{",
        "[]",
        "null",
        json.dumps({"points": 5, "colour": "red"}),
        json.dumps({"points": -5}),
    ):
        path.write_text(text)
        with pytest.raises(SpecError):
            SweepSpec.read(path)
    with pytest.raises(SpecError, match="is no sweep"):
        SweepSpec.read(tmp_path / "nowhere" / "spec.json")


def test_raising_the_budget_keeps_the_first_one():
    assert replace(SweepSpec(points=10), points=20).first_points == 10


@given(st.one_of(st.floats(), st.integers(), st.text(), st.none(), st.lists(st.integers())))
def test_a_range_converts_or_raises_value_error(value):
    allowed = Range(1, 10)
    try:
        number = allowed.convert(value)
    except (ValueError, TypeError, OverflowError):
        return
    assert isinstance(number, int) and 1 <= number <= 10


def test_depth_follows_the_widths():
    assert SweepSpec().depth == (5, 60) and SweepSpec(widths=(9, 8, 7)).depth == (3, 3)
    assert SweepSpec(widths=(9, 8, 7), depth=(1, 2)).reach == 1.5
    assert SweepSpec(architecture="shrinking").reach == 1 and SweepSpec().reach == 3


def test_widths_survive_a_file(tmp_path):
    spec = SweepSpec(widths=(9, 8, 7))
    spec.save(tmp_path / "spec.json")
    assert SweepSpec.read(tmp_path / "spec.json") == spec


def test_the_layout_of_images_is_no_part_of_what_is_measured():
    """The fingerprint of the data is, and both layouts of the same images have the same one."""
    first, auto = SweepSpec(layout="channels-first"), SweepSpec()
    assert first.digest == auto.digest and first.identity == auto.identity
    assert SweepSpec.from_json(auto.as_json().replace('"layout": "auto",', ""), "spec.json").layout == "auto"
