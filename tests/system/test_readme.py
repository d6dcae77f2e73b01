"""The README's commands, links and snippets are true.

Every `sweep ...` in a code block or between backticks, there and in the guides to clusters, is run: a block in a
folder of its own, one in the text in a folder with sweeps in it. A new one needs nothing here, unless it takes long
(`QUICKER`, `LESS`), is not complete (`COMPLETE`, `PLACES`), or cannot be run (`NOT_RUN`).
"""

import gzip
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from itertools import pairwise

import click
import numpy as np
import pytest
from click.testing import CliRunner

from sweep.bench import figure, probes
from sweep.cli.main import main
from sweep.results.loading import load
from sweep.spec.columns import COLUMNS
from tests.helpers import ROOT

README = (ROOT / "README.md").read_text()
DOCUMENTS = ("README.md", "cluster/README.md", "cluster/slurm/README.md")

# Why a command is not run, by the command.
NOT_RUN = {
    "sweep run --address auto": "needs a Ray cluster: tests/cluster starts one and runs it there",
    "sweep run --address auto --out runs/first": "needs a Ray cluster: tests/cluster starts one and runs it there",
    "sweep resume runs/first --address auto": "needs a Ray cluster: tests/cluster starts one and runs it there",
    "sweep bench --orchestration": "takes minutes: other tests run such sweeps, with probes that do nothing",
}
# What stands in a command, and what is meant.
COMPLETE = {
    "--log NAME": "--log tensorboard",
    "LAUNCHER [options of the job] -- [options of sweep run]": "docker -- --points 9",
    "sweep probe --images-out": "sweep probe --sigma-w 1.3 --sigma-b 0.2 --depth 5 --images-out",
}
# What stands in a command that is run, and what takes less time.
QUICKER = {
    "sweep bench": "sweep bench --only direct --resize 4",
    "--data-dir data --download": "--data-dir data --download --resize 8",
    "--resize 14": "--resize 8",
    "--resize 16": "--resize 8",
    "--depth 10 100": "--depth 3 12",
    "--depth 5 30": "--depth 2 6",
    "--train all": "--train all --lr 0.1 --epochs 8 --train-images 512",
}
# Options of `sweep run` and `sweep probe`, and the most that the test gives them; those that are not there are added.
LESS = {"--points": 14, "--images": 256, "--probe-steps": 10, "--epochs": 8}
# Words that stand for a sweep, by command.
PLACES = {
    "": {
        **{"DIR": "runs/first", "DIR2": "runs/second", "DIR3": "runs/both", "A": "runs/first", "B": "runs/second"},
        **{"/results/sweep": "runs/first", "/results/first": "runs/first"},
    },
    "compare": {"DIR": "runs/mnist_probe", "DIR2": "runs/mnist"},
}


def blocks(language, text=README):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def lines_of(block):
    """The commands of a block that are ours."""
    lines = (line.partition(" #")[0] for line in block.replace("\\\n", " ").splitlines())
    parts = [part for line in lines for part in line.split(" && ")]
    return [" ".join(part.split()) for part in parts if part.startswith("sweep ")]


BLOCKS = {
    f"{document} {lines[0]}": lines
    for document in DOCUMENTS
    for block in blocks("sh", (ROOT / document).read_text())
    if (lines := lines_of(block))
}
FIRST, COMPARED = "README.md sweep run --out runs/first", "README.md sweep run --search sobol --sigma-w 0.5 2 "


def in_the_text():
    """Commands between backticks; such as ``sweep run`` name one, and are not meant to be typed, but in a table."""
    found = set()
    for document in DOCUMENTS:
        text = re.sub(r"```.*?```", "", (ROOT / document).read_text(), flags=re.DOTALL)
        for before, code in re.findall(r"(^\| )?`([^`]+)`", text, re.MULTILINE):
            if ours := re.search(r"(?:^|\s)(sweep [a-z].*)$", " ".join(code.split())):
                command = ours[1]
                assert command.split()[1] in main.commands, command
                if before or len(command.split()) > 2:
                    found.add(command)
    return sorted(found)


EVERYTHING = sorted({*in_the_text(), *(line for lines in BLOCKS.values() for line in lines)})


def replaced(command, table):
    for text, other in table.items():
        command = re.sub(rf"{re.escape(text)}(?![\w-])", lambda _, other=other: other, command)
    return command


def words_of(command):
    """What the test runs: as it stands, but quicker, and with places that are there."""
    words = shlex.split(replaced(replaced(command, COMPLETE), QUICKER))[1:]
    places = PLACES[""] | PLACES.get(words[0], {})
    words = [places.get(word, word) for word in words]
    if words[0] == "launch" and "--" in words:
        words.insert(words.index("--"), "--dry-run")
    elif words[0] in ("run", "probe"):
        known = {name for option in main.commands[words[0]].params for name in option.opts}
        for option, most in LESS.items():
            if option in words:
                at = words.index(option) + 1
                words[at] = str(min(int(words[at]), most))
            elif option in known:
                words += [option, str(most)]
    return words


