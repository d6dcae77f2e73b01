"""A process whose standard streams are closed, full or gone: what a daemon, a pipe or a shell script gives it."""

import subprocess
import sys

import pytest

SWEEP = f"{sys.executable} -m sweep"


def shell(command, **more):
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120, **more)


@pytest.mark.parametrize(
    ("redirection", "code", "error"),
    [
        ("<&-", 0, ""),
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        ("2>/dev/full", 0, ""),
        (">/dev/full", 2, "Error: standard output cannot be written: No space left on device\n"),
        ("| true", 1, ""),
    ],
)
def test_redirections(make_sweep, monkeypatch, redirection, code, error):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    out = shell(f"{SWEEP} status {make_sweep().path} {redirection}; exit ${{PIPESTATUS[0]}}")
    assert (out.returncode, out.stderr) == (code, error)


def test_no_other_file_is_taken_for_a_closed_stream(make_sweep, tmp_path):
    """The next file that a process opens gets the number of its closed standard output."""
    path, picture = make_sweep().path, tmp_path / "p.svg"
    out = shell(f"{SWEEP} plot {path} -o {picture} <&- >&- 2>&-")
    assert out.returncode == 0 and picture.read_text().startswith("<?xml")


def test_bad_input_keeps_its_exit_code_without_standard_error(tmp_path):
    for redirection in ("2>&-", "2>/dev/full"):
        assert shell(f"{SWEEP} status {tmp_path}/none {redirection}").returncode == 2
