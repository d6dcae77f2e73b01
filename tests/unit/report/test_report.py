import base64
import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.image import imread

from probes import Point
from sweep.cli.main import main
from sweep.measuring.reconstruct import Painter, spread
from sweep.plots import gallery
from sweep.report import pictures
from sweep.report.content import content
from sweep.report.cost import cost_data
from sweep.report.document import page
from sweep.report.phase import phase_data
from sweep.report.pictures import reconstruction_data
from sweep.report.sentence import sentence
from sweep.report.truth import truth_data
from sweep.results.loading import load
from sweep.spec.rows import point_of, row
from sweep.spec.spec import SweepSpec
from tests.helpers.landscape import FIXED, made_up, made_up_sweep
from tests.helpers.reports import HOSTILE, SHALLOW, spec_of, trained_sweep


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return trained_sweep(tmp_path_factory.mktemp("trained") / "sweep")


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A sweep of 64 points, 3 of which failed, and all that its report shows."""
    results = made_up_sweep(tmp_path_factory.mktemp("full") / "sweep", failed=3)
    return results, content(results)


@pytest.mark.parametrize("fixed", FIXED)
@pytest.mark.parametrize(("count", "failed"), [(0, 0), (1, 0), (1, 1), (20, 2), (20, 20)])
def test_any_sweep_has_a_report(make_sweep, fixed, count, failed):
    data = content(make_sweep(spec_of(fixed), count=count, failed=failed))
    json.dumps(data, allow_nan=False)
    assert data["status"]["failed"] == failed == sum(k for _, k, *_ in data["failures"]["rows"])
    assert len(data["points"]["seed"]) == count
    assert data["sentence"].endswith((".", "!"))
    assert (data["phase"] is not None) == (count - failed >= 10 and len(fixed) < 2)
    assert (data["line"] is not None) == (count - failed >= 10 and len(fixed) == 2)


def test_the_cascade_over_layers_is_that_of_the_table(make_sweep):
    results = make_sweep(SweepSpec(points=6, sigma_b=(0.3, 0.3)), count=0)
    assert content(results)["cascade"] is None
    measured = {}
    for seed, (w, depth) in enumerate([(2.0, 30), (0.8, 20), (1.4, 150)]):
        m = made_up(Point(w, 0.3, depth, seed))
        measured[w] = np.linspace(0.9, 0.1, depth)
        m.profiles["cascade_correlation"] = measured[w]
        m.values.update(cascade_correlation=0.1, cascade_cutoff=seed, cascade_correlation_horizon=7.0 + seed)
        results.store.write([row(m)])
    data = content(load(results.path))["cascade"]
    json.dumps(data, allow_nan=False)
    assert data["variance"] == [0.64, 1.96, 4.0] and list(data["values"]) == ["cascade_correlation"]
    assert data["cutoff"] == [2, 3, 1] and data["horizon"] == [8, 9, 7] and len(data["layers"]) == 100
    table = np.array(data["values"]["cascade_correlation"], dtype=float)
    for column, w in enumerate((0.8, 1.4, 2.0)):
        layers = np.array(data["layers"])
        within = layers <= len(measured[w])
        np.testing.assert_allclose(table[within, column], measured[w][layers[within] - 1], rtol=1e-3)
        assert np.isnan(table[~within, column]).all()


def test_the_sentence_says_what_the_tables_say(make_sweep, full):
    results, data = full
    middle = results.boundary.query("depth == 60").iloc[10]
    text = data["sentence"]
    assert (
        f"At σ_b = {middle['sigma_b']:.2f} trainable networks may be deepest at σ_w = {middle['critical']:.2f}" in text
    )
    assert f"mean field theory says {middle['theory']:.2f}" in text
    assert sentence(make_sweep(count=0, folder="none")) == "Nothing has been measured yet."
    assert "None of the 3 points" in sentence(make_sweep(count=3, failed=3, folder="failed"))


@pytest.mark.parametrize(
    ("lower", "upper", "share", "says"),
    [
        (1.0, 2.0, 0.5, "networks of 60 layers are predicted trainable from σ_w = 1.00 up to 2.00."),
        (1.0, np.nan, 0.5, "networks of 60 layers are predicted trainable from σ_w = 1.00 on."),
        (np.nan, 2.0, 0.5, "networks of 60 layers are predicted trainable at σ_w up to 2.00."),
        (np.nan, np.nan, 1.0, "networks of 60 layers are predicted trainable at every σ_w searched."),
        (np.nan, np.nan, 0.0, "no network of 60 layers is predicted trainable there."),
    ],
)
def test_the_sentence_tells_the_band(full, lower, upper, share, says):
    results = load(full[0].path)
    band = full[0].boundary.copy()
    band[["lower", "upper", "trainable_share"]] = lower, upper, share
    results.phase, results.boundary = full[0].phase, band
    assert sentence(results).endswith(f"and {says}")


def test_the_boundary_is_that_of_the_table_at_every_depth_of_the_slider(full):
    results, data = full
    phase = data["phase"]
    assert phase["depths"][0] == 5 and phase["depths"][-1] == 60 and len(phase["depths"]) > 10
    table = results.boundary_at(phase["depths"])
    for end in ("lower", "upper_95"):
        shown = np.array(phase["boundary"][end], dtype=float)
        np.testing.assert_allclose(shown.ravel(), table[end].to_numpy(), rtol=1e-4)
    mean, _ = results.phase.margin(
        sigma_w=phase["sigma_w"][40], sigma_b=phase["sigma_b"][3], depth=phase["grid_depths"][0]
    )
    assert phase["margin"][0][3][40] == pytest.approx(float(mean[0]), abs=1e-3)


def test_a_calibrated_sweep_shows_its_calibrated_boundary(make_sweep, full):
    results = make_sweep(SweepSpec(points=64, train="all"), count=64, shift=math.log(2))
    data, uncalibrated = content(results), full[1]
    json.dumps(data, allow_nan=False)
    assert data["shift"] == results.calibration.shift == pytest.approx(math.log(2), abs=0.15)
    assert data["needed"] == data["needs"]["trainable_depth"] == pytest.approx(math.exp(data["shift"]))
    assert data["sentence"].endswith(f" The margin is {results.calibration_sentence}.")
    predicted = np.array(data["points"]["margin"]) >= data["shift"]
    assert (predicted == (np.array(data["points"]["p_trainable"]) >= 0.5)).all()
    default, calibrated = data["truth"]["reliability"].values()
    assert sum(b["points"] for b in default) == sum(b["points"] for b in calibrated) == 64
    assert (uncalibrated["shift"], uncalibrated["needed"]) == (0, 1) and "calibrated" not in uncalibrated["sentence"]


def test_a_network_that_contains_no_shallower_one_has_a_plane_for_each_depth(make_sweep):
    spec = SweepSpec(points=20, architecture="shrinking", widths=None, sigma_b=(0.3, 0.3))
    phase = phase_data(make_sweep(spec, count=20))
    assert np.shape(phase["margin"])[:2] == (len(phase["depths"]), 1) == (8, 1)
    assert not content(make_sweep(spec, count=0, folder="none"))["through_depth"]


def test_the_history_ends_with_what_is_known_now(full):
    results, data = full
    history = data["history"]
    assert history["points"][0] == 10 and history["points"][-1] == 61
    assert history["error"][-1] == pytest.approx(results.phase.expected_error, rel=1e-3)
    assert history["error"][-1] < history["error"][0]
    assert history["seconds"] == sorted(history["seconds"]) and history["seconds"][-1] == 60


def test_costs_are_those_of_the_rows(trained):
    cost = cost_data(trained)
    kinds = {k[0]: k[1:] for k in cost["kinds"]}
    assert kinds["direct"] == [60, "0.1 s", "6 s", None]
    points = trained.points
    known = points[points["train_seconds"].notna()]
    assert kinds["training"][0] == 30 and kinds["training"][3] == 3e10
    of_all = next(v for k, v in kinds.items() if "extrapolated" in k)
    assert of_all[3] == pytest.approx(3e10 * points["depth"].sum() / known["depth"].sum(), rel=0.01)
    assert [h[:3] for h in sorted(cost["hosts"])] == [["host-0", "cpu", 30], ["host-1", "cpu", 30]]
    assert cost["rate"] == 1.0


def test_what_training_would_cost_is_estimated(make_sweep):
    (_, training) = cost_data(make_sweep(count=12))["kinds"]
    assert "estimated" in training[0] and training[1] == 12 and training[4] > 1e9


def test_truth_is_compared_as_sweep_compare_does(trained):
    from sweep.analysis.compare import compare

    truth, comparison = truth_data(trained), compare(trained)
    assert truth["trained"] == truth["compared"] == 30 and truth["trainable"] == comparison.info["trainable"]
    for name, (wrong, right) in truth["roc"].items():
        assert np.trapezoid(right, wrong) == pytest.approx(comparison.table.loc[name, "auc"], abs=1e-3)
    assert truth["roc"]
    few = load(trained.path)
    few.points = few.points.sort_values("finished").iloc[:8]
    head = truth_data(few)
    assert "at least 12 trained points" in head["why_not"] and head["trained"] == 4
    assert truth_data(made_up_sweep(trained.path.parent / "untrained", count=3)) is None


def test_profiles_are_those_of_their_points(full):
    _, data = full
    for i, curve in enumerate(data["profiles"]["direct_retained"]):
        depth = data["points"]["depth"][i]
        if data["points"]["status"][i] == "failed":
            assert curve is None
            continue
        layers, values = curve
        assert layers[0] == 1 and layers[-1] == depth and len(layers) == min(depth, 40)
        np.testing.assert_allclose(values, np.interp(layers, [1, depth], [1, 0.3]), atol=1e-4)


def test_reconstructions_are_those_of_their_points(make_sweep, monkeypatch):
    results = make_sweep(SHALLOW, count=12, failed=3)
    reconstructed = reconstruction_data(SHALLOW, results.points, None)
    assert (
        sorted(results.points["seed"].iloc[reconstructed["at"]]) == list(range(3, 12))
        and "why_not" not in reconstructed
    )
    assert content(results, 4)["reconstructions"] == {name: values[:4] for name, values in reconstructed.items()}
    at, layers = reconstructed["at"][1], reconstructed["layers"][1]
    point, painter = dict(spread(results.points, SHALLOW))[at], Painter(SHALLOW)
    assert point == point_of(results.points.iloc[at])
    assert layers == list(range(1, point.depth + 1)) and len(reconstructed["images"][1]) == 1 + len(layers)
    images = painter.images(point, layers)
    for uri, image in zip(reconstructed["images"][1], images, strict=True):
        seen = imread(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))))[..., 0]
        np.testing.assert_allclose(seen, gallery.stretched(image, 0), atol=2 / 255)  # rounded twice
    assert np.array_equal(images[0].ravel(), painter._images.test[0].ravel())
    monkeypatch.setattr(pictures, "_MAX_OPERATIONS", 1.5 * painter.cost(Point(1.0, 0.1, 4)))
    few = reconstruction_data(SHALLOW, results.points, None)["at"]
    assert 0 < len(few) < 9
    monkeypatch.setattr(pictures, "_MAX_OPERATIONS", 0)
    assert "--reconstructions N" in reconstruction_data(SHALLOW, results.points, None)["why_not"]


def test_reconstructions_without_the_data_set(make_sweep, tmp_path):
    spec = replace(SHALLOW, dataset=str(tmp_path / "<b>nowhere</b>.npz"))
    results = make_sweep(SHALLOW, count=3)
    reconstructed = reconstruction_data(spec, results.points, None)
    assert reconstructed["at"] == [] and "nowhere" in reconstructed["why_not"]
    assert reconstruction_data(spec, results.points.iloc[:0], None)["at"] == []


def test_large_sweeps_show_a_sample_with_failed_points(make_sweep, monkeypatch):
    monkeypatch.setattr("sweep.report.data._MAX_POINTS", 20)
    monkeypatch.setattr("sweep.report.data._MAX_FAILED", 5)
    page_data = content(make_sweep(spec_of(FIXED[-1]), count=60, failed=10))
    assert page_data["all_points"] == 60 and len(page_data["points"]["seed"]) == 20
    assert page_data["points"]["status"].count("failed") == 5
    assert page_data["failures"]["rows"][0][1] == 10


def test_hostile_strings_cannot_end_the_data(make_sweep):
    spec = SweepSpec(points=3, dataset=HOSTILE)
    text = page(content(make_sweep(spec, count=3)))
    assert len(re.findall("<script", text)) == len(re.findall("</script", text)) == 3
    assert "<img" not in text.partition("</title>")[0]
    data = text.partition('id="data">')[2].partition("</script>")[0]
    assert not set("<>&\u2028") & set(data)
    (shown,) = (value for name, value, _ in json.loads(data)["settings"] if name == "dataset")
    assert shown == HOSTILE.replace("\n", "\\n").replace("\u2028", "\\u2028").replace("\x1b", "\\x1b")


def test_the_command_line(make_sweep, tmp_path, monkeypatch):
    path = str(make_sweep(SHALLOW, count=4).path)
    invoke = CliRunner().invoke
    done = invoke(main, ["report", path])
    assert done.exit_code == 0 and done.output.strip() == f"{path}/report.html"
    other = tmp_path / "other.htm"
    other.symlink_to(tmp_path / "untouched")
    assert invoke(main, ["report", path, "-o", str(other)]).exit_code == 0
    assert not other.is_symlink() and not (tmp_path / "untouched").exists()
    for options, some in (([], True), (["--reconstructions", "0"], False)):
        assert invoke(main, ["report", path, *options]).exit_code == 0
        written = (Path(path) / "report.html").read_text()
        page_data = json.loads(re.search(r'id="data">(.*?)</script>', written, re.DOTALL)[1])
        assert bool(page_data["reconstructions"]["images"]) == some
    for output, says in (("report.pdf", ".html or .htm"), ("nowhere/report.html", "no folder")):
        failed = invoke(main, ["report", path, "-o", output])
        assert failed.exit_code == 2 and says in failed.output and "'--output'" in failed.output
    assert invoke(main, ["report", str(tmp_path)]).exit_code == 2
    assert "Example: sweep report" in invoke(main, ["report", "--help"]).output
