"""A sweep directory that came from a stranger: nothing in it is executed, nothing outside of it is touched."""

import contextlib
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import sweep
from probes import Point
from probes.datasets import DatasetError, load_images
from sweep.cli.main import main
from sweep.cli.tables import status_text
from sweep.errors import SpecError
from sweep.execution import driver
from sweep.plots.diagram import save_phase_diagram
from sweep.results.status import status
from sweep.spec.spec import SweepSpec
from sweep.storage.checkpoints import Checkpoints
from sweep.storage.store import Store
from sweep.storage.sweep_files import SweepFiles
from tests.helpers.traps import Trap, plant, plant_everywhere, trap  # noqa: F401

# ruff: noqa: F811


@pytest.fixture
def no_ray(monkeypatch):
    """A driver that has nothing to measure: what is around the measuring is tested."""
    monkeypatch.setattr(driver, "run_trials", lambda *a: None)


def everything(folder):
    """All files under a folder, with their content."""
    contents = {}
    for root, folders, names in os.walk(folder):
        for name in names:
            path = Path(root, name)
            contents[str(path)] = os.readlink(path) if path.is_symlink() else path.read_bytes()
        contents |= {str(Path(root, n)): "a folder" for n in folders}
    return contents


def test_no_pickle_is_opened(make_sweep, trap, no_ray):
    data, sprung = trap
    path = make_sweep(SweepSpec(points=64), count=60).path
    points = [Point(1.0, 0.1, 5, seed) for seed in range(3)]
    plant_everywhere(path, data, points)
    assert Checkpoints(path).load(points) == {}
    results = sweep.load(path)
    text = status_text(status(results))
    for name in ("x.pkl", "x.parquet", f"part-{'a' * 32}.parquet"):
        assert f"left out: parts/{name}: " in text
    assert len(results.points) == 60 and len(results.profiles) > 0
    save_phase_diagram(results)
    resumed = sweep.resume(path)
    assert len(resumed.points) == 60 and len(resumed.store.damaged_files()) == 4 and not resumed.damaged
    assert not sprung.exists()
    assert (path / "study.damaged").exists()
    assert os.listdir(path / "checkpoints") == ["mine.pt"]  # not ours to delete


def test_data_sets_are_no_pickles(tmp_path, trap):
    data, sprung = trap
    trapped = np.array([Trap(sprung)], dtype=object)
    images = {name: trapped for name in ("train_images", "train_labels", "test_images", "test_labels")}
    np.savez(tmp_path / "a.npz", **images)
    (tmp_path / "b.npz").write_bytes(data)
    for folder in ("MNIST", "FashionMNIST"):
        plant(tmp_path / folder / "processed" / "training.pt", data)
        plant(tmp_path / folder / "processed" / "test.pt", data)
    for name in ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"):
        plant(tmp_path / "cifar-10-batches-py" / name, data)
    plant(tmp_path / "cifar-10-batches-py" / "batches.meta", data)
    for name in (str(tmp_path / "a.npz"), str(tmp_path / "b.npz"), "mnist", "fashion-mnist", "cifar10", "cifar10-rgb"):
        with pytest.raises(DatasetError):
            load_images(name, data_dir=tmp_path)
    assert not sprung.exists()


def test_torch_opens_no_pickle_of_a_checkpoint(tmp_path, trap):
    _, sprung = trap
    point, checkpoints = Point(1.0, 0.1, 5, 0), Checkpoints(tmp_path)
    checkpoints.save({point: {}})
    torch.save(Trap(sprung), tmp_path / "checkpoints" / checkpoints._name(point))
    assert checkpoints.load([point]) == {} and not sprung.exists()


@pytest.fixture
def victim(tmp_path):
    """What must stay as it is."""
    folder = tmp_path / "victim"
    plant(folder / "precious.txt", b"mine")
    plant(folder / "checkpoints" / "best.pt", b"mine")
    plant(folder / "checkpoints" / f"{'a' * 32}.pt", b"mine")
    plant(folder / "parts" / "notes.txt", b"mine")
    return folder


