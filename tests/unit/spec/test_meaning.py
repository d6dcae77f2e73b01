"""What a sweep means is written down with it: other defaults, later, change nothing of it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from probes.definition import CURRENT_DEFINITION, GRADIENTS, ORIGINAL_DEFINITION, Definition
from sweep.errors import SpecError
from sweep.measuring.settings import probe_settings
from sweep.model.estimate import PhaseModel
from sweep.spec.experiment import Experiment
from sweep.spec.spec import SweepSpec

OTHER = Definition(
    version=1,
    direct_share=0.25,
    cascade_share=0.9,
    direct_horizon=0.2,
    direct_retained=0.3,
    cascade_horizon=0.1,
    cascade_retained=0.1,
)


def read(**changes):
    data = {**json.loads(SweepSpec().as_json()), **changes}
    return SweepSpec.from_json(json.dumps({k: v for k, v in data.items() if v != "absent"}), "spec.json")


def test_what_a_sweep_means_survives_a_file(tmp_path):
    spec = SweepSpec(definition=OTHER)
    spec.save(tmp_path / "spec.json")
    assert SweepSpec.read(tmp_path / "spec.json") == spec != SweepSpec()
    assert json.loads(spec.as_json())["definition"]["direct_share"] == 0.25


def test_a_sweep_that_says_nothing_means_what_the_first_ones_did():
    assert read(definition="absent", sequence="absent") == SweepSpec(definition=ORIGINAL_DEFINITION, sequence=1)
    assert (ORIGINAL_DEFINITION.version, ORIGINAL_DEFINITION.direct_share, ORIGINAL_DEFINITION.direct_horizon) == (
        1,
        0.5,
        0.15,
    )


def test_a_sweep_of_before_the_initialisation_has_normal_weights_and_its_digest():
    before = read(initialise="absent")
    assert before == SweepSpec() and before.initialise == probe_settings(before).initialise == "normal"
    first = SweepSpec(definition=ORIGINAL_DEFINITION, statistic="direct_horizon", initialise="normal")
    assert first.digest == "34548bb03f2680ff"
    for name in ("orthogonal", "uniform", "truncated-normal"):
        after = read(initialise=name)
        assert after.digest != before.digest and probe_settings(after).initialise == name
        assert SweepSpec.from_json(after.as_json(), "spec.json") == after
    assert read(initialise="orthogonal").network_words == ["mlp", "tanh", "orthogonal"]
    assert before.network_words == ["mlp", "tanh"]


def test_a_definition_of_before_a_statistic_means_the_first_one_of_it():
    stored = json.loads(SweepSpec(definition=OTHER).as_json())["definition"]
    later = ("correlation_share", "cascade_correlation_horizon", *GRADIENTS)
    before = SweepSpec(definition=OTHER, statistic="direct_horizon")
    assert read(definition={n: v for n, v in stored.items() if n not in later}) == SweepSpec(definition=OTHER)
    for known in ({n: v for n, v in stored.items() if n != "direct_share"}, {**stored, "unknown": 1}):
        with pytest.raises(SpecError, match="`definition` must be"):
            read(definition=known)
    assert read(definition=stored | {"gradient_norm": 9.5}).definition.threshold("gradient_norm") == 9.5
    assert replace(before, definition=stored).digest == before.digest == "f91d0dc138672673"


def test_rows_of_two_definitions_are_never_mixed():
    assert SweepSpec(definition=OTHER).digest != SweepSpec(definition=ORIGINAL_DEFINITION).digest
    before = SweepSpec(definition=ORIGINAL_DEFINITION, statistic="direct_horizon")
    assert before.digest == "34548bb03f2680ff"  # of all sweeps of before


def test_a_definition_is_what_probes_and_models_go_by():
    settings = probe_settings(SweepSpec(definition=OTHER, probe="cascade"))
    assert settings.threshold_of("cascade_horizon") == 0.1 and settings.definition is OTHER
    assert probe_settings(SweepSpec(definition=OTHER, threshold=0.4)).threshold_of("direct_horizon") == 0.4
    points = made_up_points()
    one, other = (
        PhaseModel(Experiment(definition=d, depth=(10, 10)), points).mean(**AT) for d in (CURRENT_DEFINITION, OTHER)
    )
    np.testing.assert_allclose(one, other)  # margins are stored: a model of one depth is that of the margins
    one, other = (PhaseModel(Experiment(definition=d), points).mean(**AT) for d in (CURRENT_DEFINITION, OTHER))
    np.testing.assert_allclose(one, other, atol=0.05)  # at the depth that was measured, whatever goes between depths


AT = {"sigma_w": np.array([1.0, 1.3, 1.6]), "sigma_b": 0.3, "depth": 10}


def made_up_points():
    import pandas as pd

    random = np.random.default_rng(0)
    w, b = random.uniform(0.5, 2.5, 64), random.uniform(0.05, 1.0, 64)
    margin = 1 - 3 * abs(w - 1.3)
    columns = {"sigma_w": w, "sigma_b": b, "depth": 10, "seed": range(64), "status": "ok", "margin": margin}
    return pd.DataFrame({**columns, "margin_censored": False, "accuracy": np.nan, "chance": 0.1, "finished": 0.0})


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (
            {"definition": {**ORIGINAL_DEFINITION.__dict__, "version": 4}},
            "definition of the margin is of version 4, .* newer version",
        ),
        ({"sequence": 2}, "definition of the points is of version 2, .* newer version"),
        ({"definition": {"version": 1}}, "`definition` must be a definition of the margin"),
        ({"definition": 5}, "`definition` must be a definition of the margin"),
        (
            {"definition": {**ORIGINAL_DEFINITION.__dict__, "direct_share": 0}},
            "`definition of direct_share` must be a number above 0",
        ),
        ({"definition": {**ORIGINAL_DEFINITION.__dict__, "version": "x"}}, "`definition` must be a whole number"),
        (
            {"definition": {**ORIGINAL_DEFINITION.__dict__, "gradient_ratio": -1}},
            "`definition of gradient_ratio` must be a number from 0.001 to 999",
        ),
        ({"definition": {**ORIGINAL_DEFINITION.__dict__, "colour": 1}}, "`definition` must be a definition"),
        ({"fingerprint": "x"}, "`fingerprint` must be 32 hexadecimal digits"),
        ({"sequence": -1}, "`sequence` must be a whole number from 0"),
        ({"sequence": [1]}, "`sequence` must be a whole number"),
    ],
)
def test_what_is_not_known_here_is_refused(changes, match):
    with pytest.raises(SpecError, match=match):
        read(**changes)


def test_defaults_that_follow_from_others_are_worked_out_anew_after_a_file(tmp_path):
    SweepSpec(widths=(9, 8, 7)).save(tmp_path / "spec.json")
    spec = SweepSpec.read(tmp_path / "spec.json")
    assert (spec.statistic, spec.depth) == ("trainable_depth", (3, 3))
    assert replace(spec, probe="cascade", widths=None) == SweepSpec(probe="cascade")
    SweepSpec(statistic="direct_horizon").save(tmp_path / "spec.json")
    with pytest.raises(SpecError, match="`statistic` must be one that probe 'cascade' measures"):
        replace(SweepSpec.read(tmp_path / "spec.json"), probe="cascade")


@pytest.mark.parametrize("nonsense", [5, [], {"points": {}}, {"statistic": []}, {"colour": 1}])
def test_nonsense_about_defaults_says_nothing(nonsense):
    assert read(resolved=nonsense) == SweepSpec()
