"""Counts stay right whatever was copied into the folder of the parts."""

import shutil

import pytest
from click.testing import CliRunner

from sweep import Rehearsal, SweepSpec, resume
from sweep.cli.main import main
from sweep.monitor.watch import Watcher
from sweep.results.loading import load
from sweep.results.status import status

SMALL = SweepSpec(points=8, sigma_w=(0.8, 2.0), sigma_b=(0.1, 0.3), depth=(3, 6))


def parts(results):
    return sorted((results.path / "parts").iterdir())


def text_of(results):
    shown = CliRunner().invoke(main, ["status", str(results.path)])
    assert shown.exit_code == 0
    return shown.stdout


@pytest.fixture
def own(make_sweep):
    return make_sweep(SMALL, "own", count=8)


def test_a_sweep_alone(own):
    summary = status(own)
    assert (summary["done"], summary["total"], summary["surplus"], summary["outside"]) == (8, 8, 0, 0)
    assert "another sweep" not in text_of(own)


@pytest.mark.parametrize(("sigma_w", "outside"), [((0.9, 1.9), 0), ((2.5, 3.0), 16)])
def test_parts_of_another_sweep_of_the_same_measurements(own, make_sweep, sigma_w, outside):
    other = make_sweep(
        SweepSpec(points=16, sigma_w=sigma_w, sigma_b=(0.1, 0.3), depth=(3, 6), seed=9), "other", count=16
    )
    for part in parts(other):
        shutil.copy(part, own.path / "parts")
    summary = status(results := load(own.path))
    assert (summary["done"], summary["total"], summary["running"], summary["failed"]) == (8, 8, 0, 0)
    assert (summary["surplus"], summary["outside"]) == (16, outside)
    (line,) = [line for line in text_of(results).splitlines() if "another sweep" in line]
    assert "16 more than this sweep asks for" in line and ("16 outside of its ranges" in line) == bool(outside)
    view = Watcher(own.path).view()
    assert (view.done, view.failed, view.total) == (8, 0, 8)


def test_parts_of_a_sweep_of_other_measurements(own, make_sweep):
    other = make_sweep(SweepSpec(points=16, width=30, depth=(3, 6)), "other", count=16)
    for part in parts(other):
        shutil.copy(part, own.path / "parts")
    summary = status(load(own.path))
    assert (summary["done"], summary["surplus"]) == (8, 0)
    assert all("it is of another sweep" in reason for reason in summary["damaged"].values()) and summary["damaged"]


def test_the_same_part_under_two_names(own):
    for part in parts(own):
        shutil.copy(part, part.with_name(f"copy of {part.name}"))
    assert (status(load(own.path))["done"], Watcher(own.path).view().done) == (8, 8)


def test_parts_from_outside_the_ranges_do_not_count_as_measured(make_sweep, without_ray):
    """They must not end a sweep whose own points are missing."""
    own = make_sweep(SMALL, "own", count=3)
    other = make_sweep(SweepSpec(points=16, sigma_w=(2.5, 3.0), sigma_b=(0.1, 0.3), depth=(3, 6)), "other", count=16)
    for part in parts(other):
        shutil.copy(part, own.path / "parts")
    summary = status(load(own.path))
    assert (summary["done"], summary["total"], summary["outside"]) == (3, 8, 16)
    summary = status(resume(own.path, make=Rehearsal(seconds=0.1)))
    assert (summary["done"], summary["total"], summary["outside"]) == (8, 8, 16)
