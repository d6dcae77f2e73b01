"""Commands write to whatever stands for the standard streams: encodings without our characters, full disks, nothing."""

import errno
import io
import json
import sys

import pytest

from sweep.cli.main import main
from sweep.cli.point import _BARS
from sweep.monitor.progress import Progress
from sweep.results.export import write_table
from sweep.spec.spec import SweepSpec
from sweep.text import encodable


class Full(io.RawIOBase):
    """A disk that is full, or a pipe without a reader."""

    def __init__(self, number=errno.ENOSPC):
        self._number = number

    def writable(self):
        return True

    def write(self, data):
        raise OSError(self._number, "No space left on device")


def stream(raw=None, encoding="utf-8"):
    return io.TextIOWrapper(raw or io.BytesIO(), encoding, write_through=True)


def full():
    return stream(io.BufferedWriter(Full(), 1))


def exit_code(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return ended.value.code or 0


def text_of(stream):
    return stream.buffer.getvalue().decode(stream.encoding)


COMMANDS = [["status"], ["status", "--json"], ["status", "--watch"], ["results"], ["results", "--format", "json"]]


@pytest.mark.parametrize("command", [["--help"], ["--version"], *COMMANDS], ids=" ".join)
def test_full_disk_under_standard_output(monkeypatch, make_sweep, command):
    errors = stream()
    monkeypatch.setattr(sys, "stdout", full())
    monkeypatch.setattr(sys, "stderr", errors)
    assert exit_code(*command, *([make_sweep().path] if command in COMMANDS else [])) == 2
    lines = [line for line in text_of(errors).splitlines() if "Error" in line]
    assert lines == ["Error: standard output cannot be written: No space left on device"]


@pytest.mark.parametrize("command", [["--help"], *COMMANDS], ids=" ".join)
def test_a_reader_that_has_gone_is_no_error(monkeypatch, make_sweep, command):
    errors = stream()
    monkeypatch.setattr(sys, "stdout", stream(io.BufferedWriter(Full(errno.EPIPE), 1)))
    monkeypatch.setattr(sys, "stderr", errors)
    assert exit_code(*command, *([make_sweep().path] if command in COMMANDS else [])) == 1
    assert not text_of(errors)


@pytest.mark.parametrize("errors", [None, "full", "closed"])
def test_standard_error_that_takes_nothing(monkeypatch, tmp_path, errors):
    broken = full() if errors == "full" else errors and io.StringIO()
    if errors == "closed":
        broken.close()
    monkeypatch.setattr(sys, "stderr", broken)
    assert exit_code("status", tmp_path / "nothing") == 2
    assert sys.stderr is broken


def test_without_standard_output(monkeypatch, make_sweep):
    path, errors = make_sweep().path, stream()
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", errors)
    assert exit_code("status", path) == exit_code("status", "--watch", path) == 0
    assert exit_code("results", path) == 2
    assert "'--output': must be given where standard output is closed" in text_of(errors)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-16", "utf-8"])
def test_encodings(monkeypatch, make_sweep, encoding):
    path, output = make_sweep().path, stream(encoding=encoding)
    monkeypatch.setattr(sys, "stdout", output)
    assert exit_code("status", "--watch", path) == 0
    assert text_of(output).startswith(("█" if encoding.startswith("utf") else "#") * 20)
    output = stream(encoding=encoding)
    monkeypatch.setattr(sys, "stdout", output)
    assert exit_code("status", "--json", path) == 0
    assert json.loads(text_of(output))["done"]


def test_lookalikes():
    assert encodable("✓ ok → σw = 1 … · 3 × 4", "ascii") == "+ ok -> sigma_w = 1 ... - 3 x 4"
    assert encodable("3 × 4 · σ", "latin-1") == "3 × 4 · sigma_"
    assert encodable("語\udcff", "ascii") == r"\u8a9e\udcff" and encodable("語\udcff", None) == r"語\udcff"
    assert len({*encodable(_BARS, "ascii")}) == len(_BARS)


@pytest.mark.parametrize("errors", [None, "closed", "ascii"])
def test_progress_of_a_program_without_standard_error(monkeypatch, errors):
    """A program that calls `sweep.run` may have closed its streams, as a daemon does."""
    broken = errors and stream(encoding="ascii")
    if errors == "closed":
        broken.close()
    monkeypatch.setattr(sys, "stderr", broken)
    with Progress(SweepSpec(), 4, [], quiet=False) as progress:
        progress.note("starting")
        progress.start(1, 1)
        progress.say("a word")
        progress.refresh(lambda: ())
    if errors == "ascii":
        assert "." * 20 + " 0/4 done" in text_of(broken)


def test_table_of_a_program_without_standard_output(monkeypatch, make_sweep):
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(ValueError, match="`output` must be given"):
        write_table(make_sweep().points, None, None)
