"""Sweeps of networks of the user, on a fake Tune."""

import json
import time
from dataclasses import replace

import pytest
from click.testing import CliRunner

import sweep
from sweep.cli.main import main
from sweep.errors import SpecError
from sweep.results.merge import merge
from tests.unit.cli.test_network import BESIDE, FILE, file
from tests.unit.probes.test_custom import mlp

__all__ = ["file"]
SPEC = sweep.SweepSpec(probe="direct", images=64, resize=4, points=6, depth=(2, 5), pack=3)


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_a_function_that_a_program_gives(without_ray, tmp_path):
    path = tmp_path / "own"
    own = sweep.run(SPEC, path, network=mlp)
    assert (own.points["status"] == "ok").all() and own.spec.network == "python:mlp" and own.spec.nested
    built_in = sweep.run(SPEC, tmp_path / "built in")
    places = ["sigma_w", "sigma_b", "depth", "seed"]
    both = own.points.merge(built_in.points, on=places, suffixes=("", "_built_in"))
    assert len(both)  # the first points do not depend on what was measured
    for name in ("direct_retained", "gradient_norm", "trainable_depth"):
        assert both[name].to_numpy() == pytest.approx(both[f"{name}_built_in"].to_numpy(), rel=1e-4, abs=1e-4)
    assert len(sweep.resume(path, points=8, network=mlp).points) == 8
    with pytest.raises(SpecError, match="`network` must be given again, to run the program 'python:mlp'"):
        sweep.resume(path, points=9)
    with pytest.raises(SpecError, match="`network` must be left out: the networks of this sweep are made by no"):
        sweep.resume(tmp_path / "built in", network=mlp)
    with pytest.raises(SpecError, match="`network` must be left out of the spec where a function is given"):
        sweep.run(replace(SPEC, network="x.py:f"), tmp_path / "no", network=mlp)
    with pytest.raises(SpecError, match="have measured the same to be merged"):
        merge([own.path, built_in.path], tmp_path / "never")


def test_a_function_in_a_file(without_ray, file, tmp_path):
    path, named = tmp_path / "sweep", ("--network", f"{file}:network")
    small = ("--layers", r"1\.\d+", "--images", 64, "--points", 4, "--depth", 2, 5)
    done = run("run", "--out", path, *named, *small, "--json")
    assert done.exit_code == 0 and json.loads(done.stdout)["done"] == 4, done.output
    spec = sweep.load(path).spec
    assert spec.network == f"{file}:network" and spec.initialise == "function" and spec.probe == "direct"
    refused = run("resume", path, "--points", 6)
    assert refused.exit_code == 2 and "'--network': must be given again, to run the program" in refused.stderr
    assert run("resume", path, "--points", 6, *named).exit_code == 0
    assert run("report", path, "--reconstructions", 0).exit_code == 0
    assert run("plot", path, "--kind", "profiles").exit_code == 0
    file.with_name("beside.py").write_text(BESIDE + "\nchanged = True\n")
    refused = run("resume", path, "--points", 8, *named)
    assert refused.exit_code == 2 and "must be the code that this sweep measured" in refused.stderr
    assert len(sweep.load(path).points) == 6


def test_a_file_may_have_moved(without_ray, file, tmp_path):
    done = sweep.run(replace(SPEC, network=f"{file}:network", layers=r"1\.\d+"), tmp_path / "sweep")
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("own.py", "beside.py", "beside_too.py"):
        (tmp_path / name).rename(moved / name)
    assert len(sweep.resume(done.path, points=8, network=f"{moved}/own.py:network").points) == 8


def test_a_spec_of_a_stranger_runs_no_program(without_ray, file, tmp_path):
    done = sweep.run(replace(SPEC, network=f"{file}:network", layers=r"1\.\d+"), tmp_path / "sweep")
    file.write_text(f"open({str(tmp_path / 'was run')!r}, 'w')\n{FILE}")
    for command in (["resume", done.path], ["status", done.path], ["report", done.path], ["plot", done.path]):
        run(*command)
    assert not (tmp_path / "was run").exists()


def test_a_network_that_fails_is_a_row(without_ray, tmp_path):
    def at_small_weights(sigma_w, sigma_b, depth, seed, shape, classes):
        if sigma_w > 1.5 + 1e-9:
            raise RuntimeError("too large")
        return mlp(sigma_w, sigma_b, depth, seed, shape, classes)

    points = sweep.run(replace(SPEC, points=12, retries=0), tmp_path / "sweep", network=at_small_weights).points
    failed = points[points["status"] == "failed"]
    assert 0 < len(failed) < 12 and (failed["sigma_w"] > 1.5).all()
    assert failed["error"].str.contains("`network` at_small_weights raised RuntimeError: too large").all()


def test_a_dry_run(file, tmp_path):
    named = ("--network", f"{file}:network", "--layers", r"1\.\d+", "--images", 64, "--points", 8)
    done = run("run", "--out", tmp_path / "sweep", *named, "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["time"].startswith("about ")
    done = run("run", "--out", tmp_path / "sweep", "--network", f"{file}:of_width", "--dry-run")
    assert done.exit_code == 2 and "'--network': of_width may have the arguments" in done.stderr


def test_a_network_that_hangs_is_a_row(without_ray, tmp_path):
    def hangs(sigma_w, sigma_b, depth, seed, shape, classes):
        while sigma_w > 1.5 + 1e-9:
            time.sleep(0.01)
        return mlp(sigma_w, sigma_b, depth, seed, shape, classes)

    spec = replace(SPEC, retries=0, pack=1, timeout="4s", points=4)
    points = sweep.run(spec, tmp_path / "sweep", network=hangs).points
    failed = points[points["status"] == "failed"]
    assert 0 < len(failed) < 4 and (failed["sigma_w"] > 1.5).all()
    assert failed["error"].str.contains("it took longer than the 4 s that `timeout` allows").all()
    with pytest.raises(SpecError, match="`network` hangs: it took longer than the 4 s that `timeout` allows"):
        sweep.run(replace(spec, sigma_w=(1.0, 3.0)), tmp_path / "none", network=hangs)


def test_networks_of_the_user_are_trained_and_compared(without_ray, tmp_path):
    spec = replace(SPEC, points=12, train="all", train_images=256, epochs=3, lr=(0.1,), resize=None, depth=(1, 6))
    results = sweep.run(spec, tmp_path / "sweep", network=mlp)
    assert results.points["accuracy"].between(0, 1).all() and results.points["train_flops"].isna().all()
    done = run("compare", results.path, "--truth", results.path)
    assert done.exit_code == 0, done.output
    assert "training takes" in done.stdout and "nan" not in done.stdout.partition("training:")[2]
    assert run("report", results.path, "--reconstructions", 0).exit_code == 0