@pytest.mark.parametrize("how", ["{victim}", "../victim", "file://{victim}", "{victim}/../victim", "/etc", "/"])
def test_a_storage_elsewhere_gets_nowhere(make_sweep, victim, monkeypatch, no_ray, how):
    path = make_sweep().path
    spec = replace(SweepSpec.read(path / "spec.json"), points=70)
    replace(spec, storage=how.format(victim=victim)).save(path / "spec.json")
    monkeypatch.chdir(path)
    before = everything(victim)
    listed = os.listdir("/etc"), os.listdir("/")
    with pytest.raises(SpecError, match="`storage`"):
        sweep.resume(path)
    with contextlib.suppress(SpecError, OSError):
        sweep.load(path).store.read()
    assert everything(victim) == before and (os.listdir("/etc"), os.listdir("/")) == listed


def test_a_storage_of_another_sweep_is_not_touched(make_sweep, no_ray):
    mine = make_sweep(SweepSpec(points=64, width=9), folder="mine")
    path = make_sweep(folder="theirs").path
    replace(SweepSpec.read(path / "spec.json"), storage=str(mine.path)).save(path / "spec.json")
    before = everything(mine.path)
    with pytest.raises(SpecError, match="spec.json of another sweep"):
        sweep.resume(path)
    assert everything(mine.path) == before


LINKS = ["parts", "checkpoints", "damaged", ".tune", "study.journal", "sweep.lock", "spec.json.tmp", "versions.json"]


@pytest.mark.parametrize("name", [*LINKS, "phase_diagram.png", "study.damaged"])
def test_links_out_of_the_directory_are_refused(make_sweep, victim, no_ray, name):
    path = make_sweep(SweepSpec(points=70)).path
    if name == "parts":
        (path / name).rename(path / "away")
    (path / name).symlink_to(victim if "." not in name or name == ".tune" else victim / "precious.txt")
    before = everything(victim)
    with pytest.raises(SpecError, match=f"'{name}' in .* must be a file or folder of its own"):
        sweep.resume(path)
    assert everything(victim) == before


def test_a_link_in_the_place_of_a_picture_is_replaced(make_sweep, victim):
    results = make_sweep()
    (results.path / "phase_diagram.png").symlink_to(victim / "precious.txt")
    save_phase_diagram(results)
    assert (victim / "precious.txt").read_bytes() == b"mine"
    assert not (results.path / "phase_diagram.png").is_symlink()


def test_links_among_the_parts_are_moved_not_followed(make_sweep, victim, no_ray):
    path = make_sweep().path
    for name, target in {"a.parquet": victim / "precious.txt", "b": victim, "c.parquet": victim / "parts"}.items():
        (path / "parts" / name).symlink_to(target)
    leftover = path / "parts" / f"{'a' * 32}.parquet.tmp"
    leftover.symlink_to(victim / "precious.txt")
    before = everything(victim)
    sweep.resume(path)
    assert everything(victim) == before and not leftover.is_symlink()
    assert sorted(os.listdir(path / "damaged")) == ["a.parquet", "b", "c.parquet"]


def test_clearing_checkpoints_deletes_only_those(tmp_path, victim):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    ours = [f"{'a' * 32}.pt", f"{'b' * 32}.pt.{'c' * 8}.tmp"]
    others = ["notes.txt", "a.pt", f"{'A' * 32}.pt", f"{'a' * 31}.pt", f"{'a' * 32}.pt.bak"]
    for name in (*ours, *others):
        (folder / name).touch()
    (folder / f"{'d' * 32}.pt").symlink_to(victim / "precious.txt")
    (folder / f"{'e' * 32}.pt").mkdir()
    before = everything(victim)
    Checkpoints(tmp_path).clear()
    assert everything(victim) == before
    assert sorted(os.listdir(folder)) == sorted([*others, f"{'e' * 32}.pt"])


