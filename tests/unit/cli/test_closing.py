"""What `sweep run` prints when everything is measured, and what must not hide it."""

import json

import pytest
from click.testing import CliRunner

from sweep.cli.main import main

ARGUMENTS = ["run", "--points", "8", "--depth", "3", "6", "--dataset", "digits", "--probe", "direct"]


@pytest.fixture
def run(without_ray, tmp_path):
    return lambda *more: CliRunner().invoke(main, [*ARGUMENTS, "--out", str(tmp_path / "sweep"), *more])


def broken(*args, **kwargs):
    raise RuntimeError("the axes\nare gone")


def test_a_picture_that_cannot_be_drawn_hides_nothing(run, monkeypatch, tmp_path):
    monkeypatch.setattr("sweep.plots.diagram.phase_diagram", broken)
    done = run()
    assert done.exit_code == 0 and "8 points: 8 ok" in done.stdout and "\npicture" not in done.stdout
    reason = "the picture could not be made (RuntimeError: the axes are gone); all points are stored in"
    assert f"{reason} {tmp_path / 'sweep'}\n" in done.stderr


def test_a_table_that_cannot_be_made_hides_nothing(run, monkeypatch):
    monkeypatch.setattr("sweep.cli.tables.table", broken)
    done = run()
    assert done.exit_code == 0 and not done.stdout
    assert "the table could not be made (RuntimeError: the axes are gone); all points are stored in" in done.stderr


def test_json_needs_no_picture(run, monkeypatch):
    monkeypatch.setattr("sweep.plots.diagram.phase_diagram", broken)
    done = run("--json", "--quiet")
    assert done.exit_code == 0 and json.loads(done.stdout)["done"] == 8
    assert done.stderr.count("\n") == 1
