"""The checks of `sweep doctor` that start no process."""

import json
from importlib import metadata

import psutil
import pytest
from click.testing import CliRunner

from sweep.cli.main import main
from sweep.doctor import checks, doctor
from sweep.doctor.answers import FAULT, OK, WARNING, Check

pytestmark = pytest.mark.usefixtures("nothing_of_the_users")


def test_places(tmp_path, monkeypatch):
    assert checks.check_results(str(tmp_path / "runs" / "first")).verdict == OK and not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    assert checks.check_results(str(tmp_path / "file" / "x")).verdict == FAULT
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(deep))
    assert "too long a path" in checks.check_temporary().found
    monkeypatch.delenv("RAY_TMPDIR")
    monkeypatch.setenv("TMPDIR", str(deep))  # which Ray uses then
    assert "too long a path" in checks.check_temporary().found


def test_faults_are_said_with_what_to_do_and_are_exit_code_1(monkeypatch):
    checks = [
        Check("ray", FAULT, "does not start\x1b[31m", "wait"),
        Check("shared memory", WARNING, "0.01 GiB", "more"),
    ]
    monkeypatch.setattr(doctor, "examine", lambda *place: [*checks, Check("torch", OK, "2.9")])
    out = CliRunner().invoke(main, ["doctor"])
    assert out.exit_code == 1 and "\x1b" not in out.stdout
    assert [line[:17] for line in out.stdout.splitlines()] == [
        "✗ ray            ",
        "                 ",
        "! shared memory  ",
        "                 ",
        "✓ torch          ",
        "",
        "1 fault, 1 warnin",
    ]
    assert "→ wait" in out.stdout
    answer = json.loads(CliRunner().invoke(main, ["doctor", "--json"]).stdout)
    assert answer["ok"] is False and answer["checks"][0]["verdict"] == FAULT


def test_packages(monkeypatch):
    assert checks.check_packages().verdict == OK
    real = metadata.version

    def version(name):
        if name == "plotly":
            raise metadata.PackageNotFoundError
        return "2.1" if name == "ray" else real(name)

    monkeypatch.setattr(metadata, "version", version)
    check = checks.check_packages()
    assert check.verdict == FAULT and "plotly is missing" in check.found and "ray 2.1 is not <3,>=" in check.found
    assert "'plotly>=6.0'" in check.advice and "'ray[tune]<3,>=" in check.advice


def test_extras(monkeypatch):
    monkeypatch.setattr(checks, "_EXTRAS", {"study": "json", "mlflow": "not_there"})
    assert checks.check_extras() == Check("extras", OK, "study; if wanted: pip install '.[mlflow]'")


def test_what_a_container_may_use(monkeypatch):
    monkeypatch.setattr("sweep.limits.schedulable_cores", lambda: 8)
    for limit, text in ((1.5, "2 usable (1.5 by the limit of this container), "), (None, "8 usable, ")):
        monkeypatch.setattr("sweep.limits.cgroup_cores", lambda limit=limit: limit)
        check = checks.check_cores()
        assert check.verdict == OK and check.found.startswith(text)

    free = psutil.virtual_memory()._replace(available=16 * 2**30)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    for limit, verdict, text in ((None, OK, "16.0 GiB free"), (20, OK, "16.0 GiB free"), (1, WARNING, "1.0 GiB left")):
        monkeypatch.setattr("sweep.limits.cgroup_bytes", lambda limit=limit: limit and limit * 2**30)
        check = checks.check_memory()
        assert check.verdict == verdict and check.found.startswith(text)


def test_token(monkeypatch, tmp_path):
    assert "the first sweep writes" in checks.check_token().found
    path = tmp_path / ".ray" / "auth_token"
    path.parent.mkdir()
    path.write_text("secret")
    path.chmod(0o644)
    check = checks.check_token()
    assert check == Check("token", FAULT, f"{path} has mode 0644: other users can access it", f"chmod 600 {path}")
    path.chmod(0o600)
    assert checks.check_token() == Check("token", OK, str(path))
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/nowhere/token")
    assert checks.check_token().verdict == FAULT
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    assert checks.check_token() == Check("token", OK, "in RAY_AUTH_TOKEN")
    for mode, verdict in (("disabled", WARNING), ("yes", FAULT), ("token", OK)):
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
        assert checks.check_token().verdict == verdict and "secret" not in str(checks.check_token())


def test_data_sets(tmp_path):
    check = checks.check_data_sets(tmp_path)
    assert check.verdict == WARNING and f"none in {tmp_path}" in check.found
    assert check.advice == f"if wanted: sweep run --dataset mnist --data-dir {tmp_path} --download"
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in checks._MNIST[:-1]:
        (raw / name).write_text("x")
    assert "mnist lacks t10k-labels-idx1-ubyte" in checks.check_data_sets(tmp_path).found
    (raw / "t10k-labels-idx1-ubyte.gz").touch()  # empty: a download that was cut off
    assert checks.check_data_sets(tmp_path).verdict == WARNING
    (raw / "t10k-labels-idx1-ubyte.gz").write_text("x")
    check = checks.check_data_sets(tmp_path)
    assert check.verdict == OK and check.found.startswith(f"mnist in {tmp_path}")


def test_the_data_of_the_reference_folder_is_found(shared):
    assert "mnist" in checks.check_data_sets(shared / "data").found
