"""Files and folders as users name and write them: byte order marks, encodings, and ``~`` that no shell replaced."""

import codecs

import pytest
from click.testing import CliRunner

from sweep import SpecError, SweepSpec, load, read_table, write_table
from sweep.cli.main import main
from sweep.plots.saving import Picture
from sweep.report.document import write_report
from sweep.spec.kinds import Text, expanded
from sweep.spec.options import declared
from sweep.storage.sweep_files import SweepFiles

LOCATIONS = [f.name for f, told in declared(SweepSpec) if told.is_location and isinstance(told.kind, Text)]


@pytest.fixture
def home(monkeypatch, tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def dry_run(*arguments):
    return CliRunner().invoke(main, ["run", "--dry-run", "--quiet", *map(str, arguments)])


@pytest.mark.parametrize(
    "content",
    [
        codecs.BOM_UTF8 + b"points = 7\n",
        b"points = 7\r\nsearch = 'grid'\r\n",
        "points = 7 # Überschrift\n".encode(),
        b"points = 7",
    ],
)
def test_configurations_of_other_editors(tmp_path, content):
    (tmp_path / "c.toml").write_bytes(content)
    result = dry_run("--config", tmp_path / "c.toml", "--out", tmp_path / "x")
    assert result.exit_code == 0 and "7" in result.stdout


@pytest.mark.parametrize("content", ["points = 7".encode("utf-16"), "dataset = 'Größe.npz'".encode("latin-1")])
def test_a_configuration_in_another_encoding(tmp_path, content):
    (tmp_path / "c.toml").write_bytes(content)
    result = dry_run("--config", tmp_path / "c.toml", "--out", tmp_path / "x")
    assert result.exit_code == 2 and "its text must be in UTF-8" in result.stderr


def test_an_empty_configuration(tmp_path):
    (tmp_path / "c.toml").touch()
    assert dry_run("--config", tmp_path / "c.toml", "--out", tmp_path / "x").exit_code == 0


@pytest.mark.parametrize("name", LOCATIONS)
def test_a_location_of_a_spec(home, name):
    assert getattr(SweepSpec(**{name: "~/x.npz"}), name) == str(home / "x.npz")
    for wrong, why in (("~nobody-here/x.npz", "no such user"), ("$HOME/x.npz", "variables")):
        with pytest.raises(SpecError, match=why):
            SweepSpec(**{name: wrong})


def test_paths_that_begin_otherwise_stay():
    for path in ("x~", "./~x", "s3://bucket/~/x", "/a/$b", "file:///~"):
        assert expanded(path) == path


@pytest.mark.parametrize("source", ["option", "file"])
def test_a_sweep_in_the_home_directory(home, tmp_path, source):
    (tmp_path / "c.toml").write_text("out = '~/runs/x'")
    options = ["--out=~/runs/x"] if source == "option" else ["--config", "c.toml"]
    (home / "runs").mkdir()
    (home / "runs" / "x").write_text("no folder")
    result = CliRunner().invoke(main, ["run", "--points", "1", *options])
    assert result.exit_code == 2 and str(home / "runs" / "x") in result.stderr
    assert not (tmp_path / "~").exists()


def test_files_of_the_python_interface(home, make_sweep):
    results = make_sweep(folder="home/made-up")
    assert load("~/made-up").files == results.files
    assert SweepFiles("~/made-up").location == str(home / "made-up")
    write_table(results.points, None, "~/points.csv")
    assert len(read_table("~/points.csv")) == len(results.points)
    assert write_report(results, "~/report.html") == home / "report.html"
    assert Picture(results, "x.png", "~/y.png").path == home / "y.png"
