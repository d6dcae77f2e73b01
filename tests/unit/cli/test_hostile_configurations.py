"""Configuration files from strangers: one line says what is wrong, and a terminal does not obey it."""

import pytest
from click.testing import CliRunner

from sweep.cli.main import main


def hostile_configs():
    yield "arrays in arrays", b"points = " + b"[" * 30_000
    yield "tables in tables", b"points = " + b"{a=" * 3000 + b"1" + b"}" * 3000
    yield "a key of many parts", b"points" + b".a" * 3000 + b" = 1"
    yield "a huge integer", b"points = 1" + b"0" * 5000
    yield "a large integer", b"points = 1" + b"0" * 4000
    yield "a huge float", b"threshold = 1e99999"
    yield "no number", b"threshold = nan"
    yield "a date", b"points = 1979-05-27T07:32:00Z"
    yield "a table", b"[points]\nx = 1"
    yield "a list of lists", b"sigma_w = [[1], [2]]"
    yield "lists of numbers", b"lr = [[0.1], 0.2]"
    yield "a flag that is none", b"download = '" + b"x" * 1000 + b"'"
    yield "an escape sequence as key", b'"\\u001b]0;gotcha\\u0007" = 1'
    yield "an escape sequence as value", b'search = "\\u001b[2J\\u001b]0;gotcha\\u0007"'
    yield "an escape sequence as data set", b'dataset = "\\u001b[2J\\u001b]0;gotcha\\u0007.npz"'
    yield "a long key", b"x" * 30_000 + b" = 1"
    yield "a long choice", b"search = '" + b"x" * 30_000 + b"'"
    yield "a long data set", b"dataset = '" + b"x" * 30_000 + b"'"
    yield "a zero byte", b'dataset = "a\\u0000b.npz"'
    yield "many keys", b"".join(b"a%d = 1\n" % i for i in range(3000))
    yield "megabytes of keys", b"".join(b"a%d = 1\n" % i for i in range(500_000))
    yield "megabytes of a text", b"dataset = '" + b"x" * 6_000_000 + b"'"
    yield "megabytes of brackets", b"[[" * 3_000_000
    yield "binary", bytes(range(256)) * 100
    yield "zeros", bytes(10_000)


@pytest.mark.parametrize("content", [pytest.param(c, id=name) for name, c in hostile_configs()])
def test_a_hostile_configuration_is_one_line(content, tmp_path):
    path = tmp_path / "c.toml"
    path.write_bytes(content)
    refused = CliRunner().invoke(main, ["run", "--out", f"{path}-out", "--config", str(path)])
    assert refused.exit_code == 2 and isinstance(refused.exception, SystemExit), refused.exception
    *_, last = lines = refused.stderr.splitlines()
    assert last.startswith("Error: ") and sum(line.startswith("Error: ") for line in lines) == 1
    assert len(refused.stderr) < 5000 and all(line.isprintable() for line in lines) and not refused.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["c.toml"]
