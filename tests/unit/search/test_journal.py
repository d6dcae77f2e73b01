"""`--study`: which studies are refused, and what happens when the one that was chosen fails; servers: tests/service."""

import contextlib
import sqlite3

import pytest
from click.testing import CliRunner

import sweep
from sweep.cli.main import main
from sweep.errors import SpecError
from sweep.execution import driver
from sweep.search.journal import JOURNAL, STUDY_NAME
from sweep.search.study import SweepStudy
from sweep.spec.spec import SweepSpec
from tests.helpers.study import drain, places, rows_of

PASSWORD = "hush-hush-1234"
SPEC = {"points": 27, "search": "sobol", "study": "env:STUDY"}


@pytest.fixture
def database(tmp_path, monkeypatch):
    """Return a file in place of a server."""
    path = tmp_path / "study.sqlite"
    monkeypatch.setenv("STUDY", f"sqlite:///{path}")
    return path


def spoil(database):
    """Take the table of trials away."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("ALTER TABLE trials RENAME TO elsewhere")


@pytest.mark.parametrize("search", ["boundary", "tpe", "grid", "sobol"])
def test_a_database_that_fails_costs_nothing(database, tmp_path, search, caplog):
    """The sweep goes on without it."""
    spec = SweepSpec(**SPEC | {"search": search, "replicas": 2})
    study = SweepStudy(spec, tmp_path)
    rows = rows_of(study.ask(8))
    study.tell(rows)
    under_way, late = study.ask(8), study.ask(8)
    spoil(database)
    for points in (late, under_way):
        study.tell(rows_of(points))
        rows += rows_of(points)
    rows += drain(study)
    (record,) = caplog.records
    assert "env:STUDY cannot be used any more" in record.getMessage()
    assert len({(r["sigma_w"], r["sigma_b"], r["depth"], r["seed"]) for r in rows}) == len(rows) == 54
    assert len(places(rows)) == 27 and (tmp_path / JOURNAL).exists()


@pytest.mark.parametrize("search", ["grid", "sobol"])
def test_a_design_is_not_changed_by_a_server_that_goes_away(database, tmp_path, search):
    """Not a cell of the grid is left out."""
    for name in "ab":
        (tmp_path / name).mkdir()
    undisturbed = drain(SweepStudy(SweepSpec(**SPEC | {"search": search, "study": None}), tmp_path / "a"))
    study = SweepStudy(SweepSpec(**SPEC | {"search": search}), tmp_path / "b")
    first = rows_of(study.ask(5))
    spoil(database)
    study.tell(first)
    rows = first + drain(study)
    assert {tuple(r.items()) for r in rows} == {tuple(r.items()) for r in undisturbed}


SECRET = (
    f"postgresql://user:{PASSWORD}@127.0.0.1/x",
    f"postgresql://127.0.0.1/x?user=u&password={PASSWORD}",
    f"redis://:{PASSWORD}@127.0.0.1:6379/0",
    f"user:{PASSWORD}@127.0.0.1/x",
    f"env:redis://:{PASSWORD}@127.0.0.1",
    PASSWORD,
)


@pytest.mark.parametrize("url", SECRET)
def test_a_password_is_refused_and_not_repeated(url, tmp_path):
    config = tmp_path / "c.toml"
    config.write_text(f"study = '{url}'")
    for arguments in (["--study", url], ["--config", str(config)]):
        done = CliRunner().invoke(main, ["run", "--out", str(tmp_path / "out"), *arguments])
        assert done.exit_code == 2 and "study" in done.stderr and PASSWORD not in done.output
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("value", "exit_code"),
    [
        (None, 2),
        ("", 2),
        ("nonsense", 2),
        (f"nonsense://user:{PASSWORD}@127.0.0.1/x", 2),
        (f"redis://:{PASSWORD}@127.0.0.1:port/0", 2),
        (f"postgresql://user:{PASSWORD}@127.0.0.1:PORT/x", 3),  # it may be there another time
        (f"redis://:{PASSWORD}@127.0.0.1:PORT/0", 3),
        ("sqlite:////proc/x/y.sqlite", 3),
    ],
)
def test_a_variable_that_names_no_server(value, exit_code, tmp_path, monkeypatch):
    monkeypatch.delenv("STUDY", raising=False)
    if value is not None:
        monkeypatch.setenv("STUDY", value.replace("PORT", "1"))
    done = CliRunner().invoke(main, ["run", "--out", str(tmp_path / "out"), "--study", "env:STUDY"])
    assert done.exit_code == exit_code, done.output
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert "--study" in line and "env:STUDY" in line and PASSWORD not in done.output
    assert not (tmp_path / "out").exists()


def test_a_spec_from_elsewhere_chooses_no_database(make_sweep, tmp_path, monkeypatch):
    """It could be any that this user may write to."""
    monkeypatch.setattr(driver, "run_trials", lambda *a: None)
    target = tmp_path / "precious.sqlite"
    path = make_sweep(SweepSpec(points=64, study=f"sqlite:///{target}")).path
    with pytest.raises(SpecError, match="`study` must be given again"):
        sweep.resume(path)
    assert not target.exists() and not (path / STUDY_NAME).exists()
    done = CliRunner().invoke(main, ["resume", str(path), "--study", "none", "--quiet"])
    assert done.exit_code == 0, done.output
    assert not target.exists() and (path / JOURNAL).exists() and SweepSpec.read(path / "spec.json").study is None
    assert len(sweep.resume(path, study=f"sqlite:///{target}").points) == 64 and target.exists()
