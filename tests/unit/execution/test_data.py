"""A sweep knows its data: by content, whatever the name, on one machine and on another."""

import json
import logging

import numpy as np
import pytest
from click.testing import CliRunner

import sweep
from probes import images_of
from probes.own_data import ARRAYS
from sweep import Rehearsal, SpecError, SweepSpec
from sweep.analysis.compare import compare
from sweep.analysis.difference import diff
from sweep.cli.main import main
from sweep.results.merge import merge
from tests.helpers.reports import trained_sweep

SPEC = SweepSpec(points=4, depth=(2, 6), images=64, probe="direct")
MAKE = Rehearsal(seconds=0.1)


def arrays(seed=0):
    random = np.random.default_rng(seed)
    return (
        *(random.integers(0, 256, (80, 4, 4), dtype=np.uint8), random.integers(0, 3, 80)),
        *(random.integers(0, 256, (40, 4, 4), dtype=np.uint8), random.integers(0, 3, 40)),
    )


def save(path, seed=0):
    np.savez(path, **dict(zip(ARRAYS, arrays(seed), strict=True)))
    return str(path)


def run(path, dataset, **options):
    return sweep.run(SweepSpec(**{**SPEC.__dict__, "dataset": dataset, **options}), path, make=MAKE)


def test_data_from_a_program(without_ray, tmp_path):
    path = tmp_path / "sweep"
    results = sweep.run(SPEC, path, images=arrays(), make=MAKE)
    assert results.spec.dataset == "python:images" and len(results.points) == 4
    again = sweep.resume(path, points=6, images=images_of(*arrays(), name="other"), make=MAKE)
    assert len(again.points) == 6 and again.spec.dataset == "python:images"
    with pytest.raises(SpecError, match="'images' was given from Python and is not stored: give it again, as `images`"):
        sweep.resume(path, points=8, make=MAKE)
    with pytest.raises(SpecError, match="must hold the images and labels that this sweep measured"):
        sweep.resume(path, points=8, images=arrays(1), make=MAKE)
    for wrong, match in ((5, "got int"), (arrays()[:2], "got tuple")):
        with pytest.raises(SpecError, match=f"`images` must be a probes.Images or train_images, .*, {match}"):
            sweep.run(SPEC, tmp_path / "no", images=wrong)


def test_images_that_are_a_data_set_are_not_resized(without_ray, tmp_path):
    spec = SweepSpec(**{**SPEC.__dict__, "resize": 2})
    with pytest.raises(SpecError, match="`resize` must be left out"):
        sweep.run(spec, tmp_path / "no", images=images_of(*arrays()))
    assert sweep.run(spec, tmp_path / "sweep", images=arrays(), make=MAKE).spec.resize == 2


def test_the_file_changed_under_the_sweep(without_ray, tmp_path):
    path, name = tmp_path / "sweep", save(tmp_path / "images.npz")
    run(path, name)
    save(tmp_path / "images.npz", seed=1)
    done = CliRunner().invoke(main, ["resume", str(path), "--points", "6"])
    assert done.exit_code == 2 and "'--dataset': '" in done.stderr
    assert "must hold the images and labels that this sweep measured, but holds others" in done.stderr
    elsewhere = save(tmp_path / "found again.npz")
    assert len(sweep.resume(path, points=6, dataset=elsewhere, make=MAKE).points) == 6
    assert sweep.load(path).spec.dataset == name


def test_two_names_of_the_same_data_and_one_name_of_two(without_ray, tmp_path):
    for folder, seed in (("one", 0), ("other", 1)):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder / "images.npz", seed)
    save(tmp_path / "copy.npz")
    one, other = (run(tmp_path / f"sweep {n}", str(tmp_path / n / "images.npz")) for n in ("one", "other"))
    copy = run(tmp_path / "sweep copy", str(tmp_path / "copy.npz"), seed=5)
    assert one.spec.digest == copy.spec.digest != other.spec.digest
    assert len(merge([one.path, copy.path], tmp_path / "merged").points) == 8
    with pytest.raises(SpecError, match=r"must have measured the same to be merged: .* has dataset '.*images.npz \("):
        merge([one.path, other.path], tmp_path / "never")


def test_comparisons_of_other_data(tmp_path):
    def made(folder, fingerprint, dataset="x.npz"):
        return trained_sweep(tmp_path / folder, dataset=dataset, fingerprint=fingerprint)

    one, other, same = made("one", "0" * 32), made("other", "1" * 32), made("same", "0" * 32)
    with pytest.raises(SpecError, match="`truth` must be a sweep of the same data, got 'x.npz .1111"):
        compare(one, other)
    assert compare(one, same).info["points"] == 30
    with pytest.raises(SpecError, match="must be a sweep of the same 'x.npz', or of another name, got 'x.npz .111"):
        diff(one, other)
    named = diff(one, made("named", "1" * 32, "y.npz"))
    assert named.differs["dataset"] == (f"x.npz ({'0' * 32})", f"y.npz ({'1' * 32})")
    assert "dataset" not in diff(one, same).differs


def test_a_sweep_of_before_merges_with_one_of_today(make_sweep, tmp_path):
    before = make_sweep(SweepSpec(points=20, sigma_w=(0.5, 1.5)), count=20, folder="before")
    today = make_sweep(SweepSpec(points=20, fingerprint="a" * 32), count=20, folder="today")
    assert before.spec.digest != today.spec.digest
    for order, folder in (((before, today), "a"), ((today, before), "b")):
        both = merge([s.path for s in order], tmp_path / folder)
        assert both.spec.fingerprint is None and both.spec.digest == before.spec.digest
        assert len(both.points) == 40 and not both.damaged


