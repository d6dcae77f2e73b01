"""What `sweep run` prints when everything is measured, and what must not hide it."""

import json

import pytest
from click.testing import CliRunner

from sweep.cli.main import main
from sweep.cli.shared import Unavailable, usage_error
from sweep.errors import SpecError, UnavailableError

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


def test_an_error_names_an_option_as_it_is_written_and_a_variable_as_it_is_called():
    for error, text in (
        (UnavailableError("`data_dir` 'x' is away"), "--data-dir 'x' is away"),
        (UnavailableError("`RAY_ADDRESS` 'x' cannot be joined"), "`RAY_ADDRESS` 'x' cannot be joined"),
    ):
        assert Unavailable(error).message == text
    assert usage_error(SpecError("`data_dir` must be y")).message == "Invalid value for '--data-dir': must be y"
    assert usage_error(SpecError("`RAY_ADDRESS` must be y")).message == "`RAY_ADDRESS` must be y"
