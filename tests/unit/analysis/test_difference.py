import json
from itertools import pairwise

import numpy as np
import pytest
from click.testing import CliRunner

from probes import Point
from sweep.analysis.difference import diff
from sweep.cli.compared import difference_text
from sweep.cli.main import main
from sweep.errors import SpecError
from sweep.results.loading import load
from sweep.spec.rows import row
from sweep.spec.spec import SweepSpec
from sweep.storage.store import Store
from tests.helpers.landscape import made_up, true_critical, true_horizon


@pytest.fixture
def noisy(tmp_path):
    """A sweep of the made-up landscape with noise, its critical line shifted."""

    def make(seed, shift=0.0, noise=0.1, count=64, **fields):
        spec = SweepSpec(points=count, seed=seed, **fields)
        path = tmp_path / f"{seed}"
        path.mkdir()
        spec.save(path / "spec.json")
        store, rng, rows = Store(path, spec.digest), np.random.default_rng(seed), []
        store.create()
        for i in range(count):
            point = Point(
                float(rng.uniform(*spec.sigma_w)),
                float(rng.uniform(*spec.sigma_b)),
                int(rng.integers(spec.depth[0], spec.depth[1] + 1)),
                i,
            )
            measurement = made_up(point)
            horizon = true_horizon(point.sigma_w - shift, point.sigma_b) * np.exp(noise * rng.normal())
            measurement.values["margin"] = float(np.log(horizon / point.depth))
            rows.append(row(measurement))
        store.write(rows)
        return load(path)

    return make


def true_end(sigma_b, depth, sign):
    """Where the horizon of the landscape is so deep."""
    return true_critical(sigma_b) * np.exp(sign * np.sqrt(np.log(40 / depth) / 3))


def test_a_shift_is_found_and_measured(noisy):
    difference = diff(noisy(1), noisy(2, shift=0.1))
    assert difference.significant and difference.p < 0.001
    assert difference.shift == pytest.approx(0.1, abs=0.02) and difference.shift_5 < 0.1 < difference.shift_95
    assert 0.07 < difference.distance < 0.13 and difference.distance <= difference.max_distance
    lower = difference.places[difference.places["end"] == "lower"].dropna(subset=["a", "b"])
    assert len(lower) > 8
    expected = true_end(lower["sigma_b"], lower["depth"], -1)
    np.testing.assert_allclose(lower["a"], expected, atol=0.05)
    assert (lower["z"] < 0).mean() > 0.9  # what begins to be trainable at larger sigma_w is less so there


def test_a_sweep_does_not_differ_from_itself(noisy):
    one = noisy(1)
    difference = diff(one, one)
    assert difference.p > 0.99 and difference.distance == 0 and not difference.significant and difference.differs == {}


@pytest.mark.parametrize("fields", [{}, {"statistic": "direct_retained"}, {"sigma_b": (0.3, 0.3)}])
def test_how_often_it_is_wrong_and_right(noisy, fields):
    """At level 0.05, 1 false alarm of 6 or none has 97 %; shifts of 3 % of the range are nearly all found."""
    same = [noisy(i, **fields) for i in range(7)]
    assert sum(diff(one, other).p < 0.05 for one, other in pairwise(same)) <= 1
    moved = [noisy(200 + i, shift=0.06, **fields) for i in range(4)]
    assert sum(diff(one, other).significant for one, other in zip(same, moved, strict=False)) >= 3


def test_what_differs_is_said(noisy):
    one, other = noisy(1), noisy(2, shift=0.1, activation="erf")
    (one.path / "versions.json").write_text('{"torch": "2.1"}')
    (other.path / "versions.json").write_text('{"torch": "2.2\\u001b[31m"}')
    difference = diff(one, other)
    assert difference.differs == {"activation": ("tanh", "erf"), "version of torch": ("2.1", "2.2\x1b[31m")}
    text = difference_text(difference)
    assert "\x1b" not in text and "activation: 'tanh' and 'erf'" in text and "the boundaries differ" in text


def test_sweeps_that_cannot_be_compared(noisy):
    one = noisy(1)
    for other, message in (
        (noisy(2, sigma_w=(3, 4)), "range of sigma_w in common"),
        (noisy(3, count=5), "too few points"),
        (noisy(4, sigma_w=(1, 1)), "no boundary in sigma_w"),
        (noisy(5, depth=(70, 80)), "range of depth in common"),
    ):
        with pytest.raises(SpecError, match=message):
            diff(one, other)
    with pytest.raises(SpecError, match="`depths` must be from 5 to 60"):
        diff(one, noisy(6), [70])


def test_the_command(noisy, tmp_path):
    one, other = noisy(1), noisy(2, shift=0.1)
    picture = tmp_path / "x.svg"
    arguments = ["diff", str(one.path), str(other.path), "--depths", "8,20"]
    result = CliRunner().invoke(main, [*arguments, "-o", str(picture), "--json"])
    printed = json.loads(result.stdout)
    assert printed["significant"] and {p["depth"] for p in printed["places"]} == {8, 20}
    assert picture.read_bytes().startswith(b"<?xml")
    result = CliRunner().invoke(main, arguments)
    assert "p = " in result.stdout and (one.path / "diff.png").exists()
    result = CliRunner().invoke(main, [*arguments, "-o", "x.txt"])
    assert result.exit_code == 2 and "must end in .png" in result.stderr