def test_a_function_in_a_file(without_ray, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save("images.npz")
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "def data():\n"
        "    print('was run')\n"
        "    with np.load('images.npz') as f:\n"
        "        return f['train_images'], f['train_labels'], f['test_images'], f['test_labels']\n"
    )
    results = run(tmp_path / "sweep", "mine.py:data")
    assert results.spec.dataset == f"{tmp_path}/mine.py:data"
    done = CliRunner().invoke(main, ["resume", str(results.path), "--points", "6"])
    assert done.exit_code == 2 and "is run only if you name it yourself: repeat it with --dataset" in done.stderr
    assert "was run" not in done.output
    assert len(sweep.resume(results.path, points=6, dataset="mine.py:data", make=MAKE).points) == 6
    assert len(sweep.resume(results.path, points=7, dataset="images.npz", make=MAKE).points) == 7


def test_a_sweep_of_before_takes_no_other_data(without_ray, tmp_path):
    path = run(tmp_path / "sweep", save(tmp_path / "a.npz")).path
    spec = json.loads((path / "spec.json").read_text())
    (path / "spec.json").write_text(json.dumps({**spec, "fingerprint": None}))
    with pytest.raises(SpecError, match="`dataset` must be left out: this sweep of an older version"):
        sweep.resume(path, dataset=save(tmp_path / "b.npz"))


def test_another_version_is_told_of(without_ray, tmp_path, caplog):
    path = run(tmp_path / "sweep", "digits").path
    sweep.resume(path, points=5, make=MAKE)
    assert "began with" not in caplog.text
    began = json.loads((path / "versions.json").read_text())
    (path / "versions.json").write_text(json.dumps({**began, "torch": "1.0\x1b[2J"}))
    with caplog.at_level(logging.WARNING):
        sweep.resume(path, points=6, make=MAKE)
    (message,) = [r.getMessage() for r in caplog.records if "began with" in r.getMessage()]
    assert message.startswith("the sweep began with torch 1.0") and "\x1b" not in message
    assert "installed: " in message


def layouts(*shape):
    """Return arrays with channels first, and the same with channels last."""
    random = np.random.default_rng(0)
    first = tuple(
        x for n in (80, 40) for x in (random.integers(0, 256, (n, *shape), dtype=np.uint8), random.integers(0, 3, n))
    )
    return first, tuple(np.moveaxis(x, 1, 3) if x.ndim == 4 else x for x in first)


def test_both_layouts_are_the_same_data(without_ray, tmp_path, caplog):
    first, last = layouts(3, 4, 4)
    np.savez(tmp_path / "first.npz", **dict(zip(ARRAYS, first, strict=True)))
    np.savez(tmp_path / "last.npz", **dict(zip(ARRAYS, last, strict=True)))
    one = run(tmp_path / "one", str(tmp_path / "first.npz"), layout="channels-first")
    other = run(tmp_path / "other", str(tmp_path / "last.npz"), layout="channels-last", seed=5)
    assert one.spec.fingerprint == other.spec.fingerprint and one.spec.digest == other.spec.digest
    assert len(merge([one.path, other.path], tmp_path / "merged").points) == 8
    elsewhere = {"dataset": str(tmp_path / "last.npz"), "layout": "channels-last"}
    assert len(sweep.resume(one.path, points=6, make=MAKE, **elsewhere).points) == 6
    assert sweep.load(one.path).spec.layout == "channels-first"
    assert len(sweep.resume(one.path, points=7, make=MAKE, images=last, layout="channels-last").points) == 7
    assert not [r for r in caplog.records if "are read as" in r.getMessage()]  # all were given


def test_a_decision_about_the_data_is_told_once(without_ray, tmp_path, caplog):
    first, _ = layouts(1, 4, 4)
    images = (first[0], first[1] * 1000, first[2], first[3] * 1000)
    sweep.run(SPEC, tmp_path / "sweep", images=images, make=MAKE)
    told = [r.getMessage() for r in caplog.records if r.name.startswith("probes.")]
    assert len(told) == 2 and "(channels-first)" in told[0] and "are numbered anew" in told[1]


def test_a_layout_that_is_not_clear_is_asked_for(without_ray, tmp_path):
    first, _ = layouts(4, 4, 4)
    with pytest.raises(SpecError, match="`images` 'images' has images of shape .*: choose --layout channels-last for"):
        sweep.run(SPEC, tmp_path / "sweep", images=first, make=MAKE)
    assert not (tmp_path / "sweep").exists()
    spec = SweepSpec(**{**SPEC.__dict__, "layout": "channels-first"})
    path = sweep.run(spec, tmp_path / "sweep", images=first, make=MAKE).path
    with pytest.raises(SpecError, match="must hold the images and labels that this sweep measured, but holds others"):
        sweep.resume(path, points=6, images=first, layout="channels-last", make=MAKE)
    assert len(sweep.resume(path, points=6, images=first, make=MAKE).points) == 6


def test_pictures_are_made_of_no_other_data(without_ray, tmp_path, caplog):
    path, name = tmp_path / "sweep", save(tmp_path / "images.npz")
    run(path, name)
    save(tmp_path / "images.npz", seed=1)
    drawn = CliRunner().invoke(main, ["plot", str(path), "--kind", "reconstructions"])
    assert drawn.exit_code == 2 and "this sweep measured, but holds others" in drawn.stderr
    written = CliRunner().invoke(main, ["report", str(path)])
    assert written.exit_code == 0 and "the report has no reconstructions: `dataset` '" in caplog.text
    assert "but holds others" in (path / "report.html").read_text()