def test_saving_a_checkpoint_follows_no_link(tmp_path, victim):
    point, checkpoints = Point(1.0, 0.1, 5, 0), Checkpoints(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    name = checkpoints._name(point)
    for link in (name, f"{name}.tmp"):
        (tmp_path / "checkpoints" / link).symlink_to(victim / "precious.txt")
    checkpoints.save({point: {"a": 1}})
    assert (victim / "precious.txt").read_bytes() == b"mine" and checkpoints.load([point]) == {point: {"a": 1}}


def test_a_checkpoint_that_cannot_be_saved_is_one_line_in_the_log(tmp_path, caplog):
    (tmp_path / "checkpoints").write_text("in the way")
    for place in (tmp_path, "nonsense://x", "s3://"):
        caplog.clear()
        checkpoints = Checkpoints(place)
        for _ in range(3):
            checkpoints.save({Point(1.0, 0.1, 5, 0): {}})
        checkpoints.forget([Point(1.0, 0.1, 5, 0)])
        checkpoints.clear()
        assert checkpoints.load([Point(1.0, 0.1, 5, 0)]) == {}
        (record,) = caplog.records
        assert "checkpoints of trainings cannot be saved" in record.getMessage()


def test_a_spec_from_elsewhere_downloads_nothing(make_sweep, victim, no_ray, monkeypatch):
    """Where to, would be its choice."""
    from torchvision.datasets import mnist

    monkeypatch.setattr(mnist.MNIST, "download", lambda self: pytest.fail("it was downloaded"))
    path = make_sweep().path
    spec = SweepSpec(dataset="mnist", download=True, data_dir=str(victim))
    spec.save(path / "spec.json")
    before = everything(victim)
    with pytest.raises(SpecError, match="mnist cannot be read"):
        sweep.resume(path)
    assert everything(victim) == before


def test_a_spec_from_elsewhere_joins_no_cluster(make_sweep, no_ray):
    """Its head would send us pickles."""
    path = make_sweep(SweepSpec(points=70, address="evil.example:10001")).path
    with pytest.raises(SpecError, match="`address` must be given again"):
        sweep.resume(path)
    assert len(sweep.resume(path, address="evil.example:10001").points) == 64


def test_what_a_stranger_wrote_does_not_command_the_terminal(make_sweep):
    results = make_sweep(failed=1)
    row = results.points.iloc[0].to_dict() | {
        "seed": 10**6,
        "status": "failed",
        "error": "\x1b]0;gotcha\x07",
        "finished": 2e9,
    }
    kept = {k: v for k, v in row.items() if k in ("sigma_w", "sigma_b", "depth", "seed", "status", "error", "finished")}
    results.store.write([kept])
    (results.path / "parts" / "\x1b[2J.parquet").touch()
    summary = status(sweep.load(results.path))
    assert "gotcha" in summary["last_error"] and len(summary["damaged"]) == 1
    assert all(line.isprintable() for line in status_text(summary).splitlines())


@pytest.mark.parametrize("command", ["status", "results", "resume"])
@pytest.mark.parametrize(
    "content", ["[" * 100_000, '{"storage": "/etc"}', '{"first_points": "x"}', '{"depth": {"a": 1}}']
)
def test_a_hostile_spec_is_one_line(make_sweep, command, content):
    path = make_sweep().path
    (path / "spec.json").write_text(content)
    done = CliRunner().invoke(main, [command, str(path)])
    assert isinstance(done.exception, SystemExit) and done.exit_code == 2
    assert done.stderr.splitlines()[-1].startswith("Error: ")


@pytest.mark.parametrize("uri", ["s3://key:secret@bucket/x", "s3://bucket/x?secret_key=secret"])
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(uri, tmp_path):
    for arguments in (["run", "--out", uri], ["run", "--storage", uri, "--out", str(tmp_path / "x")], ["status", uri]):
        done = CliRunner().invoke(main, arguments)
        assert isinstance(done.exception, SystemExit) and done.exit_code == 2 and "environment" in done.stderr
        assert "secret@" not in done.output and "=secret" not in done.output
    assert not (tmp_path / "x").exists()


def test_a_spec_holds_no_secret(tmp_path):
    spec = json.loads(SweepSpec(storage="s3://bucket/x").as_json()) | {"storage": "s3://key:hushhush@bucket"}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    with pytest.raises(SpecError, match="environment") as caught:
        SweepFiles(tmp_path).read_spec()
    assert "hushhush" not in str(caught.value)


def test_a_store_with_parts_of_another_sweep_is_taken_by_nobody(tmp_path):
    store = Store(tmp_path / "x", "another")
    store.create()
    store.write([{"sigma_w": 1.0, "sigma_b": 0.1, "depth": 5, "seed": 0, "status": "ok", "margin": 1.0}])
    with pytest.raises(SpecError, match="holds the results of another sweep"):
        sweep.run(SweepSpec(points=1), tmp_path / "x")
    assert sorted(os.listdir(tmp_path / "x")) == ["parts", "sweep.lock"] and store.read().rows.num_rows == 1