def run_here(command, folder, monkeypatch):
    """Run a command in a folder; those that start Ray in a process of their own."""
    words = words_of(command)
    before = set(folder.rglob("*"))
    if words[0] in ("run", "resume"):
        done = subprocess.run(
            [sys.executable, "-m", "sweep", *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
    else:
        monkeypatch.chdir(folder)
        result = CliRunner().invoke(main, words, catch_exceptions=False)
        assert result.exit_code == 0, (words, result.output)
        assert result.stdout.strip(), words
    for flag, name in pairwise(words):  # what it was to make
        if flag in ("-o", "--output", "--out", "--images-out") and words[0] != "launch":
            assert folder / name in set(folder.rglob("*")) - before, (words, name)


def data_in(folder):
    """Images by the names that the README uses: digits in the files of MNIST, and in an .npz."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.pad(np.kron(digits.images * 15, np.ones((3, 3))), ((0, 0), (2, 2), (2, 2))).astype(np.uint8)
    labels = digits.target.astype(np.uint8)
    raw = folder / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, rows in (("train", slice(0, 1437)), ("t10k", slice(1437, None))):
        for kind, values in (("images-idx3", images[rows]), ("labels-idx1", labels[rows])):
            header = np.array([0x800 + values.ndim, *values.shape], ">i4").tobytes()
            (raw / f"{part}-{kind}-ubyte").write_bytes(header + values.tobytes())
            with gzip.open(raw / f"{part}-{kind}-ubyte.gz", "wb") as packed:
                packed.write(header + values.tobytes())
    names = ("train_images", "train_labels", "test_images", "test_labels")
    arrays = images[:300], labels[:300], images[-100:], labels[-100:]
    np.savez(folder / "my_images.npz", **dict(zip(names, arrays, strict=True)))


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder in which a block's commands were run, by its name: each block once."""
    folders = {}

    def run(name):
        if name not in folders:
            folders[name] = folder = tmp_path_factory.mktemp("block")
            data_in(folder)
            (folder / "runs").mkdir()
            with pytest.MonkeyPatch.context() as monkeypatch:
                for command in BLOCKS[name]:
                    if command not in NOT_RUN:
                        run_here(command, folder, monkeypatch)
        return folders[name]

    return run


@pytest.fixture(scope="module")
def lived_in(ran, tmp_path_factory):
    """A folder with sweeps in it: one of them was stopped."""
    folder = tmp_path_factory.mktemp("lived_in")
    data_in(folder)
    (compared,) = (name for name in BLOCKS if name.startswith(COMPARED) and len(BLOCKS[name]) == 3)
    for name in (FIRST, compared):
        shutil.copytree(ran(name) / "runs", folder / "runs", dirs_exist_ok=True)
    shutil.copytree(folder / "runs" / "first", folder / "runs" / "second")
    parts = sorted((folder / "runs" / "second" / "parts").iterdir())
    assert len(parts) > 1
    parts[0].unlink()
    return folder


def test_ci_runs_the_test_command_as_written():
    (command,) = [b.strip() for b in blocks("sh") if "pytest" in b]
    assert command in (ROOT / ".ci" / "run").read_text().splitlines()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_resolve(document):
    path = ROOT / document
    links = re.findall(r"\]\(([^)]+)\)", path.read_text())
    assert links or document == DOCUMENTS[-1]
    for link in links:
        assert link.startswith("https://") or (path.parent / link).exists(), link


@pytest.mark.parametrize("command", EVERYTHING)
def test_every_command_parses(command):
    words = shlex.split(replaced(command, COMPLETE))[1:]
    with click.Context(main) as parent, suppress(click.exceptions.Exit):  # of --help
        main.commands[words[0]].make_context(words[0], words[1:], parent=parent)


def test_options_in_the_table_of_commands_are_there():
    rows = re.findall(r"^\| `sweep ([a-z]+)[^|]*\|(.*)\|$", README, re.MULTILINE)
    assert len(rows) >= 13
    for name, text in rows:
        known = {option for parameter in main.commands[name].params for option in parameter.opts}
        given = [code.split()[0] for code in re.findall(r"`(-[^`]+)`", text)]
        assert set(given) <= known, (name, set(given) - known)


def test_what_is_not_run_is_what_is_listed():
    assert set(EVERYTHING) >= set(NOT_RUN) and all(len(why) > 20 for why in NOT_RUN.values())
    assert not [text for text in (*COMPLETE, *QUICKER) if not any(text in command for command in EVERYTHING)]
    assert len(EVERYTHING) > 35


@pytest.mark.parametrize("name", BLOCKS)
def test_the_commands_of_a_block_run(ran, lived_in, monkeypatch, name):
    if any(command.startswith("sweep run") for command in BLOCKS[name]):
        assert ran(name).is_dir()
    else:  # they are about a sweep that is there
        for command in BLOCKS[name]:
            run_here(command, lived_in, monkeypatch)


@pytest.mark.parametrize("command", [command for command in in_the_text() if command not in NOT_RUN])
def test_a_command_in_the_text_runs(lived_in, tmp_path, monkeypatch, command):
    monkeypatch.setattr(probes, "WIDTH", 16)
    monkeypatch.setattr(figure, "ROUNDS", 1)
    if not command.startswith("sweep run"):
        return run_here(command, lived_in, monkeypatch)
    data_in(tmp_path)
    (tmp_path / "runs").mkdir()
    run_here(command, tmp_path, monkeypatch)


def test_a_sweep_that_was_stopped_is_resumed(lived_in, monkeypatch):
    second, whole = lived_in / "runs" / "second", lived_in / "runs" / "first"
    assert len(load(second).points) < len(load(whole).points)
    run_here("sweep resume runs/second", lived_in, monkeypatch)
    assert len(load(second).points) == len(load(whole).points)


def test_every_column_is_described():
    for table, columns in COLUMNS.items():
        for name in columns:
            assert f"`{name}`" in README, (table, name)


def test_modules_that_are_run_by_name_are_there():
    names = re.findall(r"python -m ([\w.]+)", re.sub(r"python3? -m (venv|pip)\b", "", README))
    assert names and all(find_spec(name) for name in names)


def test_the_snippets_run(make_sweep, tmp_path, monkeypatch, capsys):
    results = make_sweep()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    shutil.copytree(results.path, tmp_path / "runs" / "first")
    for snippet in blocks("python"):
        exec(compile(snippet, "README.md", "exec"), {})
    assert "sigma_b" in capsys.readouterr().out
