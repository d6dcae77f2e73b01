"""The commands and snippets of the READMEs run: see `tests/helpers/documents.py`.

The first one runs in a process of its own, as a user types it. The others run in this one, on one Ray: what they would
spend is its start, and that of workers.
"""

import gzip
import os
import shutil
import subprocess
import sys
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from click.testing import CliRunner

from sweep.bench import figure, probes
from sweep.cli.main import main
from sweep.results.loading import load
from tests.helpers import ROOT
from tests.helpers.documents import BLOCKS, IN_THE_TEXT, NOT_RUN, TEXTS, blocks, words_of

FIRST = "README.md sweep run --out runs/first"
COMPARED = "sweep/analysis/README.md sweep run --search sobol --sigma-w 0.5 2 "
# Blocks are run in a folder each, but those that are about a sweep that is there.
BEGINNING = [name for name, commands in BLOCKS.items() if any(c.startswith("sweep run") for c in commands)]
GOING_ON = [command for name, commands in BLOCKS.items() if name not in BEGINNING for command in commands]


def _started_already(text_command):
    """Whether a command of the text is, as it is run here, the first one of the first block."""
    return sorted(words_of(text_command)) == sorted(words_of(BLOCKS[FIRST][0]))


@pytest.fixture(scope="module")
def one_ray():
    """Let all sweeps of this process share a Ray, and its workers."""
    import ray

    with pytest.MonkeyPatch.context() as patch:
        end = ray.shutdown
        patch.setattr(ray, "init", partial(ray.init, ignore_reinit_error=True))
        patch.setattr(ray, "shutdown", lambda: None)
        yield
        end()


def run_apart(words, folder):
    """Run a command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "sweep", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, (words, done.stdout, done.stderr)


def run_here(words, folder):
    """Run a command in this process; with one worker, since its start is what takes long."""
    if words[0] == "run" and "--help" not in words:
        words = [*words, "--concurrency", "1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(probes, "WIDTH", 16)
        patch.setattr(figure, "ROUNDS", 1)
        result = CliRunner().invoke(main, words, catch_exceptions=False)
    assert result.exit_code == 0, (words, result.output)
    assert words[0] in ("run", "resume") or "-o" in words or result.stdout.strip(), words


def run(command, folder, how=run_here):
    """Run a command in a folder; it makes what it says that it makes."""
    words = words_of(command)
    before = set(folder.rglob("*"))
    how(words, folder)
    for flag, name in pairwise(words):
        if flag in ("-o", "--output", "--out", "--images-out", "--picture") and words[0] != "launch":
            assert folder / name in set(folder.rglob("*")) - before, (words, name)


def data_in(folder):
    """Images by the names that the README uses, digits in the files of MNIST and in an .npz; and a network."""
    from sklearn.datasets import load_digits

    (network,) = (s for s in blocks("python", TEXTS["probes/README.md"]) if "def network(" in s)
    (folder / "my_networks.py").write_text(network)

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
def ran(one_ray, tmp_path_factory):
    """Return a function that gives the folder in which a block's commands were run, each block once."""
    folders = {}

    def of(name):
        if name not in folders:
            folders[name] = folder = tmp_path_factory.mktemp("block")
            data_in(folder)
            (folder / "runs").mkdir()
            for command in BLOCKS[name]:
                if command not in NOT_RUN:
                    run(command, folder, run_apart if name == FIRST else run_here)
        return folders[name]

    return of


@pytest.fixture(scope="module")
def lived_in(ran, tmp_path_factory):
    """Return a folder with sweeps in it: one of them was stopped."""
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


@pytest.mark.parametrize("name", BEGINNING)
def test_the_commands_of_a_block_run(ran, name):
    assert ran(name).is_dir()


@pytest.mark.parametrize("command", [command for command in (*GOING_ON, *IN_THE_TEXT) if command not in NOT_RUN])
def test_a_command_about_sweeps_that_are_there_runs(lived_in, ran, tmp_path, command):
    if not command.startswith("sweep run"):
        return run(command, lived_in)
    if _started_already(command):
        assert (ran(FIRST) / "runs" / "first").is_dir()
        return None
    data_in(tmp_path)
    (tmp_path / "runs").mkdir()
    return run(command, tmp_path)


def test_a_sweep_that_was_stopped_is_resumed(lived_in):
    second = lived_in / "runs" / "second"
    assert len(load(second).points) < load(second).spec.points
    run("sweep resume runs/second", lived_in)
    assert len(load(second).points) == load(second).spec.points


def test_the_snippets_run(make_sweep, one_ray, tmp_path, monkeypatch, capsys):
    results = make_sweep()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    shutil.copytree(results.path, tmp_path / "runs" / "first")
    for document, text in TEXTS.items():
        for snippet in blocks("python", text):
            exec(compile(snippet, document, "exec"), {})
    assert "sigma_b" in capsys.readouterr().out
